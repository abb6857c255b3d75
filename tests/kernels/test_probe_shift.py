"""The positioned probe and its adjoint against shifts by explicit sums over frequencies."""

import naive
import numpy as np
import pytest

from ptyxrf.kernels.fftw.probe_shift import ramp_spectra, ramp_spectra_adjoint
from ptyxrf.kernels.implementation import positioned_probe

COUNT = 5
CASES = [
    (modes, m, fractional, dtype, engine)
    for modes, m, fractional, engine in (
        (1, 11, True, "library"),
        (1, 7, True, "library"),
        (3, 8, True, "library"),
        (3, 7, False, "library"),
        (1, 7, True, "vector"),
        (3, 16, True, "vector"),
        (2, 18, True, "vector"),
        (3, 7, False, "vector"),
    )
    for dtype in (np.complex64, np.complex128)
]


@pytest.fixture(
    params=CASES,
    ids=lambda c: f"K{c[0]}-m{c[1]}-{'fraction' if c[2] else 'whole'}-{c[3].__name__}-{c[4]}",
)
def case(request):
    """Five positions in batches of two, so that the last batch is a partial one."""
    modes, m, fractional, dtype, engine = request.param
    rng = np.random.default_rng(m)
    fractions = rng.random((COUNT, 2)) if fractional else np.zeros((COUNT, 2))
    fractions[1] = 0
    positioned = positioned_probe(fractions, modes, m, dtype, engine, batch=2)
    return {
        "positioned": positioned,
        "fractions": fractions,
        "probe": naive.random_complex(rng, (modes, m, m), dtype),
        "fields": naive.random_complex(rng, (COUNT, modes, m, m), dtype),
        "tolerance": 2 * naive.ROUNDING[dtype],
    }


def batches():
    return [(first, min(first + 2, COUNT)) for first in range(0, COUNT, 2)]


def test_ramps(case):
    rng = np.random.default_rng(1)
    shape, dtype = case["fields"].shape, case["fields"].dtype
    rows, columns = (naive.random_complex(rng, (COUNT, shape[-1]), dtype) for _ in range(2))
    fields = np.full(shape, np.nan, dtype)
    ramp_spectra(case["probe"], rows, columns, fields)
    ramps = rows[:, None, :, None] * columns[:, None, None, :]
    assert naive.relative(fields, ramps * case["probe"]) < case["tolerance"]
    total = case["probe"].copy()
    ramp_spectra_adjoint(case["fields"], rows, columns, total)
    assert (
        naive.relative(total, case["probe"] + (ramps.conj() * case["fields"]).sum(axis=0)) < case["tolerance"]
    )


def test_versions(case):
    positioned = case["positioned"]
    positioned.set(case["probe"])
    expected = [naive.shift(case["probe"], fraction) for fraction in case["fractions"]]
    assert naive.relative(positioned.stack[positioned.which], np.array(expected)) < case["tolerance"]
    if not case["fractions"].any():
        assert len(positioned.stack) == 1
        np.testing.assert_array_equal(positioned.stack[0], case["probe"])


def test_directions(case):
    positioned = case["positioned"]
    positioned.set_direction(case["probe"])
    for first, last in batches():
        versions, slots = positioned.direction(first, last)
        expected = [naive.shift(case["probe"], fraction) for fraction in case["fractions"][first:last]]
        assert naive.relative(versions[slots], np.array(expected)) < case["tolerance"]


@pytest.mark.parametrize("whole_fields", [False, True])
def test_adjoint(case, whole_fields):
    positioned = case["positioned"]
    for _ in range(2):  # a second sum does not remember the first
        total = positioned.adjoint()
        for first, last in batches():
            fields = case["fields"][first:last]
            if whole_fields:
                total.add_fields(fields, first, last)
                continue
            target, slots = total.target(first, last)
            np.add.at(target, slots, fields)
            total.add(first, last)
        total = total.total()
    expected = sum(
        naive.shift_adjoint(field, fraction)
        for field, fraction in zip(case["fields"], case["fractions"], strict=True)
    )
    assert naive.relative(total, expected) < case["tolerance"]
    if case["probe"].dtype == np.complex128:
        positioned.set(case["probe"])
        forward = positioned.stack[positioned.which]
        left, right = np.vdot(forward, case["fields"]), np.vdot(case["probe"], total)
        assert abs(left - right) <= 1e-12 * np.linalg.norm(forward) * np.linalg.norm(case["fields"])


def test_a_shift_moves_the_content_to_higher_indices():
    m = 8
    rows, columns = np.indices((m, m))
    spot = np.exp(-0.5 * ((rows - 3) ** 2 + (columns - 4) ** 2) / 0.8).astype(complex)[None]
    positioned = positioned_probe(np.array([[0.75, 0.25]]), 1, m, np.complex128)
    positioned.set(spot)
    weight = np.abs(positioned.stack[0, 0]) ** 2
    centre = [(weight * index).sum() / weight.sum() for index in (rows, columns)]
    np.testing.assert_allclose(centre, [3.75, 4.25], atol=0.02)
    np.testing.assert_allclose(weight.sum(), (np.abs(spot) ** 2).sum(), rtol=1e-13)  # unitary
