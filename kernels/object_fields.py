"""Between real fields of unknowns and the complex object where the link is linear, and the adjoint.

z = sum_c (re_c + i im_c) fields_c + i offset. Shapes: ``fields`` (C, rows, columns) real, ``z`` a complex
image; ``window`` (row, column, rows, columns) are pixels of the image, which in the fields begin at
``corner`` (row, column). One pass over either: rows are sliced inside the loops, and all arrays contiguous.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.compiled import compiled


@compiled
def combine_fields(
    fields: NDArray, corner: tuple[int, int], re: NDArray, im: NDArray, offset: float,
    window: tuple[int, int, int, int], z: NDArray,
) -> None:  # fmt: skip
    """z[window] = sum_c (re[c] + i im[c]) fields[c] + i offset."""
    row, column, rows, columns = window
    real = np.empty(columns, fields.dtype)
    imaginary = np.empty(columns, fields.dtype)
    for i in range(rows):
        real[:] = 0
        imaginary[:] = offset
        for c in range(fields.shape[0]):
            source = fields[c, corner[0] + i, corner[1] : corner[1] + columns]
            if re[c] != 0:
                for l in range(columns):  # noqa: E741
                    real[l] += re[c] * source[l]
            if im[c] != 0:
                for l in range(columns):  # noqa: E741
                    imaginary[l] += im[c] * source[l]
        target = z[row + i, column : column + columns]
        for l in range(columns):  # noqa: E741
            target[l] = complex(real[l], imaginary[l])


@compiled
def combine_fields_adjoint(
    z: NDArray, window: tuple[int, int, int, int], scale: float, re: NDArray, im: NDArray, add: bool,
    fields: NDArray, corner: tuple[int, int],
) -> None:  # fmt: skip
    """fields[c] = scale (re[c] Re z[window] + im[c] Im z[window]), or += where `add`."""
    row, column, rows, columns = window
    for i in range(rows):
        source = z[row + i, column : column + columns]
        for c in range(fields.shape[0]):
            target = fields[c, corner[0] + i, corner[1] : corner[1] + columns]
            a, b = scale * re[c], scale * im[c]
            if add:
                for l in range(columns):  # noqa: E741
                    target[l] += a * source[l].real + b * source[l].imag
            else:
                for l in range(columns):  # noqa: E741
                    target[l] = a * source[l].real + b * source[l].imag
