"""Sweeps that the solvers need when one setting changes at a time: the reasons for their defaults.

    python benchmarks/solver_settings.py [--star siemens-star-small.npz.bz2] [--max-sweeps 300]

All cases are in single precision and start from a flat object. `known`: 400 patterns of 64^2 of a 334^2
object with phases up to 1 rad, 1000 counts per pixel, known probe (aligned MSE). `joint`: cells with three
elements and 16 x 16 positions, grid sampling (loss in units of the mean count). `star`, if its file is given:
the measured Siemens star with the probe refined (the same loss).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import ptyxrf

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from siemens_star import load

QUASI_NEWTON, NEWTON = {"solver": "quasi-newton"}, {"solver": "newton"}
SETTINGS: dict[str, dict[str, Any]] = {
    "quasi-Newton": QUASI_NEWTON,
    "quasi-Newton, 3 pairs": QUASI_NEWTON | {"pairs": 3},
    "quasi-Newton, 10 pairs": QUASI_NEWTON | {"pairs": 10},
    "quasi-Newton, no preconditioner": QUASI_NEWTON | {"preconditioner": False},
    "truncated Newton": NEWTON,
    "model test 0.25": NEWTON | {"model_tolerance": 0.25},
    "model test 0.1": NEWTON | {"model_tolerance": 0.1},
    "inner limit 30": NEWTON | {"inner_limit": 30},
    "inner limit 60": NEWTON | {"inner_limit": 60},
    "floor 1 %": NEWTON | {"object_floor": 0.01, "probe_floor": 0.01},
    "floor 10 %": NEWTON | {"object_floor": 0.1, "probe_floor": 0.1},
    "no preconditioner": NEWTON | {"preconditioner": False},
    "Gauss-Newton": NEWTON | {"curvature": "gauss-newton"},
    "Gauss-Newton, model test 0.1": NEWTON | {"curvature": "gauss-newton", "model_tolerance": 0.1},
    "full Hessian": NEWTON | {"curvature": "full"},
}

#: Given a scan, the record of an iteration and a view of it.
Measure = Callable[[ptyxrf.Scan, ptyxrf.IterationRecord, Any], float]


class Case:
    """A scan, the settings of its reconstruction, and thresholds of a measure of progress."""

    def __init__(
        self, scan: ptyxrf.Scan, settings: dict[str, Any], thresholds: tuple[float, ...], measure: Measure
    ) -> None:
        self.scan, self.settings, self.thresholds, self.measure = scan, settings, thresholds, measure

    def run(self, setting: dict[str, Any], max_sweeps: float) -> list[float]:
        """Return the sweeps at which each threshold was passed (infinite: not)."""
        passed: dict[float, float] = {}

        def note(record: ptyxrf.IterationRecord, view: Any) -> bool:
            value = self.measure(self.scan, record, view)
            for threshold in self.thresholds:
                if value <= threshold:
                    passed.setdefault(threshold, record.sweeps)
            return len(passed) == len(self.thresholds)

        if setting["solver"] == "quasi-newton":
            setting = {"inner_limit": 1, **setting}  # each step is looked at
        ptyxrf.reconstruct(
            self.scan, **self.settings, **setting, max_iterations=10**6, max_sweeps=max_sweeps,
            gradient_tolerance=0, loss_tolerance=0, noise_stop=False, fluorescence_first=False, callback=note,
        )  # fmt: skip
        return [passed.get(threshold, np.inf) for threshold in self.thresholds]


def aligned_error(scan: ptyxrf.Scan, record: ptyxrf.IterationRecord, view: Any) -> float:
    """Return the aligned MSE, 40 pixels inside the border."""
    truth = scan.truth["object"]
    inside = np.zeros(truth.shape, bool)
    inside[40:-40, 40:-40] = True
    inside &= ptyxrf.illuminated_area(scan)
    z = ptyxrf.align(view.object, truth, inside)
    return float((np.abs(z - truth)[inside] ** 2).mean())


def relative_loss(scan: ptyxrf.Scan, record: ptyxrf.IterationRecord, view: Any) -> float:
    """Return the loss in units of the mean count."""
    return record.loss / float(np.mean(scan.patterns))


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
