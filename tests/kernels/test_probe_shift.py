"""The positioned probe and its adjoint against shifts by explicit sums over frequencies."""

import naive
import numpy as np
import pytest

from ptyxrf.kernels.fftw.probe_shift import LibraryShifts, ramp_spectra, ramp_spectra_adjoint
from ptyxrf.kernels.implementation import positioned_probe
from ptyxrf.kernels.simd.probe_shift import VectorShifts

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


# ---------------------------------------------------------------- a beam that moves

#: Implementations of `Shifts` with derivatives, and sizes for each.
MOVING = [(LibraryShifts, 11), (LibraryShifts, 8), (VectorShifts, 7), (VectorShifts, 8), (VectorShifts, 18)]


class MovingBeam:
    """Fractions beyond a pixel, gains, a change of all, and fields to add."""

    def __init__(self, kind, m, modes, dtype):
        rng = np.random.default_rng(m + modes)
        self.dtype, self.tolerance = dtype, 10 * naive.ROUNDING[dtype]
        self.fractions = rng.uniform(-2, 3, (COUNT, 2))
        self.fractions[1] = 0
        self.gains, self.moves = rng.uniform(0.5, 2, COUNT), rng.normal(size=(COUNT, 3))
        self.probe, self.change = (naive.random_complex(rng, (modes, m, m), dtype) for _ in range(2))
        self.fields = naive.random_complex(rng, (COUNT, modes, m, m), dtype)
        self.shifts = kind(np.zeros((COUNT, 2)), modes, m, dtype, 2)
        self.shifts.place(self.fractions, self.gains)
        self.spectrum, self.changed = (self.shifts.spectrum(field) for field in (self.probe, self.change))

    def places(self):
        return zip(self.fractions, self.gains, self.moves, strict=True)


@pytest.fixture(params=MOVING, ids=lambda p: f"{p[0].__name__}-m{p[1]}")
def moving(request):
    return request.param


@pytest.fixture(params=[(1, np.complex64), (1, np.complex128), (3, np.complex128)], ids=str)
def beam(request, moving):
    return MovingBeam(*moving, *request.param)


def forward(beam, call):
    """Return the fields of all positions, computed in batches."""
    fields = np.full_like(beam.fields, np.nan)
    for first, last in batches():
        part = np.empty_like(fields[first:last])
        call(first, last, part)
        fields[first:last] = part
    return fields


def summed(beam, call):
    """Return the sum in the probe and the (N, 3) slopes of all positions, computed in batches."""
    total, slopes = beam.shifts.no_sum(), np.ones((COUNT, 3))
    for first, last in batches():
        call(beam.fields[first:last].copy(), first, last, total, slopes[first:last])
    return beam.shifts.finished(total), slopes - 1


def test_gains_scale_the_shifted_probe(beam):
    found = forward(beam, lambda *at: beam.shifts.shift(beam.spectrum, *at))
    expected = [g * naive.shift(beam.probe, f) for f, g, _ in beam.places()]
    assert naive.relative(found, np.array(expected)) < beam.tolerance
    beam.shifts.place(beam.fractions)
    found = forward(beam, lambda *at: beam.shifts.shift(beam.spectrum, *at))
    assert naive.relative(found, np.array([naive.shift(beam.probe, f) for f in beam.fractions])) < 1e-5


def test_shift_tangent(beam):
    found = forward(
        beam,
        lambda first, last, fields: beam.shifts.shift_tangent(
            beam.changed, beam.spectrum, beam.moves[first:last], first, last, fields
        ),
    )
    expected = [
        g * (naive.shift(beam.change, f) + naive.shift_tangent(beam.probe, f, moves))
        for f, g, moves in beam.places()
    ]
    assert naive.relative(found, np.array(expected)) < beam.tolerance


def test_shift_tangent_is_the_derivative(beam):
    """Of the shifts themselves, by a central difference."""
    if beam.dtype == np.complex64:
        pytest.skip("differences need double precision")
    h, sides = 1e-5, []
    for t in (h, -h):
        beam.shifts.place(beam.fractions + t * beam.moves[:, :2], beam.gains * np.exp(t * beam.moves[:, 2]))
        spectrum = beam.shifts.spectrum(beam.probe + t * beam.change)
        sides.append(forward(beam, lambda *at, s=spectrum: beam.shifts.shift(s, *at)))
    beam.shifts.place(beam.fractions, beam.gains)
    tangent = forward(
        beam,
        lambda first, last, fields: beam.shifts.shift_tangent(
            beam.changed, beam.spectrum, beam.moves[first:last], first, last, fields
        ),
    )
    assert naive.relative((sides[0] - sides[1]) / (2 * h), tangent) < 1e-8


