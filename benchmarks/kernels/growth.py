"""Is the cost linear in the number of positions, and per pixel flat in the size of the object?

    python benchmarks/kernels/growth.py [--m 64] [--precision single] [--rounds 9]

First: products for more and more positions, a quarter of a window apart, so that the object grows with them;
what pixels cost (measured alone, in the same run) is taken off, and the rest is given per pattern. Second:
a fixed number of positions over larger and larger objects; what the smallest takes is taken off, and the rest
is given per additional pixel of a field (cheaper while all fits the caches). Flat means a ratio of 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.planning.machine_timing import measure_pixels

sys.path.insert(0, str(Path(__file__).parents[1]))
from composed_work import take_turns
from scaling import make_scan

#: Positions along an edge: about 100 to 3000 in all; and those of the second series.
SIDES, FIXED = (10, 17, 32, 55), 12

#: Edges of the object in the second series, in units of the smallest that the positions need.
EDGES = (1, 2, 4, 8)


def product(n: int, m: int, side: int, precision: str) -> Any:
    """Return a call of the Hessian product of side^2 positions over n x n pixels."""
    objective = Objective(make_scan(n, m, side), "ptychography", precision=precision)
    objective.value_and_gradient(objective.initial)
    direction = np.random.default_rng(0).standard_normal(objective.size).astype(objective.real)
    return lambda: objective.hessian_product(direction)


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--m", type=int, default=64)
    parser.add_argument("--precision", choices=("single", "double"), default="single")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    m, step = options.m, options.m // 4
    pixel = measure_pixels(options.precision, options.rounds)
    start = m + step * (FIXED - 1)
    denser = [(m + step * (side - 1), side) for side in SIDES]
    larger = [(start * edge, FIXED) for edge in EDGES]
    calls = {key: product(key[0], m, key[1], options.precision) for key in [*denser, *larger]}
    times = take_turns({str(key): call for key, call in calls.items()}, options.rounds)
    seconds = {key: float(np.median(times[str(key)])) for key in calls}

    print(f"a pixel of a field: {1e9 * pixel:.3f} ns, measured alone")
    print(f"{'N':>6}{'n':>7}{'product ms':>12}{'us a pattern':>14}{'of the last':>14}")
    patterns = [(seconds[n, side] - 2 * n * n * pixel) / side**2 for n, side in denser]
    for (n, side), each in zip(denser, patterns, strict=True):
        total = f"{side**2:6d}{n:7d}{1e3 * seconds[n, side]:12.2f}"
        print(f"{total}{1e6 * each:14.2f}{each / patterns[-1]:14.3f}")
    print(f"{'N':>6}{'n':>7}{'product ms':>12}{'ns a pixel':>14}{'of the last':>14}")
    pixels = [
        (seconds[n, side] - seconds[larger[0]]) / (2 * (n * n - start * start)) for n, side in larger[1:]
    ]
    print(f"{FIXED**2:6d}{start:7d}{1e3 * seconds[larger[0]]:12.2f}")
    for (n, side), each in zip(larger[1:], pixels, strict=True):
        total = f"{side**2:6d}{n:7d}{1e3 * seconds[n, side]:12.2f}"
        print(f"{total}{1e9 * each:14.3f}{each / pixels[-1]:14.3f}")


if __name__ == "__main__":
    main()
