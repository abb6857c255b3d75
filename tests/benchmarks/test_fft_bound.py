"""Every library of the FFT bound computes the same transform, and the fastest is found."""

import naive
import numpy as np
import pytest

from ptyxrf.driver.planning import fft_bound as bound_module
from ptyxrf.driver.planning.fft_bound import FIELDS, LIBRARIES, fft_bound, installed, pairs


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("precision", FIELDS)
@pytest.mark.parametrize("m", [1, 8, 9, 14])
def test_each_library_transforms(monkeypatch, library, precision, m):
    if library not in installed():
        pytest.skip(f"{library} is not installed")
    dtype = FIELDS[precision]
    monkeypatch.setattr("ptyxrf.kernels.fftw.transforms.BATCH_BYTES", 3 * m * m * dtype.itemsize)
    tolerance = 3 * naive.ROUNDING[dtype.type]
    matrix = np.sqrt(m) * naive.dft_matrix(m, naive.signed_order(m))
    ways = list(pairs(m, precision, [library], 0.1))
    assert len({pair.name for pair in ways}) == len(ways) == (2 if library == "scipy.fft" else 4)
    for pair in ways:
        values = naive.random_complex(np.random.default_rng(m), (3, m, m), dtype)
        pair.fields[...] = values
        for forward, _ in pair.steps:
            forward()
        assert naive.relative(pair.images, matrix @ values @ matrix.T) < tolerance
        assert (pair.images is pair.fields) == ("in place" in pair.way)
        for _, inverse in pair.steps:
            inverse()
        assert naive.relative(pair.fields * (values[0, 0, 0] / pair.fields[0, 0, 0]), values) < tolerance


def test_the_fastest_is_found(monkeypatch):
    """With a clock of our own: each library takes a time that is known."""
    costs = {"pyFFTW": 3e-6, "scipy.fft": 2e-6}
    monkeypatch.setattr(bound_module, "installed", lambda: list(costs))
    monkeypatch.setattr(bound_module.Pair, "seconds", lambda pair: costs[pair.library])
    bound = fft_bound(8, "single", rounds=3, planning_seconds=0.1)
    assert bound.library.startswith("scipy.fft, in place")
    assert (bound.seconds, bound.spread) == (2e-6, (2e-6, 2e-6))
    assert bound.libraries == {"scipy.fft": 2e-6, "pyFFTW": 3e-6}
    assert list(bound.libraries) == ["scipy.fft", "pyFFTW"]


def test_a_bound_is_measured():
    bound = fft_bound(16, "double", rounds=2, planning_seconds=0.1)
    low, high = bound.spread
    assert 0 < low <= bound.seconds <= high
    assert set(bound.libraries) == set(installed()) >= {"pyFFTW", "scipy.fft"}


def test_libraries_that_do_not_load_are_left_out(monkeypatch):
    monkeypatch.setitem(LIBRARIES, "absent", ("no_such_module", None, True))
    assert "absent" not in installed()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, "single"), "m: expected at least 1 pixel"),
        ((8, "half"), "precision: expected single or double, got 'half'"),
        ((8, "single", 0), "rounds: expected at least 1"),
        ((8, "single", 1, 0.0), "planning_seconds: expected a positive number"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        fft_bound(*arguments)
