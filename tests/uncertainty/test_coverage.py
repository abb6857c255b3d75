"""Error bars contain the truth as often as they promise: a small version of benchmarks/error_bars.py."""

import numpy as np
import pytest
from error_bars import measured, truth_of
from scipy.special import stdtrit

from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.simulation.simulate import simulate
from ptyxrf.driver.simulation.specimens import Specimen
from ptyxrf.driver.uncertainty.open_directions import OpenDirections
from ptyxrf.driver.uncertainty.quantities import Quantities
from ptyxrf.driver.uncertainty.uncertainty import uncertainty

SAMPLES = 16
FIT = {"sequential_first": False, "fluorescence_first": False, "noise_stop": False, "precision": "double"}


def clean_scan(sampling, defocus):
    m, count = 8, 8
    turns = np.fft.fftfreq(m)
    probe = np.fft.fftshift(np.fft.ifft2(np.exp(1j * defocus * m**2 * (turns[:, None] ** 2 + turns**2))))
    n = m + count - 1
    texture = np.random.default_rng(0).normal(size=(2, n, n))
    maps = 0.6 + 0.1 * texture[:1]
    specimen = Specimen(0.8 + 0.1 * texture[1], maps, np.array([0.4]), ("Fe",))
    positions = np.stack(np.meshgrid(np.arange(count), np.arange(count), indexing="ij"), -1).reshape(-1, 2)
    return simulate(
        specimen,
        probe=probe,
        positions=positions,
        photons=50.0,
        noise=0.0,
        sampling=sampling,
        sensitivity=0.02,
    )


def ratios(clean, method, names, seeds, **settings):
    """Return errors over deviations of some quantities, and what they have been after so many seeds."""
    truth, found = truth_of(clean, method), {name: [] for name in names}
    for seed in range(seeds):
        scan = measured(clean, seed)
        # the rest of the way to the minimum is that of `uncertainty`
        result = reconstruct(scan, method, start=truth, max_sweeps=30, **FIT | settings)
        bars = uncertainty(result, scan, samples=SAMPLES, seed=seed)
        objective, vector = bars.fit.objective, bars.fit.vector
        start = objective.scatter(**{name: truth[name] for name in objective.unknowns})
        error = OpenDirections(objective, vector).without(vector - start)
        quantities = Quantities(objective, vector)
        errors = quantities.whole(quantities.of(error))
        for name in names:
            sizes = bars.arrays[name]
            known = np.isfinite(sizes) & (sizes > 0)
            found[name].append(errors[name][known] / sizes[known])
    return {name: np.concatenate(several) for name, several in found.items()}


def within(values, level):
    return np.mean(np.abs(values) <= stdtrit(SAMPLES, 0.5 + level / 2))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_two_thirds_of_the_errors_lie_within_one_deviation():
    found = ratios(clean_scan("none", 0.2), "ptychography", ("amplitude", "phase"), 3)
    for values in found.values():
        assert within(values, 0.683) == pytest.approx(0.683, abs=0.06)
        assert within(values, 0.95) == pytest.approx(0.95, abs=0.03)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_maps_with_a_prior_and_bounds_are_covered_too():
    scan = clean_scan("grid", 0.02)
    found = ratios(scan, "joint", ("elements",), 4, fluorescence_prior=25.0, nonnegative=True)
    assert 0.6 < within(found["elements"], 0.683) < 0.8
    assert within(found["elements"], 0.95) > 0.9
