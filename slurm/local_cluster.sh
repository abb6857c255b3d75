#!/usr/bin/env bash
# A real SLURM on one machine, for tests: munge, slurmctld and one slurmd for each node, all on loopback.
#
#   eval "$(slurm/local_cluster.sh start 4 1)"    4 nodes n1..n4 of 1 CPU each; sets SLURM_CONF for this shell
#   slurm/local_cluster.sh lose n2                node n2 fails with all its processes, and SLURM is told
#   slurm/local_cluster.sh crash n2               the same, but SLURM has to notice
#   slurm/local_cluster.sh find_again n2          the node returns
#   slurm/local_cluster.sh stop                   ends everything that was started, including jobs
#
# Needs root, but neither systemd nor cgroups; installs Debian's packages if they are missing. All files are in the
# folder that PTYXRF_CLUSTER names (default: ptyxrf-cluster in the temporary folder). The cluster uses free ports, so
# several can run side by side, each in its own folder.
set -euo pipefail

folder=${PTYXRF_CLUSTER:-${TMPDIR:-/tmp}/ptyxrf-cluster}
export SLURM_CONF=$folder/slurm.conf

fail() {
    echo "local_cluster.sh: $*" >&2
    exit 1
}

install_packages() {
    command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null && return
    command -v apt-get >/dev/null || fail "slurmctld, slurmd and munged are missing, and there is no apt-get"
    apt-get update -qq >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
}

