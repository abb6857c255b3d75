"""Sums over positions that the preconditioner and the weights need, in the units of the data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.internal_units import InternalUnits
from ptyxrf.driver.objective.local_data import LocalData
from ptyxrf.driver.objective.terms import Terms
from ptyxrf.kernels.fluorescence_scan import patch_sums
from ptyxrf.kernels.patches import add_illumination, sum_object_intensity
from ptyxrf.parallel.halo import HaloField


class Diagonals:
    """Diagonal parts of the Hessian of a rank's terms; all ranks make the same calls."""

    def __init__(self, data: LocalData, terms: Terms, units: InternalUnits, real: np.dtype[Any]) -> None:
        self.data, self.terms, self._units, self._real = data, terms, units, real
        self._exposure = data.exposure.astype(real)
        self._scratch: dict[tuple[int, np.dtype[Any]], HaloField] = {}

    def collected(self, covered: NDArray[Any]) -> NDArray[Any]:
        """Return the owned pixels of fields (C, rows, columns) on the covered ones, halos added."""
        key = len(covered), covered.dtype
        if key not in self._scratch:
            self._scratch[key] = HaloField(self.data.ranks, self.data.tile, *key)
        field = self._scratch[key]
        field.covered[...] = covered
        return field.collect()

    def illumination(self, chosen: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """Return 1/N sum_j t_j |P_j|^2 (rows, columns), over all positions or those that are chosen.

        Where the probe of each position is not kept, or positions may move, it is taken at the position's
        whole pixel: a resumed run then needs no other probe than that of the sum it has kept.
        """
        total = np.zeros((1, *self.data.tile.covered.shape), self._real)
        positioned = self.terms.positioned
        versions, which = positioned.stack, positioned.which
        if not positioned.kept or self.terms.moving:
            # shifts would take a third of a gradient, for a fraction of a pixel
            versions, which = positioned.unshifted[None], np.zeros_like(which)
        part = slice(None) if chosen is None else chosen
        corners, exposure = self.data.corners[part], self._exposure[part]
        add_illumination(versions, which[part], corners, exposure, 1, total[0])
        scale = self._units.mean_count / self.data.scan.N
        return self.collected(total)[0].astype(np.float64) * scale

    def fluorescence(self) -> NDArray[np.float64]:
        """Return A^T R A 1 with gains and weights, and the diagonal of the prior, (N_e, rows, columns)."""
        term, prior, tile = self.terms.fluorescence, self.terms.prior, self.data.tile
        if term is None or prior is None:
            return np.zeros((self.data.scan.N_e, *tile.owned.shape))
        flat = term.diagonal(tile.covered.shape, self.data.corners if self.terms.moving else None)
        factors = term.weights * term.gains**2 * self._units.mean_count
        total = factors[:, None, None] * self.collected(flat)
        total += (prior.diagonal() * self._units.mean_count)[:, None, None]
        return total

    def pulled(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return A^T of changes of the samples of the fluorescence, with gains and weights.

        Parameters
        ----------
        samples : (N_e, ...) array of float64
            In the units of the data.

        Returns
        -------
        (N_e, rows, columns) array of float64
            The change of the downhill gradient in the owned maps.
        """
        term = self.terms.fluorescence
        assert term is not None
        maps = np.zeros((len(samples), *self.data.tile.covered.shape), self._real)
        term.adjoint(self._units.counts(samples, self._real), maps)
        return self.collected(maps).astype(np.float64) * self._units.mean_count

    def object_intensity(self, z: NDArray, chosen: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """Return 1/N sum_j t_j |z_j|^2 (m, m), the curvature of the probe, given z on the covered pixels.

        The sum is over all positions or those of the rank that are chosen.
        """
        part = slice(None) if chosen is None else chosen
        scan = self.data.scan
        total = np.zeros((scan.m, scan.m), self._real)
        if self.terms.diffraction is not None:
            sum_object_intensity(z, self.data.corners[part], self._exposure[part], total)
        return self.data.ranks.sum(total.astype(np.float64)) / scan.N

    def positions(self, z: NDArray) -> NDArray[np.float64]:
        """Return the curvature (n, 3) of the rank's positions, given z on the covered pixels.

        Along rows, along columns, and between the two: t_j/N sum |P|^2 Re(conj(dz/dr) dz/ds), with the probe
        at whole pixels: a shift of the probe is one of the object the other way, and one of both, which
        leaves the moduli as they are.
        """
        positioned, scan = self.terms.positioned, self.data.scan
        rows, columns = np.gradient(z)
        slopes = np.stack([np.abs(rows) ** 2, np.abs(columns) ** 2, (rows.conj() * columns).real])
        probe, which = positioned.unshifted[None], np.zeros(positioned.count, np.int64)
        sums = np.zeros((3, positioned.count), self._real)
        patch_sums(
            slopes.astype(self._real), probe, which, probe, which, self.data.corners, self._exposure, sums
        )
        return sums.T * (self._units.mean_count / scan.N)

    def intensities(self, z: NDArray) -> NDArray[np.float64]:
        """Return the curvature (n,) in the logarithm of each position's amplitude: its photons over N."""
        positioned = self.terms.positioned
        probe, which = positioned.unshifted[None], np.zeros(positioned.count, np.int64)
        sums = np.zeros((1, positioned.count), self._real)
        squares = (np.abs(z) ** 2).astype(self._real)[None]
        patch_sums(squares, probe, which, probe, which, self.data.corners, self._exposure, sums)
        return sums[0] * (self._units.mean_count / self.data.scan.N)

    def fluorescence_of_probe(self, alpha: NDArray[np.float64]) -> float:
        """Return the curvature of the fluorescence along the probe itself, at maps that explain the data.

        The counts D_e are quadratic in the probe: those of (1 + t) P are (1 + t)^2 D_e. The curvature in t is
        4 sum_e alpha_e / N_e ||D_e - B_e||^2, for a change of the probe whose square is sum |P|^2.
        """
        counts, scan, probe = self.data.counts, self.data.scan, self.terms.probe
        if counts is None or probe is None:
            return 1.0
        samples = np.prod(scan.fluorescence.shape[1:])
        squares = float((alpha * counts.mean_square).sum()) * samples
        curvature = 4 * squares / (scan.N_e * float((np.abs(probe) ** 2).sum()))
        return curvature if curvature > 0 else 1.0
