# What the job scripts share; each sources it within its job. Needs PTYXRF, the command.
#
#   PTYXRF_LAUNCH   the launcher and its options; default: the first of some through which MPI sees all ranks
#   PTYXRF_LOCAL    a folder on each node's own disk for compiled kernels and FFTW's wisdom
#   PTYXRF_LIVES    how often a job may begin again before it gives up (default 100)

# one thread for each rank; srun does not take over by itself how many CPUs a rank has
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}

ranks=${SLURM_NTASKS:-$((SLURM_NNODES * ${SLURM_NTASKS_PER_NODE:-1}))}

# SLURM sends USR2 to this shell alone, some time before the limit: #SBATCH --signal=B:USR2@SECONDS. The ranks get
# what scancel sends: USR1 (a checkpoint, and on) and TERM (a checkpoint, and the end), which the shell outlives.
told=0
trap 'told=1' USR2
trap : USR1 TERM

# Kernels are code: the folder has to be the user's own on every node.
use_local_folder() {
    export PTYXRF_LOCAL=${PTYXRF_LOCAL:-/tmp/ptyxrf-$(id -u)}
    export NUMBA_CACHE_DIR=${NUMBA_CACHE_DIR:-$PTYXRF_LOCAL/numba} PTYXRF_WISDOM=${PTYXRF_WISDOM:-$PTYXRF_LOCAL/wisdom}
    # shellcheck disable=SC2016
    srun --ntasks="$SLURM_NNODES" --ntasks-per-node=1 bash -c '
        mkdir -p -m 700 "$PTYXRF_LOCAL" && [ -O "$PTYXRF_LOCAL" ] && exit
        echo "$PTYXRF_LOCAL on $SLURMD_NODENAME: expected a folder of your own; set PTYXRF_LOCAL to another"; exit 1' >&2
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

# Run words on all ranks and set `status`. Told that the time is nearly over, let the ranks write a checkpoint and
# end. srun itself would end them at once on a TERM, so they get it from scancel; and again, lest it came before
# they were there.
run_ranks() {
    local step
    status=0
    if ((told)); then
        status=75
        return
    fi
    "${launcher[@]}" -n "$ranks" "$@" &
    step=$!
    while kill -0 "$step" 2>/dev/null && ! ((told)); do
        wait "$step" || true # a signal ends the waiting too
    done
    if kill -0 "$step" 2>/dev/null; then echo "the time is nearly over: the ranks write a checkpoint"; fi
    while kill -0 "$step" 2>/dev/null; do
        scancel --signal=TERM "$SLURM_JOB_ID" || true
        for _ in {1..10}; do
            kill -0 "$step" 2>/dev/null || break
            sleep 1
        done
    done
    wait "$step" || status=$?
}

# End the job with `status`; or begin again where the ranks ended because they were told to: with 75, or killed by
# -K behind the first of them, or by a TERM before they listened to it.
end_or_requeue() {
    local lives=$((${SLURM_RESTART_COUNT:-0} + 1))
    case $told:$status in
    1:75 | 1:9 | 1:15 | 1:137 | 1:143) ;;
    *) exit "$status" ;;
    esac
    if ((lives >= ${PTYXRF_LIVES:-100})); then
        echo "given up in life $lives (PTYXRF_LIVES)" >&2
        exit "$status"
    fi
    echo "life $lives ends; the job is requeued"
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
}
