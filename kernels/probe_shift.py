"""The probe at each position: as it is, or Fourier-shifted by the fraction of the position.

S_j multiplies the spectrum of the probe by exp(-2 pi i (f_r k + f_c l) / m), (k, l) the signed integer
frequencies and (f_r, f_c) the fraction of position j beyond its integer corner: the content moves by
(f_r, f_c) pixels. It is unitary, so its adjoint is the shift back. Its derivative by f_r multiplies the
spectrum by -2 pi i k / m, with the same signed frequency at Nyquist. Where the beam differs from position to
position, g_j S_j stands for S_j, with a real factor g_j of the amplitude.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.aligned import aligned_zeros


class Shifts(Protocol):
    """S_j and its adjoint for positions that stay, as an implementation gives them.

    Fields are (B, K, m, m) complex numbers, or where they are `split`, (B, K F) real ones: fields of
    `ptyxrf.kernels.simd.fourier`, which only vector code takes.
    """

    split: bool = False

    def room(self, count: int) -> NDArray[Any]:
        """Return room for the fields of some positions, all 0."""

    def spectrum(self, probe: NDArray) -> NDArray[Any]:
        """Return the spectrum of a (K, m, m) probe, in a layout of its own."""

    def shift(self, spectrum: NDArray, first: int, last: int, fields: NDArray) -> None:
        """Set fields to S_j P for the positions first to last - 1."""

    def no_sum(self) -> NDArray[Any]:
        """Return an empty sum of spectra."""

    def add_shifted_back(self, fields: NDArray, first: int, last: int, total: NDArray) -> None:
        """Add sum_j S_j^* fields_j over these positions to a sum of spectra; the fields are overwritten."""

    def finished(self, total: NDArray) -> NDArray[Any]:
        """Return the (K, m, m) sum."""


class MovingShifts(Shifts):
    """Shifts for positions that may move, too, with derivatives; fields are complex."""

    modes: int
    m: int
    dtype: np.dtype[Any]

    def room(self, count: int) -> NDArray[Any]:
        """See `Shifts.room`."""
        return aligned_zeros((count, self.modes, self.m, self.m), self.dtype)

    def place(self, fractions: NDArray[np.float64], gains: NDArray[np.float64] | None = None) -> None:
        """Take the (N, 2) fractions of the positions, and (N,) factors of the probe; None: 1."""

    def shift_tangent(
        self, change: NDArray, spectrum: NDArray, moves: NDArray, first: int, last: int, fields: NDArray
    ) -> None:
        """Set fields to the change of g_j S_j P, given the spectra of dP and P.

        ``moves`` (B, 3) are the changes of the two fractions and of log g_j.
        """

    def add_with_slopes(
        self, fields: NDArray, spectrum: NDArray, first: int, last: int, total: NDArray, slopes: NDArray
    ) -> None:
        """Add to a sum and to slopes (B, 3), the derivatives of Re <fields_j, g_j S_j P> by these three."""
        self.add_slopes(fields, spectrum, spectrum, slopes, False, first, last, total, slopes)

    def add_bend(
        self, fields: NDArray, change: NDArray, spectrum: NDArray, moves: NDArray, first: int, last: int,
        total: NDArray, slopes: NDArray,
    ) -> None:  # fmt: skip
        """Add the derivative of what `add_with_slopes` adds, for fixed fields, along `shift_tangent`."""
        self.add_slopes(fields, change, spectrum, moves, True, first, last, total, slopes)

    def add_slopes(
        self, fields: NDArray, change: NDArray, spectrum: NDArray, moves: NDArray, bend: bool, first: int,
        last: int, total: NDArray, slopes: NDArray,
    ) -> None:  # fmt: skip
        """Do what the last two do: the second where there is a `bend`, else without change and moves."""


class PositionedProbe:
    """P_jk = S_j P_k for the positions of a rank, directions S_j dP_k, and the adjoint sum_j S_j^*.

    Parameters
    ----------
    fractions : (N, 2) array of float64
        Fraction of each position; without shifts all are 0, and there is one version of the probe and no FFT.
    modes, m : int
        K and m.
    dtype : complex64 or complex128
    batch : int
        Positions to hand out at a time.
    shifts : Shifts or None
        None: all fractions are 0 and stay so.
    keep : bool
        Keep the probe of each position. False: it is computed when it is asked for, and is still in cache
        when it is used; better where that happens once for each probe that is set.

    Attributes
    ----------
    stack : (U, K, m, m) array
        The versions of the probe and ``which`` (N,) the one of each position: U = 1 or N, or 0 where they are
        not kept.
    split : bool
        Whether versions, directions and targets are split (see `Shifts`).
    kept : bool
        Whether they are.
    unshifted : (K, m, m) array
        The probe.
    moving : bool
        Whether the direction changes fractions and gains, too.
    """

    def __init__(
        self,
        fractions: NDArray[np.float64],
        modes: int,
        m: int,
        dtype: Any,
        batch: int,
        shifts: Shifts | None = None,
        keep: bool = True,
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.count, self.modes, self.m, self.batch = len(fractions), modes, m, batch
        self.integer = shifts is None
        self.kept = keep or self.integer
        self.split = shifts is not None and shifts.split
        self._shifts = shifts
        self.stack = self._room(1 if self.integer else self.count if keep else 0)
        self.unshifted = np.zeros((modes, m, m), self.dtype)
        self.which = np.zeros(self.count, np.int64) if self.integer else np.arange(self.count)
        self._local = np.zeros(self.batch, np.int64) if self.integer else np.arange(self.batch)
        if shifts is not None:
            # of a direction, of a sum and of the probe, which are in use together
            self._moved, self._target = self._room(self.batch), self._room(self.batch)
            # a split target is set, when the probe has been used
            self._present = self._target if self.split else self._room(0 if keep else self.batch)
            self._spectrum = shifts.no_sum()
        self._direction: NDArray[Any] = np.zeros((1, modes, m, m), dtype)
        self._moves = np.zeros((self.count, 3))
        self.moving = False

    def _room(self, versions: int) -> NDArray[Any]:
        if self._shifts is not None:
            return self._shifts.room(versions)
        return aligned_zeros((versions, self.modes, self.m, self.m), self.dtype)

    @property
    def _moving_shifts(self) -> MovingShifts:
        assert isinstance(self._shifts, MovingShifts)
        return self._shifts

    def place(self, fractions: NDArray[np.float64], gains: NDArray[np.float64]) -> None:
        """Take new (N, 2) fractions of the positions and (N,) gains; `set` has to follow."""
        self._moving_shifts.place(fractions, gains)

    def set(self, probe: NDArray) -> None:
        """Take a new (K, m, m) probe."""
        self.unshifted[...] = probe
        if self._shifts is None:
            self.stack[0] = probe
            return
        self._spectrum = self._shifts.spectrum(probe)
        for first in range(0, self.count if self.kept else 0, self.batch):
            last = min(first + self.batch, self.count)
            self._shifts.shift(self._spectrum, first, last, self.stack[first:last])

    def batches(self) -> Iterator[tuple[int, int]]:
        """Yield the first position and one beyond the last of each batch, in order."""
        for first in range(0, self.count, self.batch):
            yield first, min(first + self.batch, self.count)

    def versions(self, first: int, last: int) -> tuple[NDArray, NDArray]:
        """Return (versions of the probe, which of them each of the positions first..last-1 uses).

        At most a batch of positions; where versions are not kept, they are good until the next call.
        """
        if self.kept:
            return self.stack, self.which[first:last]
        assert self._shifts is not None
        fields = self._present[: last - first]
        self._shifts.shift(self._spectrum, first, last, fields)
        return fields, self._local[: last - first]

    def set_direction(self, direction: NDArray, moves: NDArray[np.float64] | None = None) -> None:
        """Take a (K, m, m) change dP, to be positioned batch by batch.

        Parameters
        ----------
        direction : (K, m, m) array of complex
        moves : (N, 3) array of float64, optional
            Changes of the fractions and of the logarithm of the gain; default: these stay.
        """
        self.moving = moves is not None
        if moves is not None:
            self._moves = moves
        if self._shifts is None:
            self._direction = direction[None].astype(self.dtype)
        else:
            self._direction = self._shifts.spectrum(direction)

    def direction(self, first: int, last: int) -> tuple[NDArray, NDArray]:
        """Return (changes of S_j P, which of them each of the positions first..last-1 uses)."""
        if self._shifts is None:
            return self._direction, self._local[: last - first]
        fields = self._moved[: last - first]
        if self.moving:
            self._moving_shifts.shift_tangent(
                self._direction, self._spectrum, self._moves[first:last], first, last, fields
            )
        else:
            self._shifts.shift(self._direction, first, last, fields)
        return fields, self._local[: last - first]

    def adjoint(self, *, slopes: bool = False) -> AdjointSum:
        """Return an empty sum over positions of S_j^* fields_j, which also knows the slopes where asked."""
        return AdjointSum(self, slopes=slopes)


class AdjointSum:
    """sum_j S_j^* fields_j, a batch of positions at a time.

    Parameters
    ----------
    probe : PositionedProbe
    slopes : bool
        Whether the derivatives by fractions and gains are asked for.

    Attributes
    ----------
    slopes : (N, 3) array of float64
        Derivatives of Re <fields_j, g_j S_j P> by the fractions and the logarithm of the gain.
    """

    def __init__(self, probe: PositionedProbe, *, slopes: bool = False) -> None:
        self._probe, self.with_slopes = probe, slopes
        self._sum = probe._room(1) if probe._shifts is None else probe._shifts.no_sum()
        self._others = np.zeros_like(probe.unshifted)
        self.slopes = np.zeros((probe.count, 3))

    def target(self, first: int, last: int) -> tuple[NDArray, NDArray]:
        """Return (arrays to add the fields of positions first..last-1 to, which of them each one uses).

        Where they are split, they are those of `PositionedProbe.versions`, to be replaced.
        """
        slots = self._probe._local[: last - first]
        if self._probe.integer:
            return self._sum, slots
        fields = self._probe._target[: last - first]
        if not self._probe.split:
            fields[...] = 0
        return fields, slots

    def add(self, first: int, last: int) -> None:
        """Add the target of these positions to the sum."""
        probe = self._probe
        if probe._shifts is None:
            return
        fields = probe._target[: last - first]
        if self.with_slopes:
            slopes = self.slopes[first:last]
            probe._moving_shifts.add_with_slopes(fields, probe._spectrum, first, last, self._sum, slopes)
        else:
            probe._shifts.add_shifted_back(fields, first, last, self._sum)

    def add_bend(self, first: int, last: int) -> None:
        """Take into the sum how it changes along the direction while what is in the target stays."""
        probe = self._probe
        fields, slopes = probe._target[: last - first], self.slopes[first:last]
        probe._moving_shifts.add_bend(
            fields,
            probe._direction,
            probe._spectrum,
            probe._moves[first:last],
            first,
            last,
            self._sum,
            slopes,
        )

    def add_fields(self, fields: NDArray, first: int, last: int, *, bend: bool = False) -> None:
        """Take whole (B, K, m, m) fields of these positions into the sum; with `bend`, as `add_bend` does."""
        target, _ = self.target(first, last)
        target += fields.sum(axis=0) if self._probe.integer else fields
        if bend:
            self.add_bend(first, last)
        else:
            self.add(first, last)

    def add_total(self, probe: NDArray) -> None:
        """Add what is a sum over positions already, (K, m, m)."""
        self._others += probe

    def total(self) -> NDArray[Any]:
        """Return the (K, m, m) sum."""
        shifts = self._probe._shifts
        own = self._sum[0] if shifts is None else shifts.finished(self._sum)
        return own + self._others
