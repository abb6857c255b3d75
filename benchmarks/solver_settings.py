"""Sweeps that the solvers need with one setting changed at a time: how their defaults are chosen.

    python benchmarks/solver_settings.py [--star siemens-star-small.npz.bz2] [--max-sweeps 300]

Cases, all in single precision from a flat start: `known`, 400 patterns of 64^2 of a 334^2 object with
phases up to 1 rad, 1000 counts a pixel, known probe (aligned MSE); `joint`, cells with three elements and
16 x 16 positions, grid sampling (joint loss over the one at which the default ends); and, where its file is
given, `star`, the measured Siemens star with the probe refined (loss in units of the mean count).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import ptyxrf
from ptyxrf.driver.objective import preconditioner
from ptyxrf.driver.reconstruction.alignment import align
from ptyxrf.driver.reconstruction.illumination import illuminated_area
from ptyxrf.driver.solver import quasi_newton
from ptyxrf.driver.solver.minimiser import Descent, Iteration, SolverOptions
from ptyxrf.driver.solver.quasi_newton import QuasiNewton
from ptyxrf.driver.solver.truncated_newton import TruncatedNewton

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from siemens_star import load

SETTINGS: dict[str, dict[str, Any]] = {
    "quasi-Newton": {"solver": QuasiNewton},
    "quasi-Newton, 3 pairs": {"solver": QuasiNewton, "pairs": 3},
    "quasi-Newton, 10 pairs": {"solver": QuasiNewton, "pairs": 10},
    "quasi-Newton, no preconditioner": {"solver": QuasiNewton, "identity": True},
    "truncated Newton": {},
    "model test 0.25": {"model_tolerance": 0.25},
    "model test 0.1": {"model_tolerance": 0.1},
    "inner limit 30": {"inner_limit": 30},
    "inner limit 60": {"inner_limit": 60},
    "floor 1 %": {"floor": 0.01},
    "floor 10 %": {"floor": 0.1},
    "no preconditioner": {"identity": True},
    "Gauss-Newton": {"curvature": "gauss-newton"},
    "Gauss-Newton, model test 0.1": {"curvature": "gauss-newton", "model_tolerance": 0.1},
    "full Hessian": {"curvature": "full"},
}


class Case:
    """A scan, the arguments of its objective, and thresholds of a measure of progress."""

    def __init__(
        self,
        scan: ptyxrf.Scan,
        arguments: dict[str, Any],
        thresholds: tuple[float, ...],
        measure: Callable[[ptyxrf.Objective, Iteration], float],
    ) -> None:
        self.scan, self.arguments, self.thresholds, self.measure = scan, arguments, thresholds, measure

    def run(self, setting: dict[str, Any], max_sweeps: float) -> list[float]:
        """Return the sweeps at which each threshold was passed (infinite: not)."""
        setting = dict(setting)
        floor = setting.pop("floor", 0.02)
        preconditioner.OBJECT_FLOOR = preconditioner.PROBE_FLOOR = floor
        identity = setting.pop("identity", False)
        solver: type[Descent] = setting.pop("solver", TruncatedNewton)
        quasi_newton.MEMORY = setting.pop("pairs", 5)
        if solver is QuasiNewton:
            setting["inner_limit"] = 1  # each step is looked at
        curvature = setting.pop("curvature", "positive")
        objective = ptyxrf.Objective(self.scan, precision="single", curvature=curvature, **self.arguments)
        objective.preconditioner.identity = identity
        passed: dict[float, float] = {}

        def report(iteration: Iteration) -> bool:
            value = self.measure(objective, iteration)
            for threshold in self.thresholds:
                if value <= threshold:
                    passed.setdefault(threshold, objective.work.sweeps)
            return len(passed) == len(self.thresholds)

        options = SolverOptions(
            max_iterations=10**6, max_sweeps=max_sweeps, gradient_tolerance=0, loss_tolerance=0, **setting
        )
        solver(objective, options, lambda: objective.work.sweeps, report).run(objective.initial)
        return [passed.get(threshold, np.inf) for threshold in self.thresholds]


def aligned_error(objective: ptyxrf.Objective, iteration: Iteration) -> float:
    """Return the aligned MSE, 40 pixels inside the border."""
    truth = objective.scan.truth["object"]
    inside = np.zeros(truth.shape, bool)
    inside[40:-40, 40:-40] = True
    inside &= illuminated_area(objective.scan)
    z = align(objective.complex_object(iteration.vector), truth, inside)
    return float((np.abs(z - truth)[inside] ** 2).mean())


def relative_loss(objective: ptyxrf.Objective, iteration: Iteration) -> float:
    """Return the loss in units of the mean count."""
    return iteration.value / objective.mean_count


def cases(star: Path | None) -> dict[str, Case]:
    """Return the cases by name."""
    cells = ptyxrf.simulate("cells", n=334, per_side=1, sampling=None, m=64).truth["object"]
    z = (0.3 + 0.7 * np.clip(cells.real, 0, 1)) * np.exp(1j * cells.imag / cells.imag.max())
    known = ptyxrf.simulate(z, n=334, per_side=20, m=64, photons=1000.0, noise="counting", sampling=None)
    joint = ptyxrf.simulate("cells", n=224, per_side=16, m=64, elements=3)
    found = {
        "known": Case(known, {"method": "ptychography"}, (1e-3, 3e-4, 1.5e-4), aligned_error),
        "joint": Case(joint, {"method": "joint"}, (0.55, 0.5, 0.49), relative_loss),
    }
    if star is not None:
        blind = {"method": "ptychography", "refine_probe": True, "rescale_probe": True}
        found["star"] = Case(load(star), blind, (105.0, 95.0, 93.0), relative_loss)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--star", type=Path)
    parser.add_argument("--max-sweeps", type=float, default=300)
    options = parser.parse_args()
    chosen = cases(options.star)
    heads = [f"{name} {threshold:g}" for name, case in chosen.items() for threshold in case.thresholds]
    print("| setting | " + " | ".join(heads) + " |\n" + "|---" * (len(heads) + 1) + "|")
    for label, setting in SETTINGS.items():
        sweeps = [value for case in chosen.values() for value in case.run(setting, options.max_sweeps)]
        cells = [f"{value:g}" if np.isfinite(value) else f"> {options.max_sweeps:g}" for value in sweeps]
        print(f"| {label} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
