"""What each scan position has of its own: a displacement, a part in the distortion of all, an intensity.

The position of pattern j is s_j + A (s_j - c) + u_j: s_j that of the scan, c the mean of all, A (2, 2) the
distortion, u_j the displacement. A common shift only moves the object, and what grows linearly over the scan
only stretches, turns or shears it: displacements have no such part. A belongs to stages of which it is known
that they distort.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.diagonals import Diagonals
from ptyxrf.driver.objective.unknown_kinds import PerPosition, Replicated
from ptyxrf.driver.solver.inverse_blocks import InverseBlocks

#: Fraction of its mean that is added to the curvature along a position, for patches without structure.
FLOOR = 0.2

#: Coupling of rows and columns in a block of the preconditioner, over the smaller curvature, at most.
LARGEST_COUPLING = 0.9


def linear_parts(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an orthonormal basis (N, k) of what is constant or grows linearly over (N, 2) positions."""
    columns = np.column_stack([np.ones(len(positions)), positions - positions.mean(axis=0)])
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, sizes > 1e-9 * sizes.max(initial=0.0)]


class _OfPositions(PerPosition):
    """Numbers of each position, of which the constant and linear parts have no effect.

    Parameters
    ----------
    name : str
    width : int
    diagonals : Diagonals
    real : float32 or float64
    z : array
        The object on the covered pixels, as it is at the point last evaluated.
    """

    def __init__(
        self, name: str, width: int, diagonals: Diagonals, real: np.dtype[Any], z: NDArray[Any]
    ) -> None:
        data = diagonals.data
        super().__init__(name, data.ranks, data.tile, data.scan.N, width, real)
        self.diagonals, self.z = diagonals, z
        self._basis = linear_parts(data.scan.positions)[data.tile.positions]

    def projected(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return (n, width) numbers of the rank's positions without their constant and linear parts."""
        values = values.astype(np.float64)
        return values - self._basis @ self.ranks.sum(self._basis.T @ values)

    def floor(self, curvature: NDArray[np.float64]) -> float:
        """Return what is added to the curvatures (n, ...) of the rank's positions."""
        total, count = self.ranks.sum(np.array([curvature.sum(), curvature.size]))
        return FLOOR * total / count if total > 0 else 1.0


class Displacement(_OfPositions):
    """The displacements u (N, 2) in pixels; see `_OfPositions` for the parameters."""

    def __init__(self, diagonals: Diagonals, real: np.dtype[Any], z: NDArray[Any]) -> None:
        super().__init__("displacement", 2, diagonals, real, z)

    def inverse_blocks(self, held: frozenset[str]) -> InverseBlocks:
        """Return M^-1: at each position a block [[a, c], [c, b]], with a floor under a and b.

        It is diag(a - |c|, b - |c|) and |c| times the square of the sum of rows and columns, or of their
        difference. At positions where a or b would not be above |c|, c is cut.
        """
        if held.issuperset(self.names):
            return self.identity_blocks(held)
        curvature = self.diagonals.positions(self.z)
        diagonal = curvature[:, :2] + self.floor(curvature[:, :2])
        limit = LARGEST_COUPLING * diagonal.min(axis=1)
        between = np.clip(curvature[:, 2], -limit, limit)
        rest = diagonal - np.abs(between)[:, None]
        return InverseBlocks(
            self.start,
            (1 / rest.T).astype(self.real, order="C"),
            np.arange(2),
            np.array([[1, 1], [1, -1]], self.real),
            np.maximum([between, -between], 0).astype(self.real),
        )


class LogAmplitude(_OfPositions):
    """The logarithm v (N, 1) of a factor of the probe's amplitude at each position.

    The intensity of pattern j is exp(2 v_j) times that of its exposure. A common factor belongs to the probe,
    and v_j = a . s_j to object and probe, exp(a . x) and exp(-a . x). Parameters as of `_OfPositions`.
    """

    def __init__(self, diagonals: Diagonals, real: np.dtype[Any], z: NDArray[Any]) -> None:
        super().__init__("log_amplitude", 1, diagonals, real, z)

    def keep_slopes(self) -> None:
        """Let the logarithms grow linearly, where the object cannot: its absorption is that of maps."""
        self._basis = np.full((len(self._basis), 1), self.diagonals.data.scan.N**-0.5)

    def inverse_blocks(self, held: frozenset[str]) -> InverseBlocks:
        """Return M^-1, with a floor under the curvatures."""
        if held.issuperset(self.names):
            return self.identity_blocks(held)
        curvature = self.diagonals.intensities(self.z)
        return self.diagonal((1 / (curvature + self.floor(curvature))).astype(self.real))


class Distortion(Replicated):
    """The distortion A (2, 2) of the positions.

    Parameters
    ----------
    diagonals : Diagonals
    real : float32 or float64
    z : array
        As for `_OfPositions`.
    """

    def __init__(self, diagonals: Diagonals, real: np.dtype[Any], z: NDArray[Any]) -> None:
        super().__init__("distortion", (2, 2), real)
        self._diagonals, self._z = diagonals, z
        scan: Scan = diagonals.data.scan
        #: s_j - c of the rank's positions
        self.lever = (scan.positions - scan.positions.mean(axis=0))[diagonals.data.tile.positions]

    def displacements(self, matrix: NDArray[Any]) -> NDArray[np.float64]:
        """Return A (s_j - c), (n, 2)."""
        return self.lever @ matrix.astype(np.float64).T

    def adjoint(self, slopes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return this rank's share of the gradient in A, given that in the positions."""
        return slopes.T @ self.lever

    def inverse_blocks(self, held: frozenset[str]) -> InverseBlocks:
        """Return M^-1 of the distortion."""
        if "distortion" in held:
            return self.identity_blocks(held)
        curvature = self._diagonals.data.ranks.sum(
            self._diagonals.positions(self._z)[:, :2].T @ self.lever**2
        )
        floor = FLOOR * curvature.mean() if curvature.any() else 1.0
        return self.diagonal((1 / (curvature + floor)).reshape(-1).astype(self.real))


KINDS: dict[str, tuple[Callable[..., Displacement | Distortion], ...]] = {
    "none": (),
    "each": (Displacement,),
    "affine": (Distortion,),
    "both": (Displacement, Distortion),
}
