"""How often error bars contain the truth, over repeated noise: the figures of docs/uncertainty.md.

    python benchmarks/error_bars.py [--seeds 20] [--samples 32] [--problem NAME]

The same small specimen is measured again and again. Each measurement is fitted from the truth, so that all
reach the same minimum, and gets error bars. For each quantity a line says how many of its errors lie within
one and within 1.96 standard deviations (widened as Student's t demands for the number of samples; 68.3 and
95.0 % are expected), the root mean square of the deviations over that of the errors, the mean of all errors
over it, and the median over the pixels of the first ratio taken over the seeds. Directions that the data
leave open are removed from the errors.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr, stdtrit

import ptyxrf
from ptyxrf.driver.uncertainty.open_directions import OpenDirections
from ptyxrf.driver.uncertainty.quantities import Quantities

#: Settings of fits without bounds and prior.
PLAIN = {"nonnegative": False, "sequential_first": False, "fluorescence_prior": "none"}
#: Standard deviations of the two intervals.
INTERVALS = (1.0, 1.96)
#: The region of the derived masses, well within the scan.
REGION = (slice(10, 22), slice(10, 22))


@dataclass(frozen=True)
class Problem:
    """A scan and the settings of its fit.

    Attributes
    ----------
    method, sampling : str
    photons : float
        Mean counts of a pattern pixel.
    compact : bool
        Whether the probe has some 3 x 3 pixels, which let maps on the grid be told without a prior, or
        some 9 x 9 pixels, which patterns need.
    step : int
        Pixels between positions.
    fit : dict
        Further settings of `reconstruct`.
    """

    method: str
    sampling: str = "none"
    photons: float = 30.0
    compact: bool = False
    step: int = 2
    fit: dict[str, Any] = field(default_factory=dict)


PROBLEMS = {
    "ptychography": Problem("ptychography"),
    "ptychography, refined probe": Problem("ptychography", photons=300.0, fit={"refine_probe": True}),
    "ptychography, few counts, Poisson loss": Problem(
        "ptychography", photons=3.0, fit={"pattern_loss": "poisson"}
    ),
    "joint, maps on the grid": Problem("joint", "grid", compact=True, step=1),
    "joint, maps at the positions": Problem("joint", "scan"),
    "joint, on the grid, refined probe": Problem(
        "joint", "grid", compact=True, step=1, photons=300.0, fit={"refine_probe": True}
    ),
    "ptychography, refined positions": Problem(
        "ptychography", photons=300.0, fit={"refine_positions": "each"}
    ),
    "joint, on the grid, prior and bounds": Problem(
        "joint", "grid", compact=True, step=1, fit={"fluorescence_prior": "auto", "nonnegative": True}
    ),
}


def clean_scan(problem: Problem) -> ptyxrf.Scan:
    """Return the scan without noise: one strong element, and one that patterns hardly see."""
    m, step = 16, problem.step
    count = 20 // step
    turns = 2 * np.pi * np.fft.fftfreq(m)
    # as bright everywhere: no detector pixel is dark
    if problem.compact:
        far = np.exp(1j * (np.cos(turns)[:, None] + np.cos(turns)))
    else:
        far = np.exp(0.12j * (m / (2 * np.pi)) ** 2 * (turns[:, None] ** 2 + turns**2))
    probe = np.fft.fftshift(np.fft.ifft2(far))
    where = step * np.stack(np.meshgrid(np.arange(count), np.arange(count), indexing="ij"), -1).reshape(-1, 2)
    n = m + step * (count - 1)
    row, column = np.indices((n, n)) / n
    texture = gaussian_filter(np.random.default_rng(0).normal(size=(3, n, n)), (0, 1.2, 1.2))
    real = 0.8 + 0.1 * np.cos(9 * row + 4 * column) + 0.3 * texture[0]
    strong = 0.6 + 0.3 * np.sin(7 * column) * np.cos(5 * row) + 0.3 * texture[1]
    trace = 0.6 + 0.3 * np.cos(8 * row - 3 * column) + 0.3 * texture[2]
    specimen = ptyxrf.Specimen(real, np.stack([strong, trace]), np.array([0.5, 0.005]), ("strong", "trace"))
    return ptyxrf.simulate(
        specimen, probe=probe, positions=where, photons=problem.photons, noise=0.0, sampling=problem.sampling,
        sensitivity=(0.05, 0.02),
    )  # fmt: skip


def measured(clean: ptyxrf.Scan, seed: int) -> ptyxrf.Scan:
    """Return a scan with Poisson noise."""
    noise = np.random.default_rng(seed)
    changes = {"patterns": noise.poisson(clean.patterns).astype(float), "count_scale": np.ones(clean.N)}
    if clean.fluorescence is not None:
        changes["fluorescence"] = noise.poisson(clean.fluorescence).astype(float)
        changes["fluorescence_count_scale"] = np.ones(clean.N_e)
    return clean.replace(**changes)


def truth_of(scan: ptyxrf.Scan, method: str) -> dict[str, Any]:
    """Return the true unknowns by name."""
    z = scan.truth["object"]
    truth = {"real_part": z.real, "probe": scan.probe}
    if method == "ptychography":
        return truth | {"imaginary_part": z.imag}
    return truth | {"elements": scan.truth["elements"]}


def measure(
    problem: Problem, seeds: range, samples: int
) -> Iterator[tuple[ptyxrf.Uncertainty, dict[str, tuple[NDArray, NDArray]]]]:
    """Yield error bars, and errors and deviations of each quantity, for each measurement."""
    clean = clean_scan(problem)
    for seed in seeds:
        scan = measured(clean, seed)
        truth = truth_of(scan, problem.method)
        settings = PLAIN | problem.fit
        result = ptyxrf.reconstruct(
            scan, problem.method, start=truth, noise_stop=False, scale_from="probe", precision="double",
            fluorescence_first=False, rescale_probe=False, **settings,
        )  # fmt: skip
        found = ptyxrf.uncertainty(result, scan, samples=samples, seed=seed)
        yield found, errors_of(found, truth, scan)


def errors_of(found: Any, truth: dict[str, Any], scan: ptyxrf.Scan) -> dict[str, tuple[NDArray, NDArray]]:
    """Return (errors, deviations) of each quantity on the illuminated pixels."""
    fit, objective = found.fit, found.fit.objective
    known = truth | {"displacement": np.zeros((scan.N, 2))}
    start = objective.scatter(**{name: known[name] for name in objective.unknowns})
    error = OpenDirections(objective, fit.vector).without(fit.vector - start)
    quantities = Quantities(objective, fit.vector)
    pairs = {}
    for name, values in quantities.whole(quantities.of(error)).items():
        deviation = getattr(found, name)
        several = (
            zip(scan.element_names, values, deviation, strict=True)
            if name == "elements"
            else [(name, values, deviation)]
        )
        for label, errors, sizes in several:
            lit = np.isfinite(sizes) & (sizes > 0)
            pairs[label] = np.abs(errors[lit]) if np.iscomplexobj(errors) else errors[lit], sizes[lit]
    if "elements" in found.arrays:
        for e, name in enumerate(scan.element_names):
            mass = found.of(lambda result, e=e: result.elements[e][REGION].sum())
            true = truth["elements"][e][REGION].sum()
            pairs[f"mass of {name}"] = np.array([mass.value - true]), np.array([mass.deviation])
    return pairs


def table(problem: Problem, seeds: int, samples: int) -> list[str]:
    """Return the lines of a problem."""
    sums: dict[str, list[tuple[NDArray, NDArray]]] = defaultdict(list)
    unsolved, products = [], []
    for found, pairs in measure(problem, range(seeds), samples):
        unsolved.append(found.unsolved)
        products.append(found.products / found.samples)
        for name, pair in pairs.items():
            sums[name].append(pair)
    lines = [f"{np.mean(products):.0f} products a sample, unsolved {np.mean(unsolved):.3f}"]
    for name, pairs in sums.items():
        if name == "probe":
            continue  # moduli of complex errors have another distribution
        errors, sizes = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
        widened = [float(stdtrit(samples, ndtr(one))) for one in INTERVALS]
        within = [100 * float(np.mean(np.abs(errors) <= factor * sizes)) for factor in widened]
        ratio = np.sqrt(np.mean(sizes**2) / np.mean(errors**2))
        bias = errors.mean() / np.sqrt(np.mean(sizes**2))
        line = f"{name:20} {within[0]:6.1f} {within[1]:6.1f} {ratio:8.3f} {bias:+8.3f}"
        if len({pair[0].shape for pair in pairs}) == 1:  # the same pixels are lit in all
            squares = [np.mean([pair[i] ** 2 for pair in pairs], axis=0) for i in (0, 1)]
            line += f" {np.median(np.sqrt(squares[1] / squares[0])):8.3f}"
        lines.append(line)
    return lines


def main() -> None:
    """Print a table for each problem."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--problem", choices=PROBLEMS)
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    for name, problem in PROBLEMS.items():
        if options.problem in (None, name):
            began = time.perf_counter()
            lines = table(problem, options.seeds, options.samples)
            print(f"{name}: within 1, 1.96 (%), deviation over error, mean error, median ratio of a pixel")
            print("\n".join(lines), f"\n{time.perf_counter() - began:.1f} s\n", flush=True)


if __name__ == "__main__":
    main()
