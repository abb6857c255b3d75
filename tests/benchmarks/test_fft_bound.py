"""Every library of the FFT bound computes the same transform, and the fastest is found."""

import fft_bound as bound_module
import naive
import numpy as np
import pytest
from fft_bound import FIELDS, LIBRARIES, fft_bound, installed, pairs


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("precision", FIELDS)
@pytest.mark.parametrize("m", [1, 8, 9, 14])
def test_each_library_transforms(monkeypatch, library, precision, m):
    if library not in installed():
        pytest.skip(f"{library} is not installed")
    dtype = FIELDS[precision]
    monkeypatch.setattr("ptyxrf.kernels.aligned.BATCH_BYTES", 3 * m * m * dtype.itemsize)
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


def test_all_installed_libraries_take_part():
    bound = fft_bound(16, "double", rounds=2, planning_seconds=0.1)
    assert set(bound.libraries) == set(installed()) >= {"pyFFTW", "scipy.fft"}
    assert bound.seconds == min(bound.libraries.values()) == bound.libraries[bound.pair.library]


def test_multiples_are_ratios_to_the_bound_of_the_same_round(monkeypatch):
    """With times of our own: 10 patterns take 40, 60 and 90 s while the bound takes 1, 2 and 3 s."""
    bound = fft_bound(8, "single", rounds=1, planning_seconds=0.1)
    monkeypatch.setattr(bound_module, "fft_bound", lambda *_: bound)
    monkeypatch.setattr(bound_module, "pattern_work", lambda *_: ({"product": None}, 10))
    times = {"bound": np.array([1.0, 2.0, 3.0]), "product": np.array([40.0, 60.0, 90.0])}
    monkeypatch.setattr(bound_module, "take_turns", lambda calls, rounds: dict(times))
    found = bound_module.measure_patterns(8, "single", 3)
    assert found.bound_seconds == 2
    assert found.quartiles == {"product": (3.0, 3.0, 3.5)}


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
