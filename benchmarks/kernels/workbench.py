"""Arrays that the kernels work on: many patterns, as many at a time as a reconstruction takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.solver.inverse_blocks import InverseBlocks
from ptyxrf.driver.solver.settings import SolverSettings
from ptyxrf.kernels.aligned import aligned_zeros
from ptyxrf.kernels.fftw.transforms import PatternFourier
from ptyxrf.kernels.implementation import positioned_probe
from ptyxrf.kernels.simd.diffraction import VectorDiffraction
from ptyxrf.kernels.simd.probe_shift import VectorShifts
from ptyxrf.kernels.simd.shift_expansion import ExpandedShifts
from ptyxrf.kernels.words import CURVATURES

#: Bytes of the far fields, well beyond the second-level cache: what a kernel takes of them streams.
STREAM_BYTES = 12 * 2**20


class Workbench:
    """Patterns of m x m pixels in one precision, with one probe mode.

    The names are those of the arguments of the kernels: `tile`, `fields` (a batch that stays in cache), `psi`
    and `amplitudes` (of all positions, that stream), `maps`, `counts`, `vectors` and so on.
    """

    def __init__(self, m: int, precision: str) -> None:
        rng = np.random.default_rng(0)
        self.m, self.precision = m, precision
        self.complex: Any = np.complex64 if precision == "single" else np.complex128
        self.real: Any = np.float32 if precision == "single" else np.float64
        self.fourier = PatternFourier(1, m, np.dtype(self.complex))
        side = int((STREAM_BYTES / np.dtype(self.complex).itemsize) ** 0.5 / m)
        self.count = side**2
        self.fourier.plan(10**6)  # as where searching pays
        step = m // 4
        self.n = n = (side - 1) * step + m
        places = step * np.arange(side)
        self.corners = np.stack(np.meshgrid(places, places, indexing="ij"), axis=-1).reshape(-1, 2)
        self.tile, self.change, self.out = (self._random((n, n)) for _ in range(3))
        self.probes, self.moved, self.total = (self._random((1, 1, m, m)) for _ in range(3))
        self.which = np.zeros(self.count, np.int64)
        self.scales = np.full(self.count, 1 / m, self.real)
        self.psi = self._random((self.count, 1, m, m))
        self.amplitudes = np.abs(self.psi[:, 0]) + self.real(0.1)
        self.fields, self.bend = self.fourier.buffer(), self.fourier.buffer()
        self.reset()
        self.nothing = np.zeros((0, 1, m, m), self.complex)
        self.losses, self.sums = np.zeros(self.count), np.zeros(4)
        self.steps = np.linspace(0.5, 2, 4).astype(self.real)
        self.low, self.high = (self.real(bound) for bound in CURVATURES["positive"])
        self.ramps = np.exp(1j * rng.random((self.count, m))).astype(self.complex)
        self.spectrum = self._random((1, m, m))
        self.maps = rng.random((1, n, n)).astype(self.real)
        self.counts = rng.random((1, self.count)).astype(self.real)
        self.strengths, self.squares = np.ones(1, self.real), np.zeros(1)
        self.map_out = np.zeros((1, n, n), self.real)
        self.weighed = np.zeros((self.fourier.batch, m, m), self.real)
        self.image, self.intensity = np.zeros((n, n), self.real), np.zeros((m, m), self.real)
        self.object_fields = rng.random((2, n, n)).astype(self.real)
        self.re, self.im = np.array([1.0, 0.0], self.real), np.array([0.0, 1.0], self.real)
        self.left, self.right, self.residual, self.search, self.search_product, self.solution = (
            rng.random(self.count * m * m).astype(self.real) for _ in range(6)
        )
        self.rows, self.starts = self.left.reshape(self.count, m * m), m * m * np.arange(self.count)
        # vector code, which takes the amplitudes over
        probe = positioned_probe(np.zeros((self.count, 2)), 1, m, self.complex, "vector")
        probe.set(self.probes[0])
        self.term, self.low_term, self.background_term, self.poisson_term = (
            VectorDiffraction(
                self.amplitudes.copy(), self.corners, np.ones(self.count), probe, "positive", *options
            )
            for options in (
                (True,), (False,), (True, "amplitude", "refined"), (True, "poisson", "none"),
            )
        )  # fmt: skip
        for term in (self.term, self.background_term):
            for first, last in probe.batches():
                term.gradient(self.tile, self.out, first, last, None)
        self.shifts = VectorShifts(rng.random((self.count, 2)), 1, m, self.complex, self.fourier.batch)
        self.far_spectrum, self.far_sum = self.shifts.spectrum(self.probes[0]), self.shifts.no_sum()
        self.expanded = ExpandedShifts(rng.random((self.count, 2)), 1, m, self.complex)
        self.terms, self.terms_sum = self.expanded.spectrum(self.probes[0]), self.expanded.no_sum()
        self.split_fields = self.expanded.room(self.fourier.batch)
        # pairs of quasi-Newton steps
        size, pairs = self.left.size // 2, SolverSettings().pairs
        self.blocks = InverseBlocks(
            0,
            self.residual[None, :size] + 1,
            np.zeros(2, np.int64),
            np.zeros((1, 2), self.real),
            self.left[None, :1],
        )
        self.pairs, self.changes = (rng.random((pairs, 2 * size)).astype(self.real) for _ in range(2))
        self.factors, self.learned, self.no_mask = np.full(pairs, 1e-3), np.zeros(64), np.zeros(0, bool)
        # numbers that kernels take
        self.none, self.one, self.unit, self.offset, self.keep = 0, 1, 1.0, 0.0, False
        self.alpha, self.beta, self.origin, self.window = 1e-3, 0.5, (0, 0), (0, 0, n, n)

    def reset(self) -> None:
        """Put ordinary numbers into the fields, before they grow or shrink to what takes longer."""
        self.fields[...] = self.bend[...] = self.psi[: self.fourier.batch]

    def _random(self, shape: tuple[int, ...]) -> NDArray[Any]:
        rng = np.random.default_rng(1)
        values = aligned_zeros(shape, self.complex)
        values.real, values.imag = rng.standard_normal(shape), rng.standard_normal(shape)
        return values

    def batches(self) -> Iterator[Batch]:
        """Yield all positions, as many at a time as a reconstruction takes."""
        size = self.fourier.batch
        for first in range(0, self.count - size + 1, size):
            yield Batch(self, first, first + size)


class Batch:
    """The rows of the workbench's arrays that belong to some positions; the rest is that of the workbench."""

    def __init__(self, bench: Workbench, first: int, last: int) -> None:
        self._bench, self.first, self.last = bench, first, last
        for name in ("corners", "which", "scales", "psi", "amplitudes", "losses", "ramps"):
            setattr(self, name, getattr(bench, name)[first:last])
        self.fields, self.bend = bench.fields[: last - first], bench.bend[: last - first]
        self.counts = np.ascontiguousarray(bench.counts[:, first:last])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bench, name)