# The first of COUNT consecutive free ports.
free_ports() {
    local first port
    for _ in {1..50}; do
        first=$((20000 + RANDOM % 10000))
        for ((port = first; port < first + $1; port++)); do
            (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue 2
        done
        echo "$first"
        return
    done
    fail "no $1 free ports in a row"
}

start_munge() {
    local key=$folder/munge/key
    (umask 077 && mkdir -p "$folder/munge" && head -c 1024 /dev/urandom >"$key")
    chmod 755 "$folder/munge" # munge requires that everybody can reach its socket
    munged --force --key-file="$key" --socket="$folder/munge/socket" --pid-file="$folder/munge/pid" \
        --seed-file="$folder/munge/seed" --log-file="$folder/munge/log"
    for _ in {1..100}; do
        munge -n -S "$folder/munge/socket" >/dev/null 2>&1 && return
        sleep 0.1
    done
    fail "munge does not answer, see $folder/munge/log"
}

# cred_expire: a requeued job waits that long before it runs again. It is longer than KillWait plus two seconds, because
# the job keeps its number: SLURM would kill the new run together with what is left of the last one.
# cgroup.conf names a version because slurmd looks for mounted cgroups even if no plugin uses them.
write_configuration() {
    local nodes=$1 cpus=$2 port host names ports
    port=$(free_ports $((nodes + 1)))
    host=$(hostname -s)
    names="n[1-$nodes]" ports="$((port + 1))-$((port + nodes))"
    if ((nodes == 1)); then names=n1 ports=$((port + 1)); fi
    echo "CgroupPlugin=cgroup/v1" >"$folder/cgroup.conf"
    cat >"$SLURM_CONF" <<END
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=8
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
MpiDefault=none
JobRequeue=1
ReturnToService=2
KillWait=5
MinJobAge=3600
SlurmdTimeout=30
SlurmdParameters=config_overrides
MailProg=/bin/true
NodeName=$names NodeHostname=$host NodeAddr=127.0.0.1 Port=$ports CPUs=$cpus CoresPerSocket=$cpus RealMemory=1000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
}

# Each node has its own host name, by which MPI's launchers distinguish the nodes, and a new boot ID.
start_node() {
    local boot=/proc/sys/kernel/random/boot_id
    cat /proc/sys/kernel/random/uuid >"$folder/$1.boot"
    # shellcheck disable=SC2016
    unshare --uts --mount bash -c '
        hostname "$1" && mount --bind "$2/hosts" /etc/hosts && mount --bind "$2/$1.boot" "$3" && exec slurmd -N "$1"' \
        - "$1" "$folder" "$boot"
}

start() {
    local nodes=$1 cpus=$2 idle=0
    [[ $nodes =~ ^[1-9][0-9]*$ && $cpus =~ ^[1-9][0-9]*$ ]] || fail "expected a number of nodes and of CPUs, got $*"
    [ "$(id -u)" = 0 ] || fail "slurmd needs root"
    [ -e "$SLURM_CONF" ] && fail "$folder: there is a cluster already; stop it first, or set PTYXRF_CLUSTER"
    install_packages
    mkdir -p "$folder"/{state,spool}
    start_munge
    write_configuration "$nodes" "$cpus"
    slurmctld -i
    { cat /etc/hosts && printf '127.0.0.1 n%d\n' $(seq "$nodes"); } >"$folder/hosts"
    for ((i = 1; i <= nodes; i++)); do start_node "n$i"; done
    for _ in {1..150}; do
        idle=$(sinfo -h -N -o %T 2>/dev/null | grep -c '^idle$' || true)
        ((idle == nodes)) && break
        sleep 0.2
    done
    ((idle == nodes)) || fail "$idle of $nodes nodes are idle after half a minute, see $folder/*.log"
    echo "export SLURM_CONF=$SLURM_CONF"
}

# The processes of some nodes: slurmd and slurmstepd have the node's log open, jobs have its name in their environment.
processes_on() {
    local node
    for node in "$@"; do
        # both report an error for a process that ends meanwhile
        find /proc/[0-9]*/fd -lname "$folder/$node.log" || true
        grep -lzxF "SLURM_CONF=$SLURM_CONF" /proc/[0-9]*/environ | xargs -r grep -lzxF "SLURMD_NODENAME=$node" || true
    done 2>/dev/null | cut -d/ -f3 | sort -u
}

# Kill repeatedly: a killed process may just have started another.
kill_nodes() {
    local found
    for _ in {1..50}; do
        mapfile -t found < <(processes_on "$@")
        ((${#found[@]})) || return 0
        kill -KILL "${found[@]}" 2>/dev/null || true
        sleep 0.1
    done
    fail "processes ${found[*]} do not end"
}

# To the others this is a machine that reboots: its sockets close, and SLURM notices after SlurmdTimeout.
crash() {
    [ -e "$folder/$1.log" ] || fail "$1: no such node in $folder"
    kill_nodes "$1"
}

# Tells SLURM of the loss, which saves its timeout.
lose() {
    crash "$1"
    scontrol update nodename="$1" state=down reason="lost on purpose"
}

find_again() {
    [ -e "$folder/$1.log" ] || fail "$1: no such node in $folder"
    start_node "$1"
    scontrol update nodename="$1" state=resume 2>/dev/null || true # it may have returned by itself
}

stop() {
    local nodes number
    [ -e "$SLURM_CONF" ] || fail "$folder: there is no cluster"
    mapfile -t nodes < <(cd "$folder" && compgen -G 'n[0-9]*.log')
    for number in $(cat "$folder/slurmctld.pid" "$folder/munge/pid" 2>/dev/null); do
        kill "$number" 2>/dev/null || true
    done
    kill_nodes "${nodes[@]%.log}"
    for _ in {1..100}; do
        [ -e "$folder/slurmctld.pid" ] || [ -e "$folder/munge/pid" ] || break
        sleep 0.1
    done
    # keep what this script did not create
    rm -rf "$folder"/{munge,state,spool,hosts,slurm.conf,cgroup.conf,slurmctld.log,slurmctld.pid} "$folder"/n[0-9]*.{log,pid,boot}
    rmdir "$folder" 2>/dev/null || true
}

case ${1:-} in
start) start "${2:-4}" "${3:-1}" ;;
lose | crash | find_again) "$1" "${2:-}" ;;
stop) stop ;;
*) fail "expected start [NODES [CPUS]], lose NODE, crash NODE, find_again NODE or stop, got ${*:-nothing}" ;;
esac
