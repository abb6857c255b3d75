"""Patch extraction times probe, and its adjoints: overlap-add to the object, sum to the probe.

Shapes: ``tile`` (rows, columns) is the object on this rank; ``probes`` (U, K, m, m) holds U versions of
the probe and ``which`` (B,) the one that each of B positions uses; ``corners`` (B, 2) are integer patch
corners on the tile; ``scales`` (B,) real factors; ``fields`` (B, K, m, m) one field per position and mode.
Rows are sliced inside the loops: a strided 2-D view would fall to scalar code.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled


@compiled
def multiply_patches(
    tile: NDArray, probes: NDArray, which: NDArray, corners: NDArray, scales: NDArray, fields: NDArray
) -> None:
    """fields[b, k] = scales[b] probes[which[b], k] * tile[patch b]."""
    count, modes, m, _ = fields.shape
    for b in range(count):
        row, column = corners[b, 0], corners[b, 1]
        scale = scales[b]
        for k in range(modes):
            for i in range(m):
                source = tile[row + i, column : column + m]
                probe = probes[which[b], k, i]
                out = fields[b, k, i]
                for l in range(m):  # noqa: E741
                    out[l] = scale * (probe[l] * source[l])


@compiled
def multiply_patches_add(
    tile: NDArray, probes: NDArray, which: NDArray, corners: NDArray, scales: NDArray, fields: NDArray
) -> None:
    """fields[b, k] += scales[b] probes[which[b], k] * tile[patch b]."""
    count, modes, m, _ = fields.shape
    for b in range(count):
        row, column = corners[b, 0], corners[b, 1]
        scale = scales[b]
        for k in range(modes):
            for i in range(m):
                source = tile[row + i, column : column + m]
                probe = probes[which[b], k, i]
                out = fields[b, k, i]
                for l in range(m):  # noqa: E741
                    out[l] += scale * (probe[l] * source[l])


@compiled
def add_patches(
    fields: NDArray, probes: NDArray, which: NDArray, corners: NDArray, scales: NDArray, tile: NDArray
) -> None:
    """Adjoint in the tile: tile[patch b] += scales[b] sum_k conj(probes[which[b], k]) fields[b, k]."""
    count, modes, m, _ = fields.shape
    for b in range(count):
        row, column = corners[b, 0], corners[b, 1]
        scale = scales[b]
        for k in range(modes):
            for i in range(m):
                target = tile[row + i, column : column + m]
                probe = probes[which[b], k, i]
                field = fields[b, k, i]
                for l in range(m):  # noqa: E741
                    target[l] += scale * (np.conj(probe[l]) * field[l])


@compiled
def sum_patches(
    fields: NDArray, tile: NDArray, which: NDArray, corners: NDArray, scales: NDArray, probes: NDArray
) -> None:
    """Adjoint in the probes: probes[which[b], k] += scales[b] conj(tile[patch b]) fields[b, k]."""
    count, modes, m, _ = fields.shape
    for b in range(count):
        row, column = corners[b, 0], corners[b, 1]
        scale = scales[b]
        for k in range(modes):
            for i in range(m):
                source = tile[row + i, column : column + m]
                target = probes[which[b], k, i]
                field = fields[b, k, i]
                for l in range(m):  # noqa: E741
                    target[l] += scale * (np.conj(source[l]) * field[l])


@compiled
def add_illumination(
    probes: NDArray, which: NDArray, corners: NDArray, weights: NDArray, power: int, tile: NDArray
) -> None:
    """tile[patch b] += (weights[b] sum_k |probe_k|^2)^power; power 1 is the illumination, 2 its square."""
    _, modes, m, _ = probes.shape
    row_sum = np.empty(m, tile.dtype)
    for b in range(corners.shape[0]):
        row, column = corners[b, 0], corners[b, 1]
        weight = weights[b]
        for i in range(m):
            row_sum[:] = 0
            for k in range(modes):
                probe = probes[which[b], k, i]
                for l in range(m):  # noqa: E741
                    row_sum[l] += probe[l].real * probe[l].real + probe[l].imag * probe[l].imag
            target = tile[row + i, column : column + m]
            for l in range(m):  # noqa: E741
                value = weight * row_sum[l]
                target[l] += value * value if power == 2 else value


@compiled
def sum_object_intensity(tile: NDArray, corners: NDArray, weights: NDArray, total: NDArray) -> None:
    """Total += sum_b weights[b] |tile[patch b]|^2, an (m, m) array: the probe's diagonal curvature."""
    m = total.shape[0]
    for b in range(corners.shape[0]):
        row, column = corners[b, 0], corners[b, 1]
        weight = weights[b]
        for i in range(m):
            source = tile[row + i, column : column + m]
            target = total[i]
            for l in range(m):  # noqa: E741
                target[l] += weight * (source[l].real * source[l].real + source[l].imag * source[l].imag)
