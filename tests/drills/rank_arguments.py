"""Drill: give ranks different arguments, and see that each call ends with an error that names the difference.

    mpiexec -n 2 python tests/drills/rank_arguments.py --pairs 500 --seed 0

Each call of `reconstruct` has another setting, another part of the scan or another start on one random rank.
The first rank prints how many calls were refused, and the longest time. Ends with code 1 where a call was not
refused within five seconds, or an error names something else.
"""

from __future__ import annotations

import argparse
import random
import time
from typing import Any

import numpy as np
from mpi4py import MPI

import ptyxrf

MOST_SECONDS = 5.0

SETTINGS: dict[str, tuple[Any, ...]] = {
    "method": ("joint", "ptychography", "fluorescence"),
    "max_iterations": (1, 2, 3, 50),
    "max_sweeps": (5.0, 10.0, None),
    "max_seconds": (None, 10.0, 1e6),
    "loss_tolerance": (0.0, 1e-6, 1e-3),
    "gradient_tolerance": (0.0, 1e-6),
    "precision": ("single", "double"),
    "alpha": (0.5, 0.25, "statistical", (0.5, 0.25)),
    "solver": ("quasi-newton", "newton"),
    "curvature": ("positive", "full", "gauss-newton"),
    "refine_probe": (False, True),
    "refine_positions": ("none", "each", "affine", "both"),
    "refine_intensities": (False, True),
    "pattern_loss": ("amplitude", "poisson"),
    "memory": ("low", "cached"),
    "engine": ("vector", "library"),
    "checkpoint": (None, "first.h5", "second.h5"),
    "noise_stop": (True, False),
    "object_floor": (1e-3, 1e-2),
    "max_iterations ": (2, -1),
}


def changed_scan(scan: ptyxrf.Scan, name: str, chance: random.Random) -> ptyxrf.Scan:
    """Return a scan of which one part is another."""
    factor = 1 + chance.random()
    match name:
        case "positions":
            order = chance.sample(range(scan.N), scan.N)
            return scan.replace(positions=np.asarray(scan.positions)[order])
        case "mask":
            mask = np.ones((scan.m, scan.m), bool)
            mask[chance.randrange(scan.m), chance.randrange(scan.m)] = False
            return scan.replace(mask=mask)
        case "element_names":
            return scan.replace(element_names=[f"{chance.random()}", "Cu"])
        case _:
            return scan.replace(**{name: factor * np.asarray(getattr(scan, name))})


PARTS = ("positions", "mask", "element_names", "probe", "patterns", "fluorescence", "attenuation", "exposure")


def differing(
    scan: ptyxrf.Scan, chance: random.Random
) -> tuple[str, ptyxrf.Scan, dict[str, Any], dict[str, Any]]:
    """Return the name of an argument, another scan, and the keywords of the first and of the other rank."""
    kind = chance.choice(("setting", "scan", "start"))
    common = {"max_iterations": 2}
    if kind == "scan":
        part = chance.choice(PARTS)
        return part, changed_scan(scan, part, chance), common, common
    if kind == "start":
        first, other = ({"start": {"real_part": chance.random()}} for _ in range(2))
        return "real_part", scan, common | first, common | other
    name = chance.choice(list(SETTINGS))
    first, other = chance.sample(SETTINGS[name], 2)
    name = name.strip()
    return name, scan, common | {name: first}, common | {name: other}


def main() -> int:
    """Make the pairs; return 1 after a failure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    comm, chance = MPI.COMM_WORLD, random.Random(options.seed)
    scan = ptyxrf.simulate(n=48, m=16, per_side=5, elements=2, sampling="scan")
    bad, longest = [], 0.0
    reconstruct = ptyxrf.reconstruct  # which loads Numba
    for pair in range(options.pairs):
        name, other_scan, first, other = differing(scan, chance)
        odd = comm.Get_rank() == chance.randrange(comm.Get_size())
        began = time.perf_counter()
        try:
            reconstruct(other_scan if odd else scan, comm=comm, **(other if odd else first))
            outcome = "no error"
        except ValueError as error:
            outcome = "" if name in str(error) else str(error)
        seconds = comm.allreduce(time.perf_counter() - began, MPI.MAX)
        longest = max(longest, seconds)
        if outcome or seconds > MOST_SECONDS:
            bad.append(f"pair {pair}, {name}: {outcome or f'{seconds:.1f} s'}")
    failures = comm.gather(bad)
    if comm.Get_rank() == 0:
        for lines in failures or ():
            print("\n".join(lines))
        refused = options.pairs - max(map(len, failures or [[]]))
        print(f"{refused} of {options.pairs} refused on every rank, the longest in {longest:.2f} s")
    return int(comm.allreduce(len(bad)) > 0)


if __name__ == "__main__":
    raise SystemExit(main())
