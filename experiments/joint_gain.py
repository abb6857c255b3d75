"""What the joint reconstruction gains over each modality alone, with both weights and both samplings.

    python -m ptyxrf.experiments.joint_gain [--images MAGNITUDE PHASE] [--seeds 3] [--json FILE]

Objects: two images as magnitude and phase, where they are given, on 256 x 256 pixels (arXiv 2511.02153,
section 4.5) and on 154 x 154; and procedural cells with three elements on 256 x 256. Probe 64 x 64, known;
3 % Poisson noise in both modalities; start x = y = 0.5. Printed for each method are medians over the seeds
at the last iterate: the raw error ||z - z*||^2 / n^2, the same on the illuminated area, the aligned error
there, the mean error of the element maps there, and their error at the best iterate.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ptyxrf.driver.reconstruct import reconstruct
from ptyxrf.driver.scan import Scan
from ptyxrf.driver.simulate import simulate
from ptyxrf.driver.specimens import from_images, read_image

#: (method, alpha) of each row; alpha counts for the joint method alone.
ROWS = (
    ("ptychography", "statistical"),
    ("fluorescence", "statistical"),
    ("joint", "statistical"),
    ("joint", "gradnorm"),
)
COLUMNS = ("raw", "illuminated", "aligned", "maps", "maps, best")


def scans(images: tuple[Path, Path] | None, sampling: str, seed: int) -> Iterator[tuple[str, Scan]]:
    """Yield the objects of the experiment by name."""
    common: dict[str, Any] = {"m": 64, "sampling": sampling, "noise": 0.03, "seed": seed}
    if images is not None:
        first, second = (read_image(path) for path in images)
        for name, size, per_side in (("images 256", 256, 19), ("images 154", 154, 10)):
            specimen = from_images(first, second, shape=(size, size))
            yield name, simulate(specimen, n=size, per_side=per_side, **common)
    yield "cells", simulate("cells", elements=3, n=256, per_side=13, **common)


def run(scan: Scan, method: str, alpha: str, iterations: int) -> dict[str, float]:
    """Return the errors of one reconstruction by column, and its cost."""
    start = {"real_part": 0.5, "imaginary_part": 0.5, "elements": 0.5 / scan.N_e}
    result = reconstruct(scan, method, alpha=alpha, start=start, max_iterations=iterations)
    keys = [f"mse_{name}_illuminated" for name in scan.element_names]
    end = result.history[-1].errors
    if method == "ptychography":
        # without maps the imaginary part stands for their sum
        keys = ["mse_imaginary_illuminated"]
    maps = [float(np.mean([record.errors[key] for key in keys])) for record in result.history]
    whole = method != "fluorescence"
    return {
        "raw": end["mse"] if whole else np.nan,
        "illuminated": end["mse_illuminated"] if whole else np.nan,
        "aligned": end["mse_aligned"] if whole else np.nan,
        "maps": maps[-1] if method != "ptychography" or scan.N_e == 1 else np.nan,
        "maps, best": min(maps) if method != "ptychography" or scan.N_e == 1 else np.nan,
        "sweeps": result.history[-1].sweeps,
        "seconds": result.history[-1].seconds,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, nargs=2, metavar=("MAGNITUDE", "PHASE"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    images = tuple(options.images) if options.images else None
    table: dict[str, list[dict[str, float]]] = {}
    for sampling in ("grid", "scan"):
        for seed in range(options.seeds):
            for name, scan in scans(images, sampling, seed):
                for method, alpha in ROWS:
                    label = f"{name:10s} {sampling:5s} {method}" + (f", {alpha}" if method == "joint" else "")
                    table.setdefault(label, []).append(run(scan, method, alpha, options.iterations))
    heads = "".join(f"{column:>14s}" for column in COLUMNS)
    print(f"{'':41s}{heads}{'sweeps':>9s}{'seconds':>9s}")
    medians = {}
    for label in sorted(table, key=lambda label: label[:16]):
        rows = table[label]
        middle = {key: float(np.median([row[key] for row in rows])) for key in rows[0]}
        medians[label] = middle
        figures = "".join(f"{middle[column]:14.2e}" for column in COLUMNS)
        print(f"{label:41s}{figures}{middle['sweeps']:9.0f}{middle['seconds']:9.1f}")
    if options.json:
        options.json.write_text(json.dumps({"medians": medians, "runs": table}, indent=1))


if __name__ == "__main__":
    main()
