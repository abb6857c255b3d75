#!/usr/bin/env bash
# The tests of several ranks, the command, and full disks, where all ranks write one file at once: with Debian's
# Open MPI and an h5py that is built on its parallel HDF5. No wheel has that, so it is built here (3 minutes, once).
#
# usage: tests/parallel_hdf5.sh VENV [build | OTHER]
# VENV: a folder for the environment; what works there is used again. build: make the environment and stop.
# OTHER: an environment of the same Python whose project, with its compiled kernels, and libraries are used.
set -euo pipefail

if [[ $# -lt 1 || $# -gt 2 ]] || [[ $# -eq 2 && $2 != build && ! -x $2/bin/python ]]; then
    echo "usage: $0 VENV [build | OTHER]" >&2
    exit 2
fi
mkdir -p "$1"
venv=$(cd "$1" && pwd)
[[ ${2:-build} = build ]] && other= || other=$(cd "$2" && pwd)
cd "$(dirname "$0")/.."
python="$venv/bin/python"
pip=("$python" -m pip --quiet --disable-pip-version-check)

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
# another MPI's settings, or those of a launcher around us, are not for this one
unset PTYXRF_MPIEXEC

say() { echo "parallel HDF5: $*"; }
fail() {
    say "$*" >&2
    exit 1
}

works() {
    "$python" - <<'END'
import h5py
from mpi4py import MPI

assert h5py.get_config().mpi is True, "h5py is not built on parallel HDF5"
assert "Open MPI" in MPI.Get_library_version(), MPI.Get_library_version()
END
}

# 1. Debian's packages
packages=(gcc libhdf5-openmpi-dev libopenmpi-dev openmpi-bin)
missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [[ $status == installed ]] || missing+=("$package")
done
if ((${#missing[@]})); then
    say "installing ${missing[*]}"
    [[ $(id -u) -eq 0 ]] || fail "only root can install ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
hdf5=/usr/lib/$(gcc -print-multiarch)/hdf5/openmpi
[[ -d $hdf5 ]] || fail "no parallel HDF5 in $hdf5"

# 2. h5py and mpi4py on them
if works 2>/dev/null; then
    say "using the h5py in $venv"
else
    # --clear below empties the folder
    [[ -f $venv/pyvenv.cfg || -z $(ls -A "$venv") ]] || fail "$venv is neither empty nor an environment"
    say "building h5py in $venv"
    "${PYTHON:-python3}" -m venv --clear "$venv"
    # tests do not gain what optimisation costs here
    export CC=mpicc.openmpi CFLAGS="-O0 -g0"
    # without the cache: what it holds may be built on another MPI
    "${pip[@]}" install --no-cache-dir --no-binary=mpi4py mpi4py
    # an isolated build would build mpi4py and numpy, too
    "${pip[@]}" install numpy 'cython>=3,<4' 'setuptools>=77' pkgconfig packaging
    HDF5_MPI=ON HDF5_DIR=$hdf5 "${pip[@]}" install --no-build-isolation --no-cache-dir --no-binary=h5py h5py
    unset CC CFLAGS
fi

[[ ${2:-} != build ]] || exit 0

# 3. the project: that of the other environment, or as it is now, installed as users install it
if [[ -n $other ]]; then
    # its kernels are compiled for its NumPy; h5py and mpi4py of this environment come before those of the other
    "${pip[@]}" uninstall --yes numpy
    site='import sysconfig; print(sysconfig.get_path("purelib"))'
    "$other/bin/python" -c "$site" >"$("$python" -c "$site")/other.pth"
else
    rm -rf build # a file removed from the sources would live on in it
    "${pip[@]}" install '.[test]'
fi
works || fail "this h5py cannot write one file from several ranks"
"$python" -c "from ptyxrf.driver.files.tiled_file import parallel_hdf5; assert parallel_hdf5()"

# 4. the tests, then the command
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# on RANKS SECONDS WORDS...: run Python on some ranks; what hangs is ended
on() {
    local ranks=$1 seconds=$2
    shift 2
    timeout --kill-after=10 "$((seconds + 30))" \
        mpiexec.openmpi --oversubscribe --bind-to none --timeout "$seconds" -n "$ranks" "$python" "$@"
}

# rank_tests RANKS FILES...: all pass on every rank
rank_tests() {
    local ranks=$1 log=$folder/log counts
    shift
    if ! on "$ranks" 300 -m pytest -q --color=no -p no:cacheprovider -o faulthandler_timeout=120 "$@" \
        >"$log" 2>&1; then
        tail -n 200 "$log" >&2
        fail "$* failed on $ranks ranks"
    fi
    # every rank has its say, though several may write into one line
    counts=$(grep -oE '[0-9]+ passed' "$log" | sort | uniq -c | sed 's/^ *//')
    if [[ ! $counts =~ ^$ranks\ [0-9]+\ passed$ ]] || grep -qE '[0-9]+ (skipped|failed|error)' "$log"; then
        tail -n 200 "$log" >&2
        fail "expected each of $ranks ranks to pass all tests, got: $counts"
    fi
    say "$* on $ranks ranks: ${counts#* }"
}

# every test runs on two ranks; on four there are ranks without pixels
rank_tests 2 tests/ranks
rank_tests 4 tests/ranks/test_files.py tests/ranks/test_checkpoint.py

"$python" -m ptyxrf simulate "$folder/scan.h5" --m 16 --per-side 6 --quiet
words=(-m ptyxrf reconstruct "$folder/scan.h5" --max-iterations 6 --precision double --no-sequential-first
    --fluorescence-prior none --quiet --out)
timeout --kill-after=10 300 "$python" "${words[@]}" "$folder/one.h5"
on 3 300 "${words[@]}" "$folder/three.h5"
"$python" - "$folder" <<'END'
import sys
import numpy as np
from ptyxrf.driver.files.result_file import read_result

one, three = (read_result(f"{sys.argv[1]}/{name}.h5") for name in ("one", "three"))
np.testing.assert_allclose(three.loss, one.loss, rtol=1e-11)
np.testing.assert_allclose(three.object, one.object, rtol=1e-8, atol=1e-10)
np.testing.assert_allclose(three.elements, one.elements, rtol=1e-8, atol=1e-10)
END

# a disk that fills up before there is room for a checkpoint, or after; a rank that is stopped while it writes
export PTYXRF_MPIEXEC="mpiexec.openmpi --oversubscribe --bind-to none"
drills="(full and checkpoint) or writing"
if ! timeout --kill-after=10 600 "$python" -m pytest -q -p no:cacheprovider -m "" -k "$drills" tests/cluster/test_faults.py \
    >"$folder/log" 2>&1 || ! grep -qE '^3 passed' "$folder/log"; then
    tail -n 200 "$folder/log" >&2
    fail "a full disk or a stopped rank does not end the job as it should"
fi

say "passed: tests/ranks on 2 ranks, those of files on 4; the command on 3 ranks, whose file reads back as that of one;" \
    "full disks and a rank stopped while it writes"