def test_add_with_slopes(beam):
    found, slopes = summed(beam, lambda fields, *at: beam.shifts.add_with_slopes(fields, beam.spectrum, *at))
    total, expected = np.zeros_like(beam.probe, complex), np.zeros((COUNT, 3))
    for j, (f, g, _) in enumerate(beam.places()):
        total += g * naive.shift_adjoint(beam.fields[j], f)
        for a, orders in enumerate(naive.AXES):
            expected[j, a] = g * naive.real_dot(beam.fields[j], naive.shift(beam.probe, f, orders))
    assert naive.relative(found, total) < beam.tolerance
    assert naive.relative(slopes, expected) < beam.tolerance
    plain, _ = summed(
        beam, lambda fields, first, last, total, _: beam.shifts.add_shifted_back(fields, first, last, total)
    )
    assert naive.relative(found, plain) < beam.tolerance


def test_add_with_slopes_is_the_adjoint_of_the_tangent(beam):
    """<fields, change of the beams> = <sum, dP> + slopes . moves."""
    tangent = forward(
        beam,
        lambda first, last, fields: beam.shifts.shift_tangent(
            beam.changed, beam.spectrum, beam.moves[first:last], first, last, fields
        ),
    )
    total, slopes = summed(beam, lambda fields, *at: beam.shifts.add_with_slopes(fields, beam.spectrum, *at))
    left = np.vdot(beam.fields, tangent).real
    right = np.vdot(total, beam.change).real + float((slopes * beam.moves).sum())
    size = np.linalg.norm(beam.fields) * np.linalg.norm(tangent)
    assert abs(left - right) < beam.tolerance * size


def test_add_bend(beam):
    found, slopes = summed(
        beam,
        lambda fields, first, last, total, part: beam.shifts.add_bend(
            fields, beam.changed, beam.spectrum, beam.moves[first:last], first, last, total, part
        ),
    )
    total, expected = np.zeros_like(beam.probe, complex), np.zeros((COUNT, 3))
    for j, (f, g, moves) in enumerate(beam.places()):
        field = beam.fields[j]
        for a, one in enumerate(naive.AXES):
            total += g * moves[a] * naive.shift_adjoint(field, f, one)
            expected[j, a] += g * naive.real_dot(field, naive.shift(beam.change, f, one))
            for b, other in enumerate(naive.AXES):
                twice = naive.shift(beam.probe, f, np.add(one, other))
                expected[j, a] += g * moves[b] * naive.real_dot(field, twice)
    assert naive.relative(found, total) < beam.tolerance
    assert naive.relative(slopes, expected) < beam.tolerance


def test_a_beam_that_moves_is_positioned(beam, moving):
    """`PositionedProbe` with moves in its direction, and sums with slopes."""
    kind, m = moving
    engine = "library" if kind is LibraryShifts else "vector"
    still = np.zeros((COUNT, 2))
    positioned = positioned_probe(still, len(beam.probe), m, beam.dtype, engine, batch=2, moving=True)
    assert not positioned.integer
    positioned.place(beam.fractions, beam.gains)
    positioned.set(beam.probe)
    positioned.set_direction(beam.change, beam.moves)
    total = positioned.adjoint(slopes=True)
    for first, last in batches():
        versions, slots = positioned.direction(first, last)
        tangents = [
            beam.gains[j]
            * (
                naive.shift(beam.change, beam.fractions[j])
                + naive.shift_tangent(beam.probe, beam.fractions[j], beam.moves[j])
            )
            for j in range(first, last)
        ]
        assert naive.relative(versions[slots], np.array(tangents)) < beam.tolerance
        total.add_fields(beam.fields[first:last], first, last)
    total.add_total(beam.probe)
    expected, slopes = summed(
        beam, lambda fields, *at: beam.shifts.add_with_slopes(fields, beam.spectrum, *at)
    )
    assert naive.relative(total.total(), expected + beam.probe) < beam.tolerance
    assert naive.relative(total.slopes, slopes) < beam.tolerance
