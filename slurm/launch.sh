# What the job scripts share; each sources it within its job. Needs PTYXRF, the command.
#
#   PTYXRF_LAUNCH   the launcher and its options; default: the first of some through which MPI sees all ranks
#   PTYXRF_LOCAL    a folder on each node's own disk for compiled kernels and FFTW's wisdom
#   PTYXRF_LIVES    how often a job may begin again before it gives up (default 100)

# one thread for each rank; srun does not take over by itself how many CPUs a rank has
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}

ranks=${SLURM_NTASKS:-$((SLURM_NNODES * ${SLURM_NTASKS_PER_NODE:-1}))}

# SLURM sends USR2 to this shell alone, some time before the limit: #SBATCH --signal=B:USR2@SECONDS. While the
# ranks run it hands on USR1 (a checkpoint, and on); it outlives a TERM, which SLURM sends to all when it ends the job.
told=0
trap 'told=1' USR2
trap : USR1 TERM

# Run words of bash on each node; they have two minutes.
on_each_node() {
    # beside whatever is left of the ranks; with older SLURMs steps always are
    SLURM_OVERLAP=1 timeout -k 10 120 srun --ntasks="$SLURM_NNODES" --ntasks-per-node=1 bash -c "$1"
}

# A node's name and the number of its boot.
# shellcheck disable=SC2016
who_are_you='echo "$SLURMD_NODENAME $(cat /proc/sys/kernel/random/boot_id)"'

# Kernels are code: the folder has to be the user's own on every node. Notes who they are.
use_local_folder() {
    export PTYXRF_LOCAL=${PTYXRF_LOCAL:-/tmp/ptyxrf-$(id -u)}
    export NUMBA_CACHE_DIR=${NUMBA_CACHE_DIR:-$PTYXRF_LOCAL/numba} PTYXRF_WISDOM=${PTYXRF_WISDOM:-$PTYXRF_LOCAL/wisdom}
    # shellcheck disable=SC2016
    at_start=$(on_each_node '
        mkdir -p -m 700 "$PTYXRF_LOCAL" && [ -O "$PTYXRF_LOCAL" ] || {
            echo "$PTYXRF_LOCAL on $SLURMD_NODENAME: expected a folder of your own; set PTYXRF_LOCAL to another" >&2
            exit 1
        }
        '"$who_are_you")
}

# Two ranks, on two nodes where there are as many, say hello: the first one alone where MPI sees both. Without a
# launcher that fits MPI each would do the whole work. First the mpiexec beside the command, which came with its
# MPI. -K ends all ranks when one fails, as mpiexec does by itself; MPICH's libfabric gets on with SLURM's pmi2,
# its UCX only at times (docs/cluster.md).
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
    echo "no launcher lets the ranks see each other; set PTYXRF_LAUNCH to the one of your site" >&2
    exit 1
}

is_srun() {
    [[ " ${launcher[*]} " == *" srun "* ]]
}

# Send a signal to the ranks. srun itself would end them at once on a TERM, so they get it from scancel. Open MPI's
# mpiexec and its daemons would do the same, on an USR1 too, so there the ranks of this node alone get it: one is enough.
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

# What tells a file from the one that was there before; no clocks of different machines are compared. The first rank,
# which writes the result, runs on this node.
identity() {
    stat -L -c '%d %i %z' "$1" 2>/dev/null || echo none
}

# The file behind the last --out among words; nothing where a settings file names it.
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

# Run words on all ranks, and set `status` and whether there is a result (`written`). Told that the time is nearly
# over, let the ranks write a checkpoint and end; again and again, lest it came before they were there.
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
        wait "$step" || true # a signal ends the waiting too
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
    # so Open MPI's mpiexec ends where it loses one of its daemons
    if [ -n "$result" ] && ((status == 0 && !written)); then
        status=70
        echo "${launcher[*]} ended with 0, but there is no new $result" >&2
    fi
}

# The nodes that do not answer any more, or have booted since the start, in one line. Where not even this one
# answers the question went wrong.
lost_nodes() {
    local now
    now=$(on_each_node "$who_are_you" 2>/dev/null) || true
    grep -q "^$SLURMD_NODENAME " <<<"$now" || return 0
    comm -23 <(sort <<<"$at_start") <(sort <<<"$now") | cut -d' ' -f1 | paste -sd' '
}

# SLURM ends jobs itself too: cancelled ones, and those of which it knows that a node is lost.
is_running() {
    squeue --noheader --jobs="$SLURM_JOB_ID" --states=RUNNING --format=%A | grep -qx "$SLURM_JOB_ID"
}

# End the job with `status`; or begin again where the ranks ended because they were told to: with 75, or killed by
# -K behind the first of them, or by a TERM before they listened to it; or because a node was lost. Launchers notice
# that before SLURM does, which does not give the job new nodes before it has found out what became of the old ones.
end_or_requeue() {
    local lives=$((${SLURM_RESTART_COUNT:-0} + 1)) lost
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
    if ((lives >= ${PTYXRF_LIVES:-100})); then
        echo "given up in life $lives (PTYXRF_LIVES)" >&2
        exit "$status"
    fi
    echo "life $lives ends; the job is requeued"
    scontrol requeue "$SLURM_JOB_ID" || exit "$status"
    exit 0
}
