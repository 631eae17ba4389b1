"""SLURM executor: a job array of workers that claim trials from the store that they share."""
