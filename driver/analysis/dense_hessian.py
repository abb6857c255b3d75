"""The Hessian of a small objective as a matrix, to study its eigenvalues and eigenvectors.

A diffraction pattern couples only the pixels of its patch; a fluorescence count, or an output row of a
blurred map, only the pixels that contribute to it. Their blocks are formed from the data of the scan in
double precision and added to the matrix. The module shares no code with the kernels of `Objective`, so that
each checks the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.checks import integer
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.links import LinearCombination, Link
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.simulation.plain_model import fourier_shift
from ptyxrf.kernels.amplitude_residual import DARK
from ptyxrf.kernels.words import CURVATURES

#: Rows of the transform that are in memory at a time; the row of a detector pixel is a complex (m, m) image.
PIXELS = 512

#: Edge of the squares in which the matrix is made symmetric.
SQUARE = 1024

#: Rows and columns of a patch of the object.
PatchSlices = tuple[slice, slice]

#: Some pixels, and rows of a matrix over them.
Parts = Iterator[tuple[PatchSlices, NDArray[np.float64]]]


def dense_hessian(
    objective: Objective, vector: ArrayLike, *, printed_data: bool = False, most: int = 20000
) -> NDArray[np.float64]:
    """Return the Hessian of an objective at a vector as a matrix.

    It is the matrix that `Objective.hessian_product` applies, in the units of the data, for everything that
    an objective supports but an unknown probe.

    Parameters
    ----------
    objective : Objective
        On one rank, with a known probe and a linear link.
    vector : (size,) array of float
        The point, as `Objective.scatter` returns it. The point last evaluated does not change.
    printed_data : bool
        Use d_j instead of sqrt(d_j) in the matrices C2 and C3, as the paper prints them below eq. (3.1). The
        result is not the Hessian of the objective: it depends on the unit of the data. The curvature of the
        objective must be "full".
    most : int
        Largest accepted number u of unknowns: the matrix takes 8 u^2 bytes, and building it about 60 m^4
        bytes more.

    Returns
    -------
    (size, size) array of float64
        Exactly symmetric; rows and columns are in the order of the vector.

    Raises
    ------
    ValueError
        The objective has several ranks, an unknown probe, a background of the patterns or another loss than
        that of amplitudes, a link that is not linear or too many unknowns; the vector has a wrong shape or is
        not finite; `printed_data` is combined with another curvature.

    Notes
    -----
    arXiv 2511.02153, eq. (3.1) and (3.2), with the signs of a real-valued second derivative. With
    J_k = sqrt(t_j) F diag(P_jk) the (m^2, m^2) complex matrix of a position, q_k = psi_k / |psi|,
    c = sqrt(d_j) / |psi| (0 where |psi| = 0) held by the curvature, and M the mask, the block of a position
    over (Re dz, Im dz) is

        Re sum_k J'_k^* diag(M (1 - c)) J'_k + S^T diag(M c) S,    J'_k = [J_k, i J_k],
        S = Re sum_k diag(conj(q_k)) J'_k,

    divided by N. The link dz = sum_c weight_c dfield_c maps it to the unknowns. The blocks of the elements
    have the additional term (alpha_e / N_e) A_e^T A_e. The matrix products take about 12 N m^6 operations for
    one mode: a second for 16 positions with m = 16, minutes for m = 64.
    """
    point, probe = _checked(objective, vector, printed_data=printed_data, most=most)
    size, shape = objective.size, objective.scan.shape
    channels = size // (shape[0] * shape[1])
    hessian = np.zeros((channels, *shape, channels, *shape))
    if objective.method != "fluorescence":
        z = objective.complex_object(point).astype(np.complex128)
        _add_patterns(hessian, objective, _weights(objective.link), z, probe, printed_data)
    if objective.method != "ptychography":
        _add_fluorescence(hessian, objective, probe)
    matrix = hessian.reshape(size, size)
    _make_symmetric(matrix)
    return matrix


def _checked(
    objective: Objective, vector: ArrayLike, *, printed_data: bool, most: int
) -> tuple[NDArray, NDArray[np.complex128]]:
    """Return the point and its probe, or raise what `dense_hessian` promises."""
    if not isinstance(objective, Objective):
        raise ValueError(f"objective: expected an Objective, got {type(objective).__name__}")
    if objective.ranks.size > 1:
        raise ValueError(f"objective: expected one on a single rank, got {objective.ranks.size} ranks")
    if objective.settings.refine_probe:
        raise ValueError("objective: expected a known probe, got refine_probe=True")
    if objective.beam.kinds:
        names = ", ".join(name for kind in objective.beam.kinds for name in kind.names)
        raise ValueError(f"objective: expected known positions, intensities and background, got {names}")
    if objective.terms.diffraction is not None and not objective.terms.diffraction.plain:
        raise ValueError(
            "objective: expected amplitudes without a background, got a pattern_background or "
            f"pattern_loss={objective.settings.pattern_loss!r}"
        )
    if objective.weights.strengths.any() or not objective.weights.uniform:
        raise ValueError(
            "objective: expected uniform weights and no prior of the maps, got others; `spectrum` takes them"
        )
    if printed_data and objective.settings.curvature != "full":
        raise ValueError(
            f"printed_data: expected an objective with curvature 'full', got {objective.settings.curvature!r}"
        )
    integer("most", most, 1)
    size = objective.size
    if size > most:
        raise ValueError(
            f"objective: expected at most {most} unknowns (`most`) for a matrix, got {size}, which take "
            f"{8e-9 * size**2:.1f} GB; `spectrum` gives the eigenvalue distribution without it"
        )
    point = np.asarray(vector)
    probe = objective.probe_of(point).astype(np.complex128)  # refuses a wrong shape
    if not np.isfinite(point).all():
        raise ValueError("vector: expected finite numbers, got NaN or infinity")
    return point, probe


def _weights(link: Link) -> NDArray:
    """Return the weights of a linear link."""
    if not isinstance(link, LinearCombination):
        raise ValueError(f"objective: expected a linear link, got {type(link).__name__}")
    return link.weights


def _add_block(hessian: NDArray, a: int, b: int, at: PatchSlices, block: NDArray) -> None:
    """Add a block over the pixels of a patch for the unknowns a and b, and its transpose."""
    target = hessian[(a, *at, b, *at)]
    target += block.reshape(target.shape)
    if a != b:
        target = hessian[(b, *at, a, *at)]
        target += block.T.reshape(target.shape)


def _make_symmetric(matrix: NDArray[np.float64]) -> None:
    """Replace a matrix that is symmetric up to rounding by the mean of it and its transpose, in place."""
    for i in range(0, len(matrix), SQUARE):
        for j in range(i, len(matrix), SQUARE):
            upper, lower = matrix[i : i + SQUARE, j : j + SQUARE], matrix[j : j + SQUARE, i : i + SQUARE]
            mean = 0.5 * (upper + lower.T)
            upper[...], lower[...] = mean, mean.T


def _positioned(probe: NDArray, fraction: NDArray) -> NDArray[np.complex128]:
    """Return S_j P, the (K, m, m) probe with its content moved by a fraction of a pixel."""
    return fourier_shift(probe, fraction[None])[0] if fraction.any() else probe


# -------------------------------------------------------------------- patterns


def _pattern(scan: Scan, j: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return intensities, 0 under the mask, and mask of a position in detector order."""
    intensities = np.asarray(scan.patterns[j : j + 1], dtype=np.float64)[0]
    mask = scan.mask_at(slice(j, j + 1))
    good = np.broadcast_to(True if mask is None else mask, (1, *intensities.shape))[0]
    return np.where(good, intensities, 0.0), good


