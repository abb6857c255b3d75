"""Expected errors beside those of repeated simulations: the figures of docs/uncertainty.md.

    python benchmarks/expected_errors.py [--seeds 20] [--step 2,4] [--dwell 0.5,2] [--pattern-loss poisson]

A small joint scan is foretold for each step and dwell time, then measured and fitted again and again. For
each quantity a line has the expected error, and that of the fits over it, first with the prior that was
foretold and without bounds, then with the defaults of `reconstruct`.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

import ptyxrf
from ptyxrf.driver.uncertainty.expected import Expected, strengths_of_fit
from ptyxrf.driver.uncertainty.experiment import choices_of, measured_under
from ptyxrf.driver.uncertainty.fitted import fit_of
from ptyxrf.driver.uncertainty.settings import Conditions, Sampling

#: Settings of fits that start at the truth and end at the minimum.
FIT = {
    "noise_stop": False,
    "scale_from": "probe",
    "sequential_first": False,
    "fluorescence_first": False,
    "rescale_probe": False,
    "precision": "double",
}


def example() -> ptyxrf.Scan:
    """Return a scan of two elements at the positions."""
    return ptyxrf.simulate(
        "cells", m=16, n=46, per_side="fit", step=3, margin=1, sampling="scan", elements=2, photons=60.0,
        noise="counting", sensitivity=0.02, energy=8000.0,
    )  # fmt: skip


def errors_of_fits(
    clean: ptyxrf.Scan, seeds: int, loss: str, strengths: tuple[float, ...] | None
) -> dict[str, float]:
    """Return the errors over repeated measurements, summed up as `Expected.errors`; None: with defaults."""
    z, w = np.asarray(clean.truth["object"]), np.asarray(clean.truth["elements"])
    lit, squares = ptyxrf.illuminated_area(clean), dict[str, NDArray]()
    settings = {} if strengths is None else {"fluorescence_prior": strengths, "nonnegative": False}
    settings = FIT | settings | {"pattern_loss": loss}
    for seed in range(seeds):
        noise = np.random.default_rng(seed)
        scan = clean.replace(
            patterns=noise.poisson(clean.patterns).astype(float),
            fluorescence=noise.poisson(clean.fluorescence).astype(float),
        )
        result = ptyxrf.reconstruct(
            scan, "joint", start={"real_part": z.real, "elements": w, "probe": scan.probe}, **settings
        )
        fit = fit_of(result, scan, Sampling(), None)  # at the minimum
        relative = np.log(fit.objective.complex_object(fit.vector) / z)
        errors = {"amplitude": np.abs(z) * relative.real, "phase": relative.imag}
        for e, name in enumerate(scan.element_names):
            found = fit.objective.elements_of(fit.vector)[e]
            errors[name] = (found - w[e]) / np.sqrt(np.mean(w[e][lit] ** 2))
        for name, values in errors.items():
            squares[name] = squares.get(name, 0.0) + values[lit] ** 2 / seeds
    low = np.sqrt(2 * gammaincinv(seeds / 2, 0.5) / seeds)  # of a median of so many
    return {
        name: float(np.sqrt(total.mean() if name in scan.element_names else np.median(total) / low**2))
        for name, total in squares.items()
    }


def lines_of(
    expected: Expected, clean: ptyxrf.Scan, seeds: int, loss: str, strengths: tuple[float, ...]
) -> list[str]:
    """Return the lines of a combination."""
    choice = expected.choice
    fits = [errors_of_fits(clean, seeds, loss, given) for given in (strengths, None)]
    head = f"step {choice.step:g}, dwell {choice.dwell:g}: {expected.positions} positions"
    return [f"{head}, {expected.counts:.3g} counts"] + [
        f"    {name:10} expected {error:.3g}, found / expected "
        + ", ".join(f"{of[name] / error:.2f}" for of in fits)
        for name, error in expected.errors.items()
    ]


def main() -> None:
    """Print expected and found errors."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    for name, default in (("--step", "2,4"), ("--dwell", "0.5,2")):
        parser.add_argument(name, default=default)
    parser.add_argument("--pattern-loss", default="amplitude", choices=("amplitude", "poisson"))
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    scan = example()
    steps, dwells = (tuple(map(float, words.split(","))) for words in (options.step, options.dwell))
    (own,) = choices_of(scan, Conditions())
    strengths = tuple(strengths_of_fit(measured_under(scan, own), "auto"))
    for expected in ptyxrf.expected_errors(scan, step=steps, dwell=dwells, samples=16).table:
        clean = measured_under(scan, expected.choice)
        print(
            "\n".join(lines_of(expected, clean, options.seeds, options.pattern_loss, strengths)), flush=True
        )


if __name__ == "__main__":
    main()
