"""Make a virtual environment for each package that pip can install.

    python benchmarks/peers/environments.py FOLDER [PACKAGE ...]

PyTorch is large. If an index has a CPU-only build, name the index as for pip, for example with
PIP_EXTRA_INDEX_URL. The releases are those of the published comparison.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

#: Requirements of each package for pip; None: it cannot be installed with pip, see README.md.
PACKAGES: dict[str, tuple[str, ...] | None] = {
    "ptychi": ("torch==2.13.0", "ptychi==2.2.0"),
    "cdtools": ("torch==2.13.0", "cdtools-py==0.3.2"),
    "xptycho": ("torch==2.13.0", "xptycho==0.1.0"),
    "ptypy": None,
}


def python_in(folder: Path, package: str) -> Path:
    """Return the path of the interpreter in the environment of a package."""
    return folder / package / "bin" / "python"


def main() -> int:
    """Make the environments; return 1 if one could not be made."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help=", ".join(PACKAGES))
    options = parser.parse_args()
    unknown = [name for name in options.packages if PACKAGES.get(name) is None]
    if unknown:
        installable = ", ".join(name for name, wanted in PACKAGES.items() if wanted)
        parser.error(f"PACKAGE: expected some of {installable}, got {unknown[0]!r}")
    failed = False
    for name, wanted in PACKAGES.items():
        if wanted is None or (options.packages and name not in options.packages):
            continue
        python = python_in(options.folder, name)
        print(f"{name}: pip install {' '.join(wanted)}", flush=True)
        try:
            if not python.exists():
                subprocess.run([sys.executable, "-m", "venv", options.folder / name], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
        except subprocess.CalledProcessError as error:
            print(f"{name}: could not be installed ({error})", file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