def _add_patterns(
    hessian: NDArray, objective: Objective, weights: NDArray, z: NDArray, probe: NDArray, printed: bool
) -> None:
    """Add the blocks of all positions."""
    scan, m = objective.scan, objective.scan.m
    # rows in detector order, so that data and mask need no reordering
    frequencies = np.arange(m) - m // 2
    transform = np.exp(-2j * np.pi * np.outer(frequencies, np.arange(m)) / m) / np.sqrt(m)
    dark = DARK * objective.mean_count  # the threshold of the kernels, in the units of the data
    low, high = CURVATURES[objective.settings.curvature]
    step = max(1, PIXELS // m)
    for first in range(0, m, step):
        rows = slice(first, first + step)
        fourier = np.kron(transform[rows], transform)  # detector pixels x patch pixels
        for j, (row, column) in enumerate(scan.corners.tolist()):
            at = slice(row, row + m), slice(column, column + m)
            modes = np.sqrt(scan.exposure[j]) * _positioned(probe, scan.fractions[j]).reshape(scan.K, m * m)
            intensities, good = (part[rows].ravel() for part in _pattern(scan, j))
            psi = (modes * z[at].ravel()) @ fourier.T
            power = (np.abs(psi) ** 2).sum(axis=0)
            bright = power > dark
            modulus = np.sqrt(np.where(bright, power, 1.0))
            c = (intensities if printed else np.sqrt(intensities)) / modulus
            c = np.where(bright, np.clip(c, low, high), 0.0)
            q = np.where(bright, psi / modulus, 0.0)
            # the parts of a block are large: keep no reference to them
            _add_linked(hessian, weights, at, _position_block(fourier, modes, q, c, good / scan.N))


def _add_linked(hessian: NDArray, weights: NDArray, at: PatchSlices, parts: Sequence[NDArray]) -> None:
    """Add the parts (Re, Re), (Re, Im) and (Im, Im) of a block in z through a linear link."""
    real, mixed, imaginary = parts
    for a, one in enumerate(weights):
        for b in range(a, len(weights)):
            other = weights[b]
            terms = [
                (one.real * other.real, real),
                (one.real * other.imag, mixed),
                (one.imag * other.real, mixed.T),
                (one.imag * other.imag, imaginary),
            ]
            for factor, part in terms:
                if factor != 0:
                    _add_block(hessian, a, b, at, part if factor == 1 else factor * part)


def _position_block(
    fourier: NDArray, modes: NDArray, q: NDArray, c: NDArray, share: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the parts (Re, Re), (Re, Im) and (Im, Im) of the block of a position, for some detector pixels.

    Parameters
    ----------
    fourier : (p, m^2) array of complex128
        Rows of the transform for p detector pixels.
    modes : (K, m^2) array of complex128
    q : (K, p) array of complex128
    c : (p,) array of float64
    share : (p,) array of float64
        Weight of a detector pixel: 1/N, or 0 under the mask.

    Returns
    -------
    three (m^2, m^2) arrays of float64
    """
    across = (share * (1 - c))[:, None]
    root = np.sqrt(share * c)[:, None]
    # the modes stacked
    jacobian = np.concatenate([fourier * mode for mode in modes])
    along = (q.conj()[:, :, None] * jacobian.reshape(len(modes), *fourier.shape)).sum(axis=0)
    # S = [Re, -Im] of sum_k conj(q_k) J_k; J'^* D J' = [[G, iG], [-iG, G]] with G = J^* D J
    gram = jacobian.conj().T @ (np.tile(across, (len(modes), 1)) * jacobian)
    first, second = root * along.real, -root * along.imag
    real, mixed, imaginary = first.T @ first, first.T @ second, second.T @ second
    real += gram.real
    mixed -= gram.imag
    imaginary += gram.real
    return real, mixed, imaginary


# -------------------------------------------------------------------- fluorescence


def _add_fluorescence(hessian: NDArray, objective: Objective, probe: NDArray) -> None:
    """Add (alpha_e / N_e) A_e^T A_e; A_e is the sensitivity times a matrix common to all elements."""
    scan = objective.scan
    factors = objective.alpha / scan.N_e * scan.sensitivity**2
    first = objective.fields.elements.start
    parts = _grid_parts(scan, probe) if scan.sampling == "grid" else _scan_parts(scan, probe)
    for at, rows in parts:
        block = rows.T @ rows
        for e in np.flatnonzero(factors):
            _add_block(hessian, first + e, first + e, at, factors[e] * block)


def _scan_parts(scan: Scan, probe: NDArray) -> Parts:
    """Yield a patch and the row (1, m^2) of A for each position: t_j |P_j|^2."""
    m = scan.m
    for j, (row, column) in enumerate(scan.corners.tolist()):
        intensity = (np.abs(_positioned(probe, scan.fractions[j])) ** 2).sum(axis=0)
        yield (slice(row, row + m), slice(column, column + m)), scan.exposure[j] * intensity.reshape(1, -1)


def _grid_parts(scan: Scan, probe: NDArray) -> Parts:
    """Yield a band of the map and the rows (n_cols, pixels of the band) of A for each row of its output.

    out[r] = sum_s k[s] w[r - s + m//2] with k = |P|^2; a correlation is the same with the kernel reversed.
    """
    m, (height, width) = scan.m, scan.shape
    kernel, centre = (np.abs(probe) ** 2).sum(axis=0), m // 2
    if scan.blur == "correlation":
        kernel, centre = kernel[::-1, ::-1], m - 1 - centre
    # shifts[i, c, c'] is the contribution of column c' to column c through row i of the kernel
    column = np.arange(width)[:, None] - np.arange(width) + centre
    shifts = np.where((column >= 0) & (column < m), kernel[:, np.clip(column, 0, m - 1)], 0.0)
    for r in range(height):
        rows = np.arange(max(0, r + centre - m + 1), min(height, r + centre + 1))
        band = shifts[r + centre - rows].transpose(1, 0, 2).reshape(width, -1)
        yield (slice(int(rows[0]), int(rows[-1]) + 1), slice(0, width)), band
