"""Make a virtual environment for each package that pip can install.

    python benchmarks/peers/environments.py FOLDER [PACKAGE ...]

PyTorch is as large as it is; where an index has a build for the CPU only, name it as pip does, for example
with PIP_EXTRA_INDEX_URL. PyTorch and the other packages are the releases that the comparison was made with.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

#: What pip installs for each package; None: pip has it not, see README.md.
PACKAGES: dict[str, tuple[str, ...] | None] = {
    "ptychi": ("torch==2.13.0", "ptychi==2.2.0"),
    "cdtools": ("torch==2.13.0", "cdtools-py==0.3.2"),
    "ptypy": None,
}


def python_in(folder: Path, package: str) -> Path:
    """Return where the interpreter of a package's environment is."""
    return folder / package / "bin" / "python"


def main() -> int:
    """Make the environments; return 1 where one could not be made."""
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
