"""Reconstruct the measured Siemens star of the tike test data, with the probe unknown.

    python examples/siemens_star.py [siemens-star-small.npz.bz2] [--out DIR] [--max-sweeps S]

Without the file, which tike's repository has, a scan of a simulated star stands for it.

The file holds 516 far-field patterns of 128 x 128 (APS Velociprobe; BSD-3, UChicago Argonne): `data` with
the zero frequency at the corner, `scan` with (row, column) in pixels, `probe` a rough guess of another
scale. The start is z = 1 and that probe, rescaled to the mean count; single precision, one core. The loss
printed is Phi_p with the amplitudes divided by the root of the mean count.
"""

from __future__ import annotations

import argparse
import bz2
import io
import time
from pathlib import Path

import numpy as np

import ptyxrf


def load(path: Path) -> ptyxrf.Scan:
    """Return the scan in the file."""
    packed = path.read_bytes()
    with np.load(io.BytesIO(bz2.decompress(packed) if path.suffix == ".bz2" else packed)) as file:
        patterns, probe, positions = file["data"][0], file["probe"][0, 0, 0], file["scan"][0]
    positions = positions.astype(np.float64)
    return ptyxrf.Scan(
        np.fft.fftshift(patterns, axes=(1, 2)),
        positions - positions.min(axis=0),
        probe,
        count_scale=1,
        title="Siemens star, APS Velociprobe",
    )


def simulated() -> ptyxrf.Scan:
    """Return a scan of a simulated star, without fluorescence."""
    return ptyxrf.simulate(
        "star",
        per_side=12,
        overlap=0.75,
        m=64,
        sampling="none",
        dtype="float32",
        photons=50.0,
        noise="counting",
    )


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, default=Path("star-example"))
    parser.add_argument("--max-sweeps", type=float, default=260)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    scan = simulated() if arguments.data is None else load(arguments.data)
    began = time.perf_counter()
    with ptyxrf.progress(label="Siemens star", max_sweeps=arguments.max_sweeps) as show:
        result = ptyxrf.reconstruct(
            scan,
            "ptychography",
            refine_probe=True,
            max_iterations=1000,
            max_sweeps=arguments.max_sweeps,
            loss_tolerance=0,
            callback=show,
        )
    seconds = time.perf_counter() - began
    ptyxrf.write_result(arguments.out / "siemens_star.h5", result, scan)
    ptyxrf.write_report(arguments.out / "siemens_star.png", result, scan)
    print(f"wrote {arguments.out / 'siemens_star.h5'} and {arguments.out / 'siemens_star.png'}")
    end = result.history[-1]
    loss = result.loss / result.settings["mean_count"]
    print(f"loss={loss:.3f} sweeps={end.sweeps:g} products={end.products} seconds={seconds:.1f}")


if __name__ == "__main__":
    main()
