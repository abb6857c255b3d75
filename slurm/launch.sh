# Functions of the job scripts; each sources this file within its job. Needs PTYXRF, the command.
#
#   PTYXRF_LAUNCH   the launcher and its options; default: the first candidate that starts one MPI job
#   PTYXRF_LOCAL    a folder on each node's local disk for compiled kernels and FFTW's wisdom
#   PTYXRF_LIVES    how often a job may restart before it gives up (default 100)

# one thread per rank; srun does not inherit the number of CPUs per task
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}

ranks=${SLURM_NTASKS:-$((SLURM_NNODES * ${SLURM_NTASKS_PER_NODE:-1}))}

# SLURM sends USR2 to this shell alone, some time before the limit: #SBATCH --signal=B:USR2@SECONDS. While the ranks
# run, the shell forwards USR1 (a checkpoint); it ignores TERM, which SLURM sends to all when it ends the job.
told=0
trap 'told=1' USR2
trap : USR1 TERM

# Run a bash command on each node, for at most two minutes.
on_each_node() {
    # next to what is left of the ranks; steps of older SLURMs always overlap
    SLURM_OVERLAP=1 timeout -k 10 120 srun --ntasks="$SLURM_NNODES" --ntasks-per-node=1 bash -c "$1"
}

# A node's name and its boot ID.
# shellcheck disable=SC2016
name_and_boot='echo "$SLURMD_NODENAME $(cat /proc/sys/kernel/random/boot_id)"'

