#!/usr/bin/env bash
# The lowest versions that pyproject.toml allows, installed from wheels, and a few tests with them: files and readers, a joint
# reconstruction on two ranks, and its export.
#
# usage: tests/lowest_versions.sh VENV [build]
# VENV: a folder for the environment, which is made anew where pyproject.toml has changed. build: make it and stop.
set -euo pipefail

if [[ $# -lt 1 || $# -gt 2 || ${2:-build} != build ]]; then
    echo "usage: $0 VENV [build]" >&2
    exit 2
fi
mkdir -p "$1"
venv=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
unset PTYXRF_MPIEXEC

constraints="$venv/constraints.txt"
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
lowest=$("$venv/bin/python" - <<'END'
import re
import tomllib

project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = project["optional-dependencies"]
for requirement in (*project["dependencies"], *extras["mpich"], *extras["test"]):
    name, version = re.match(r"([\w-]+)>=([\d.]+)", requirement).groups()
    print(f"{name}=={version}")
END
)
if [ "$lowest" != "$(cat "$constraints" 2>/dev/null)" ]; then
    rm -f "$constraints"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-binary ptyxrf \
        -c <(echo "$lowest") -e ".[mpich,test]"
    echo "$lowest" >"$constraints"
fi
[ "${2:-}" = build ] && exit

# a cache of its own: the other environment's kernels are of another Numba
export NUMBA_CACHE_DIR="$venv/kernels" MPLCONFIGDIR="$venv/matplotlib"
pytest=("$venv/bin/python" -m pytest -q -p no:cacheprovider)

"${pytest[@]}" tests/files/test_chunks.py tests/files/test_chunk_writer.py tests/files/test_pointers.py tests/files/test_readers.py

# joint, with every output; two ranks compile a half of the kernels each
demo=$(mktemp -d)
trap 'rm -rf "$demo"' EXIT
ptyxrf="$venv/bin/ptyxrf"
"$ptyxrf" simulate "$demo/scan.h5" --n 64 --m 16 --per-side 6 --elements 2 --quiet
"$venv/bin/mpiexec" -n 2 "$ptyxrf" reconstruct "$demo/scan.h5" --out "$demo/result.h5" --max-iterations 3 --quiet
"$ptyxrf" info "$demo/result.h5"
"$ptyxrf" export "$demo/result.h5" --to npz --out "$demo/export"
test -s "$demo/result.png"
