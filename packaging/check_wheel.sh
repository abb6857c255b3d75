#!/usr/bin/env bash
# Build wheel and sdist, install the wheel into an empty environment outside the checkout, and run the demo from it.
#   bash packaging/check_wheel.sh [FOLDER]      (default: a temporary one, which is removed)
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-}
if [ -z "$folder" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi
python=${PYTHON:-python3}

"$python" -m venv "$folder/build"
"$folder/build/bin/pip" install --quiet --disable-pip-version-check build py-rattler-build
"$folder/build/bin/python" -m build --quiet --outdir "$folder/dist" .

# the licence is in both; the sdist has what the wheel is built from
wheel=$(echo "$folder"/dist/*.whl)
sdist=$(echo "$folder"/dist/*.tar.gz)
packed=$("$python" -m zipfile -l "$wheel")
for file in dist-info/licenses/LICENSE ptyxrf/py.typed; do
    grep -q "$file" <<<"$packed" || { echo "$wheel: $file is missing" && exit 1; }
done
listed=$(tar -tzf "$sdist")
for file in LICENSE README.md CITATION.cff setup.cfg kernels/compiled.py src/ptyxrf/__init__.pyi; do
    grep -q "/$file\$" <<<"$listed" || { echo "$sdist: $file is missing" && exit 1; }
done

# conda's recipe follows its schema, and its names of versions have values
"$folder/build/bin/python" -c '
import rattler_build

recipe = rattler_build.Stage0Recipe.from_file("packaging/recipe.yaml")
[variant] = recipe.render(rattler_build.VariantConfig())
print("recipe of", variant.recipe.package.name, variant.recipe.package.version)'

"$python" -m venv "$folder/empty"
"$folder/empty/bin/pip" install --quiet --disable-pip-version-check "$wheel"
cd "$folder"
OMP_NUM_THREADS=1 empty/bin/ptyxrf demo --quick --quiet --out demo
OMP_NUM_THREADS=1 empty/bin/ptyxrf report demo/result.h5
test -s demo/result.html
echo "$(basename "$wheel"), $(basename "$sdist"): installed, and the demo ran"
