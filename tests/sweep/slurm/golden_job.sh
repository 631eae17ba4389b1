#!/bin/bash
# Written by: mutransfer sweep --executor slurm (study my-model).
#SBATCH --job-name=mutransfer-my-model-94a60815
#SBATCH --output=/data/runs/my-model/slurm/%A_%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:TERM@30
#SBATCH --partition=gpu,long
#SBATCH --account=my-project
#SBATCH --time=2:00:00
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem-per-cpu=4G
#SBATCH -C a100

# A command that fails ends the task before a trial is claimed.
set -e

# [slurm] setup
module load cuda/12.4
export DATA="$HOME/data"

# The worker takes the place of this shell, so that SIGTERM reaches it.
exec /venv/bin/python -m mutransfer.cli sweep '/data/my study.toml' \
    --store /data/runs/my-model \
    --workers 1 \
    --count 2