# Kernels are code, so nobody else may write to the folder, on any node. Records the nodes and their boot IDs.
use_local_folder() {
    export PTYXRF_LOCAL=${PTYXRF_LOCAL:-/tmp/ptyxrf-$(id -u)}
    export NUMBA_CACHE_DIR=${NUMBA_CACHE_DIR:-$PTYXRF_LOCAL/numba} PTYXRF_WISDOM=${PTYXRF_WISDOM:-$PTYXRF_LOCAL/wisdom}
    # shellcheck disable=SC2016
    at_start=$(on_each_node '
        mkdir -p -m 700 "$PTYXRF_LOCAL" && [ -O "$PTYXRF_LOCAL" ] && [ ! -L "$PTYXRF_LOCAL" ] &&
            (( (0$(stat -c %a "$PTYXRF_LOCAL") & 022) == 0 )) || {
            echo "$PTYXRF_LOCAL on $SLURMD_NODENAME: expected a folder of your own, no link, in which nobody else" \
                "may write; set PTYXRF_LOCAL to another, or chmod go-w" >&2
            exit 1
        }
        '"$name_and_boot")
}

# Start two ranks, on two nodes if there are as many, with each launcher. Where they form one MPI job, only the first
# prints the version; with a launcher of another MPI each rank would do the whole work. The first candidate is the
# mpiexec beside the command, which belongs to its MPI. -K ends all ranks when one fails, as mpiexec does by default.
# MPICH's libfabric works with SLURM's pmi2, its UCX not reliably (docs/cluster.md).
choose_launcher() {
    local said candidate nodes
    if [ -n "${PTYXRF_LAUNCH:-}" ]; then
        read -ra launcher <<<"$PTYXRF_LAUNCH"
        return
    fi
    for candidate in \
        "$(dirname "$(command -v "$PTYXRF")")/mpiexec" \
        "env MPIR_CVAR_CH4_NETMOD=${MPIR_CVAR_CH4_NETMOD:-ofi} srun --mpi=pmi2 -K" \
        "srun --mpi=pmix -K" \
        mpiexec; do
        read -ra launcher <<<"$candidate"
        command -v "${launcher[0]}" >/dev/null || continue
        nodes=()
        if is_srun; then nodes=(-N $((SLURM_NNODES < 2 || ranks < 2 ? 1 : 2))); fi
        said=$(timeout 120 "${launcher[@]}" "${nodes[@]}" -n $((ranks < 2 ? 1 : 2)) "$PTYXRF" --version 2>&1) || true
        if [ "$(grep -c '^ptyxrf [0-9]' <<<"$said")" = 1 ]; then
            echo "launcher: $candidate"
            return
        fi
        printf 'not with %s:\n%s\n' "$candidate" "$said"
    done
    echo "no launcher starts the ranks as one MPI job; set PTYXRF_LAUNCH to the one of your site" >&2
    exit 1
}

is_srun() {
    [[ " ${launcher[*]} " == *" srun "* ]]
}

# Send a signal to the ranks. srun would end them at once on a TERM, so scancel sends it. Open MPI's mpiexec and daemons
# would end them even on USR1, so there only the ranks of this node get the signal: one rank is enough.
tell_ranks() {
    local ranks_here
    mapfile -t ranks_here < <(grep -lsz '^OMPI_COMM_WORLD_RANK=' /proc/[0-9]*/environ |
        xargs -r grep -lszx "SLURM_JOB_ID=$SLURM_JOB_ID" | cut -d/ -f3)
    if ((${#ranks_here[@]})); then
        kill -s "$1" "${ranks_here[@]}" 2>/dev/null || true # they may just have ended
    else
        scancel --signal="$1" "$SLURM_JOB_ID" || true
    fi
}

# What distinguishes a new file from an earlier one, without comparing clocks of different machines. The first rank,
# which writes the result, runs on this node.
identity() {
    stat -L -c '%d %i %z' "$1" 2>/dev/null || echo none
}

# The file given by the last --out among the arguments; empty if a settings file names it.
result_among() {
    local result="" word before=""
    for word in "$@"; do
        case $before:$word in
        --out:*) result=$word ;;
        *:--out=*) result=${word#--out=} ;;
        esac
        before=$word
    done
    echo "$result"
}

# Run a command on all ranks, and set `status` and whether there is a new result (`written`). Near the time limit, let
# the ranks write a checkpoint and end; repeat the signal, because the ranks may not have started when the first one comes.
run_ranks() {
    local step result before
    status=0 written=0
    if ((told)); then
        status=75
        return
    fi
    result=$(result_among "$@")
    before=$(identity "$result")
    "${launcher[@]}" -n "$ranks" "$@" &
    step=$!
    trap 'tell_ranks USR1' USR1
    while kill -0 "$step" 2>/dev/null && ! ((told)); do
        wait "$step" || true # a signal ends the wait, too
    done
    if kill -0 "$step" 2>/dev/null; then echo "the time is nearly over: the ranks write a checkpoint"; fi
    while kill -0 "$step" 2>/dev/null; do
        tell_ranks TERM
        for _ in {1..10}; do
            kill -0 "$step" 2>/dev/null || break
            sleep 1
        done
    done
    trap : USR1
    wait "$step" || status=$?
    if [ "$(identity "$result")" != "$before" ]; then written=1; fi
    # Open MPI's mpiexec ends with 0 when it loses one of its daemons
    if [ -n "$result" ] && ((status == 0 && !written)); then
        status=70
        echo "${launcher[*]} ended with 0, but there is no new $result" >&2
    fi
}

# The nodes that do not respond, or have rebooted since the start, in one line. If not even this node responds, the
# request itself has failed, and none is reported.
lost_nodes() {
    local now
    now=$(on_each_node "$name_and_boot" 2>/dev/null) || true
    grep -q "^$SLURMD_NODENAME " <<<"$now" || return 0
    comm -23 <(sort <<<"$at_start") <(sort <<<"$now") | cut -d' ' -f1 | paste -sd' '
}

# Whether SLURM has not ended the job itself, because it was cancelled or lost a node that SLURM knows of.
is_running() {
    squeue --noheader --jobs="$SLURM_JOB_ID" --states=RUNNING --format=%A | grep -qx "$SLURM_JOB_ID"
}

# End the job with `status`, or requeue it. Requeue if the ranks ended on the signal near the limit: with 75, killed by -K
# after the first of them, or by a TERM before they handled it. Requeue also if a node was lost: launchers notice that
# before SLURM does, and SLURM restarts the job only when it knows the state of the old nodes.
end_or_requeue() {
    local run=$((${SLURM_RESTART_COUNT:-0} + 1)) lost
    case $told:$status in
    1:75 | 1:9 | 1:15 | 1:70 | 1:137 | 1:143) ;;
    ?:0 | ?:2 | ?:75 | ?:130) exit "$status" ;;
    *)
        if ((written)) || ! is_running; then exit "$status"; fi
        lost=$(lost_nodes)
        if [ -z "$lost" ]; then exit "$status"; fi
        echo "lost: $lost"
        ;;
    esac
    if ((run >= ${PTYXRF_LIVES:-100})); then
        echo "given up after run $run (PTYXRF_LIVES)" >&2
        exit "$status"
    fi
    echo "run $run ends; the job is requeued"
    scontrol requeue "$SLURM_JOB_ID" || exit "$status"
    exit 0
}
