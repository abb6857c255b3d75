"""Use two images as an object, and reconstruct a joint scan of it.

    python examples/two_images.py [MAGNITUDE PHASE] [--out DIR] [--kind real-imaginary] [--size 256]

Without images it takes two that matplotlib ships.
With the Cameraman as magnitude and the Baboon as phase this is the object of arXiv 2511.02153, section 4.5.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.cbook import get_sample_data

import ptyxrf


def shipped_images() -> list[np.ndarray]:
    """Return a portrait and a relief of matplotlib, as grey values from 0 to 1."""
    relief = get_sample_data("jacksboro_fault_dem.npz")["elevation"].astype(float)
    portrait = ptyxrf.read_image(get_sample_data("grace_hopper.jpg", asfileobj=False))
    return [portrait, (relief - relief.min()) / np.ptp(relief)]


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", type=Path, nargs="?", help="magnitude, or real part")
    parser.add_argument("second", type=Path, nargs="?", help="phase, or imaginary part")
    parser.add_argument("--kind", choices=("magnitude-phase", "real-imaginary"), default="magnitude-phase")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--out", type=Path, default=Path("two-images-example"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    size = (arguments.size, arguments.size)
    given = (arguments.first, arguments.second)
    images = shipped_images() if None in given else [ptyxrf.read_image(path) for path in given]
    specimen = ptyxrf.from_images(*images, kind=arguments.kind, shape=size)
    scan = ptyxrf.simulate(specimen, shape=size, m=64, per_side=19, noise=0.03)
    with ptyxrf.progress(label="joint") as show:
        result = ptyxrf.reconstruct(scan, "joint", callback=show)
    ptyxrf.write_result(arguments.out / "two_images.h5", result, scan)
    ptyxrf.write_report(arguments.out / "two_images.png", result, scan)
    print(f"wrote two_images.h5 and two_images.png in {arguments.out}")


if __name__ == "__main__":
    main()
