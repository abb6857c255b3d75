"""Shifts by an expansion against shifts by explicit sums over frequencies, and their stated error."""

import naive
import numpy as np
import pytest
from scipy.special import jv

from ptyxrf.kernels.simd.fourier import VectorPlan
from ptyxrf.kernels.simd.operations import TERMS
from ptyxrf.kernels.simd.shift_expansion import TOGETHER, ExpandedShifts, factors_of, weights_of

#: Positions: a group that is computed together, and one that is left.
COUNT = TOGETHER + 1


class Case:
    """Positions with fractions, among them the ends of their range, and fields to shift back."""

    def __init__(self, modes, m, dtype):
        rng = np.random.default_rng(m + modes)
        self.plan, self.modes, self.dtype = VectorPlan.of(m, dtype), modes, dtype
        self.fractions = rng.random((COUNT, 2))
        self.fractions[0], self.fractions[-1] = 0, np.nextafter(1, 0)
        self.probe = naive.random_complex(rng, (modes, m, m), dtype)
        self.fields = naive.random_complex(rng, (COUNT, modes, m, m), dtype)
        self.shifts = ExpandedShifts(self.fractions, modes, m, dtype)
        self.tolerance = 2 * naive.ROUNDING[dtype]

    def chunks(self, fields):
        """Return a view (B, K, C, 2, m, W) of split fields, without the rows that are not used."""
        plan = self.plan
        shape = (len(fields), self.modes, plan.chunks, 2, plan.padded + 1, plan.lanes)
        return fields.reshape(shape)[..., : plan.m, :]

    def split(self, fields):
        m, plan = self.plan.m, self.plan
        wide = np.zeros((*fields.shape[:-1], plan.padded), self.dtype)
        wide[..., :m] = fields
        chunks = np.moveaxis(wide.reshape(*fields.shape[:-1], plan.chunks, plan.lanes), -2, 2)
        room = self.shifts.room(len(fields))
        self.chunks(room)[:, :, :, 0], self.chunks(room)[:, :, :, 1] = chunks.real, chunks.imag
        return room

    def merged(self, room):
        chunks = self.chunks(room)
        wide = np.moveaxis(chunks[:, :, :, 0] + 1j * chunks[:, :, :, 1], 2, -2)
        return wide.reshape(*wide.shape[:3], self.plan.padded)[..., : self.plan.m]

    def shifted(self, probe):
        room = self.shifts.room(COUNT)
        self.shifts.shift(self.shifts.spectrum(probe), 0, COUNT, room)
        return self.merged(room)

    def shifted_back(self, fields):
        total = self.shifts.no_sum()
        self.shifts.add_shifted_back(self.split(fields), 0, COUNT, total)
        return self.shifts.finished(total)


@pytest.fixture(
    params=[(K, m, dtype) for K, m in ((1, 7), (2, 18), (1, 32)) for dtype in (np.complex64, np.complex128)],
    ids=lambda c: f"K{c[0]}-m{c[1]}-{c[2].__name__}",
)
def case(request):
    return Case(*request.param)


def test_shifts(case):
    expected = [naive.shift(case.probe, fraction) for fraction in case.fractions]
    for _ in range(2):  # nothing is remembered
        assert naive.relative(case.shifted(case.probe), np.array(expected)) < case.tolerance


def test_adjoint(case):
    expected = sum(naive.shift_adjoint(*both) for both in zip(case.fields, case.fractions, strict=True))
    for _ in range(2):
        assert naive.relative(case.shifted_back(case.fields), expected) < case.tolerance


def test_the_adjoint_is_that_of_the_expansion(case):
    """To rounding, which is less than what the expansion leaves out."""
    forward, back = case.shifted(case.probe), case.shifted_back(case.fields)
    difference = abs(np.vdot(forward, case.fields) - np.vdot(case.probe, back))
    rounding = 1e-7 if case.dtype == np.complex64 else 1e-15
    assert difference < rounding * np.linalg.norm(forward) * np.linalg.norm(case.fields)


@pytest.mark.parametrize(("real", "bounds"), [(np.float32, (8e-6, 3e-8)), (np.float64, (3e-15, 1e-15))])
def test_stated_error(real, bounds):
    """At the highest frequency and at half of it; the bound is hardly above the error."""
    number, fractions = TERMS[np.dtype(real).itemsize], np.linspace(0, 1, 101)
    for u, bound in zip((np.pi, np.pi / 2), bounds, strict=True):
        expansion = weights_of(fractions, number) @ factors_of(np.array([u, -u]), number)
        error = np.abs(expansion - np.exp(-1j * fractions[:, None] * np.array([u, -u]))).max()
        rest = 2 * np.abs(jv(np.arange(number, number + 20), u / 2)).sum()
        assert error < rest + 1e-15
        assert rest < bound
    assert real == np.float64 or error > 0.5 * rest
