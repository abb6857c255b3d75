"""Planned, aligned FFTs of a few patterns at a time, and of real maps on a padded grid.

Plans are made once per shape and precision in a process and shared. The transforms are unnormalised;
the unitary factor 1/m is folded into the scale of each position, which costs nothing.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyfftw
from numpy.typing import NDArray

from ptyxrf.kernels.aligned import aligned_zeros, batch_size
from ptyxrf.kernels.fftw.planning import PLANS, TEN_ITERATIONS


def _pattern_plan(
    modes: int, m: int, dtype: str, batch: int, direction: str, in_place: bool, executions: float | None = 0
) -> Any:
    def make(flags: tuple[str, ...], limit: float | None) -> Any:
        source = aligned_zeros((batch, modes, m, m), dtype)
        target = source if in_place else aligned_zeros((batch, modes, m, m), dtype)
        if modes * m * m * np.dtype(dtype).itemsize % pyfftw.simd_alignment:
            flags = (*flags, "FFTW_UNALIGNED")  # a batch may start anywhere
        return pyfftw.FFTW(
            source, target, axes=(2, 3), direction=direction, flags=flags, threads=1, planning_timelimit=limit
        )

    key = modes, m, dtype, batch, direction, in_place
    return PLANS.get(key, make, batch * modes * m * m, executions)


class PatternFourier:
    """Unnormalised 2-D DFTs of fields (B, K, m, m) over the last two axes.

    Parameters
    ----------
    modes, m : int
        K and m.
    dtype : complex64 or complex128
    batch : int, optional
        Most positions at a time; default: as many as stay in cache.
    """

    def __init__(self, modes: int, m: int, dtype: Any, batch: int | None = None) -> None:
        self.modes, self.m, self.dtype = modes, m, np.dtype(dtype)
        self.batch = batch_size(modes, m, self.dtype) if batch is None else batch

    def buffer(self) -> NDArray[Any]:
        """Return an aligned (batch, K, m, m) array of fields."""
        return aligned_zeros((self.batch, self.modes, self.m, self.m), self.dtype)

    def plan(self, positions: int | None = 0) -> None:
        """Make all plans that transforms of these fields need, so that none is made during the work.

        Parameters
        ----------
        positions : int or None
            How many there are, which tells the effort that planning is worth; 0: take what is known, None:
            make plans anew with it.
        """
        for count in {1, self.batch}:
            # the last positions, less than a batch, are transformed one by one
            often = None if positions is None else divmod(positions, self.batch)[count < self.batch]
            for direction, in_place, sweeps in (
                ("FFTW_FORWARD", True, TEN_ITERATIONS - 10),
                ("FFTW_FORWARD", False, 10),  # a gradient leaves the far fields where they are kept
                ("FFTW_BACKWARD", True, TEN_ITERATIONS),
            ):
                executions = None if often is None else sweeps * often
                _pattern_plan(self.modes, self.m, self.dtype.str, count, direction, in_place, executions)

    def _run(self, source: NDArray, target: NDArray, direction: str) -> None:
        in_place = source is target
        count = source.shape[0]
        if count == self.batch:
            plan = _pattern_plan(self.modes, self.m, self.dtype.str, count, direction, in_place)
            plan.update_arrays(source, target)
            plan.execute()
            return
        plan = _pattern_plan(self.modes, self.m, self.dtype.str, 1, direction, in_place)
        for b in range(count):
            one = source[b : b + 1]
            plan.update_arrays(one, one if in_place else target[b : b + 1])
            plan.execute()

    def forward(self, source: NDArray, target: NDArray) -> None:
        """Target = sum over the patch of source exp(-2 pi i ...); both (B, K, m, m), B up to the batch."""
        self._run(source, target, "FFTW_FORWARD")

    def backward(self, source: NDArray, target: NDArray) -> None:
        """Target = sum over the pattern of source exp(+2 pi i ...): m^2 times the inverse of `forward`."""
        self._run(source, target, "FFTW_BACKWARD")


def real_plans(rows: int, columns: int, dtype: str, executions: float | None = 0) -> tuple[Any, Any]:
    """Return the plans (forward, backward) of a real (rows, columns) map, bound to their own arrays.

    Parameters
    ----------
    rows, columns : int
    dtype : str
    executions : float or None
        How often each is needed in ten iterations, which tells the effort that planning is worth; 0: take
        what is known, None: make plans anew with it.
    """
    real, half = _real_arrays(rows, columns, dtype)

    def plan(direction: str, source: NDArray, target: NDArray) -> Any:
        def make(flags: tuple[str, ...], limit: float | None) -> Any:
            return pyfftw.FFTW(
                source, target, axes=(0, 1), direction=direction, flags=flags, threads=1,
                planning_timelimit=limit,
            )  # fmt: skip

        return PLANS.get((rows, columns, dtype, direction), make, rows * columns, executions)

    return plan("FFTW_FORWARD", real, half), plan("FFTW_BACKWARD", half, real)


@cache
def _real_arrays(rows: int, columns: int, dtype: str) -> tuple[NDArray[Any], NDArray[Any]]:
    real = aligned_zeros((rows, columns), dtype)
    return real, aligned_zeros((rows, columns // 2 + 1), np.result_type(np.dtype(dtype), np.complex64))


def good_size(length: int) -> int:
    """Return a length at or above `length` that FFTW transforms fast.

    Of maps with hundreds of pixels along an edge those are fast whose edges are multiples of 8 without large
    prime factors: 1120^2 takes three quarters of the time of 1092^2, and 1152^2 half of that of 1125^2.
    """
    if length < 64:
        return int(pyfftw.next_fast_len(length))
    size = -(-length // 8)
    while not _small_factors(size):
        size += 1
    return 8 * size


def _small_factors(number: int) -> bool:
    """Return whether 2, 3, 5 and 7 are the only prime factors."""
    for factor in (2, 3, 5, 7):
        while number % factor == 0:
            number //= factor
    return number == 1
