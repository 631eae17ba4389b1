#!/bin/bash
# A SLURM of several nodes on this machine, for tests; everything is in one folder. Root only.
#
#   cluster.sh start DIR [NODES] [CPUS]     then: export SLURM_CONF=DIR/slurm.conf
#   cluster.sh start-node DIR NODE          again, after its death
#   cluster.sh kill-node DIR NODE           as a power cut: every process of the node is killed
#   cluster.sh stop DIR
#
# A node is a slurmd in namespaces of its own: it has its own host name, and the processes of the
# other nodes do not exist for it. MAX_ARRAY bounds the tasks of an array (1001 by default).
# Needs slurmctld, slurmd, slurm-client and munge, as `make slurm` installs them.
set -eu
verb=$1 dir=$(realpath -m "$2")
export SLURM_CONF=$dir/slurm.conf

until_ok() { for _ in $(seq 150); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done; return 1; }
is_idle() { sinfo -h -N -p main -n "$1" -t idle -o %N | grep -qx "$1"; }

start_node() {
  mkdir -p "$dir/spool-$1"
  # The shell is the first process of the node: it reaps orphans, and the node dies with it.
  setsid unshare --uts --pid --mount-proc --fork --kill-child \
    sh -c 'hostname "$1"; slurmd -D -N "$1"' sh "$1" >"$dir/log/node-$1.log" 2>&1 </dev/null &
  echo $! >"$dir/node-$1.pid"
  until_ok is_idle "$1" || { echo "$1 does not start" >&2; tail "$dir"/log/* >&2; exit 1; }
}

kill_node() { kill -9 "$(cat "$dir/node-$1.pid")"; rm "$dir/node-$1.pid"; }

case $verb in
start-node) start_node "$3"; exit ;;
kill-node) kill_node "$3"; exit ;;
stop)
  for pid in "$dir"/node-*.pid; do [ -e "$pid" ] && kill -9 "$(cat "$pid")" || true; done
  for pid in "$dir"/slurmctld.pid "$dir"/munged.pid; do
    [ -e "$pid" ] && kill "$(cat "$pid")" || true
  done
  exit
  ;;
esac

nodes=${3:-3} cpus=${4:-2}
mkdir -p "$dir"/state "$dir"/log
read -r -a ports <<<"$(python3 -c 'import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*[s.getsockname()[1] for s in sockets])' $((nodes + 1)))"
head -c 1024 /dev/urandom >"$dir"/munge.key
chmod 600 "$dir"/munge.key
munged --force --key-file="$dir"/munge.key --socket="$dir"/munge.socket \
  --pid-file="$dir"/munged.pid --log-file="$dir"/log/munged.log --seed-file="$dir"/munge.seed \
  >/dev/null 2>&1 # a daemon that kept the output open would be waited for
here=$(hostname)
cat >"$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$here(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job waits for cred_expire + 1 seconds, 121 by default.
AuthInfo=socket=$dir/munge.socket,cred_expire=5
SlurmctldPort=${ports[0]}
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd-%n.log
SlurmdSpoolDir=$dir/spool-%n
StateSaveLocation=$dir/state
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
ReturnToService=2
KillWait=10
SlurmdTimeout=10
MaxArraySize=${MAX_ARRAY:-1001}
SlurmdParameters=config_overrides
CONF
for n in $(seq "$nodes"); do
  echo "NodeName=n$n NodeHostname=$here NodeAddr=127.0.0.1 Port=${ports[$n]} CPUs=$cpus" \
    "RealMemory=4000 Gres=gpu:2" >>"$SLURM_CONF"
done
cat >>"$SLURM_CONF" <<CONF
PartitionName=main Nodes=ALL Default=YES PriorityTier=10
PartitionName=urgent Nodes=ALL PriorityTier=100 PreemptMode=OFF
CONF
# GPUs are devices; these two are harmless.
for gpu in 0 1; do [ -e "$dir"/nvidia$gpu ] || mknod "$dir"/nvidia$gpu c 1 $((gpu ? 5 : 3)); done
echo "Name=gpu File=$dir/nvidia[0-1] Flags=nvidia_gpu_env" >"$dir"/gres.conf
slurmctld -c >/dev/null 2>&1
until_ok scontrol ping
for n in $(seq "$nodes"); do start_node "n$n"; done
