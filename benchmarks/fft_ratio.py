"""Time per pattern of gradient and Hessian product beside a bare FFT pair, in one run.

    python benchmarks/fft_ratio.py [--rounds 15] [--json FILE]

Known probe, integer positions, one probe mode, one thread. The bare pair is one forward and one inverse
transform of the same fields by the same plans. Gradient, product and pair take turns, so that each sees
the same machine; printed are the median over the rounds of the ratios, and their quartiles.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

import ptyxrf
from ptyxrf.kernels.fourier import PatternFourier


def make_objective(m: int, precision: str) -> ptyxrf.Objective:
    """Return a ptychography objective with a megapixel or more of patterns."""
    per_side = {64: 16, 128: 10, 256: 6}[m]
    scan = ptyxrf.simulate("cells", m=m, per_side=per_side, overlap=0.75, sampling=None, photons=100.0)
    objective = ptyxrf.Objective(scan, "ptychography", precision=precision)
    objective.value_and_gradient(objective.initial)
    return objective


def seconds(call: object, *arguments: object) -> float:
    """Return how long one call takes."""
    began = time.perf_counter()
    call(*arguments)  # type: ignore[operator]
    return time.perf_counter() - began


def measure(m: int, precision: str, rounds: int) -> dict[str, object]:
    """Return the medians and quartiles of one size and precision."""
    objective = make_objective(m, precision)
    count = objective.scan.N
    fourier = PatternFourier(1, m, objective.complex)
    fields = fourier.buffer()
    fields[...] = np.random.default_rng(0).standard_normal(fields.shape)

    def pair() -> None:
        for _ in range(0, count, fourier.batch):
            fourier.forward(fields, fields)
            fourier.backward(fields, fields)
            fields[...] *= 1 / m**2

    def scaling() -> None:
        for _ in range(0, count, fourier.batch):
            fields[...] *= 1 / m**2

    transforms = -(-count // fourier.batch) * fourier.batch
    direction = np.random.default_rng(1).standard_normal(objective.size).astype(objective.real)
    times = []
    for turn in range(rounds + 2):
        bare = (seconds(pair) - seconds(scaling)) / transforms
        gradient = seconds(objective.value_and_gradient, objective.initial) / count
        product = seconds(objective.hessian_product, direction) / count
        if turn >= 2:  # the first turns compile and warm up
            times.append((bare, gradient, product))
    array = np.array(times)
    ratios = array[:, 1:] / array[:, :1]
    low, middle, high = np.percentile(ratios, (25, 50, 75), axis=0)
    return {
        "m": m,
        "precision": precision,
        "pair_us": 1e6 * float(np.median(array[:, 0])),
        "gradient": [float(middle[0]), float(low[0]), float(high[0])],
        "product": [float(middle[1]), float(low[1]), float(high[1])],
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    rows = []
    print("   m  precision  FFT pair (us)  gradient / pair       product / pair")
    for m in (64, 128, 256):
        for precision in ("single", "double"):
            row = measure(m, precision, arguments.rounds)
            rows.append(row)
            gradient, product = (
                "{:.2f} ({:.2f}-{:.2f})".format(*row[key])  # type: ignore[misc]
                for key in ("gradient", "product")
            )
            print(f"{m:4d}  {precision:9s}  {row['pair_us']:13.1f}  {gradient:20s}  {product}", flush=True)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
