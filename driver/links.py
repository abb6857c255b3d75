"""How the unknown fields make the complex object: links between composition and optics.

A link maps fields (C, rows, columns) to z and gives the derivative, its adjoint and the second-order term,
all pixel by pixel. Complex gradients are d/dRe + i d/dIm.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Link(ABC):
    """z as a function of the unknown fields."""

    #: Names of the unknowns in order; each stands for one field, "elements" for N_e of them.
    unknowns: tuple[str, ...]
    #: Whether z is linear in the fields, so that `bend` adds nothing and a line in the fields is one in z.
    linear: bool

    @abstractmethod
    def forward(self, fields: NDArray, out: NDArray | None = None) -> NDArray[Any]:
        """Return z, in `out` where it is given."""

    @abstractmethod
    def derivative(self, fields: NDArray, change: NDArray, out: NDArray | None = None) -> NDArray[Any]:
        """Return the change of z for a change of the fields at `fields`, in `out` where it is given."""

    @abstractmethod
    def adjoint(self, fields: NDArray, gradient: NDArray, out: NDArray) -> None:
        """Add the adjoint of the derivative, applied to a gradient in z, to `out` (C, rows, columns)."""

    def bend(self, fields: NDArray, change: NDArray, gradient: NDArray, out: NDArray) -> None:
        """Add the link's own second derivative times the change, weighted by the gradient in z."""
        if not self.linear:
            raise NotImplementedError(f"{type(self).__name__} is not linear and has no second derivative")


def _image(fields: NDArray) -> NDArray[Any]:
    """Return an empty complex image for fields (C, rows, columns)."""
    return np.empty(fields.shape[1:], np.result_type(fields.dtype, np.complex64))


class CartesianLink(Link):
    """z = x + i y with both parts free: ptychography alone."""

    unknowns = ("real_part", "imaginary_part")
    linear = True

    def forward(self, fields: NDArray, out: NDArray | None = None) -> NDArray[Any]:
        """Return x + i y."""
        z = _image(fields) if out is None else out
        z.real, z.imag = fields[0], fields[1]
        return z

    def derivative(self, fields: NDArray, change: NDArray, out: NDArray | None = None) -> NDArray[Any]:
        """Return dx + i dy."""
        return self.forward(change, out)

    def adjoint(self, fields: NDArray, gradient: NDArray, out: NDArray) -> None:
        """Add (Re g, Im g)."""
        out[0] += gradient.real
        out[1] += gradient.imag


class LinearLink(Link):
    """z = x + i (offset + sum_e mu_e w_e): the weak-contrast link of the paper (offset 0 there).

    Parameters
    ----------
    attenuation : (N_e,) array of float
        mu_e.
    offset : float
        link_offset. Real transmission data in the gauge vacuum = -i have offset -1 and, as mu_e, half the
        mass attenuation coefficient.
    """

    unknowns = ("real_part", "elements")
    linear = True

    def __init__(self, attenuation: NDArray[np.float64], offset: float = 0.0) -> None:
        self.attenuation = np.asarray(attenuation, dtype=np.float64)
        self.offset = float(offset)

    def derivative(self, fields: NDArray, change: NDArray, out: NDArray | None = None) -> NDArray[Any]:
        """Return dx + i sum_e mu_e dw_e."""
        z = _image(change) if out is None else out
        z.real = change[0]
        z.imag = 0
        for mu, element in zip(self.attenuation.astype(change.dtype), change[1:], strict=True):
            z.imag += mu * element
        return z

    def forward(self, fields: NDArray, out: NDArray | None = None) -> NDArray[Any]:
        """Return x + i (offset + sum_e mu_e w_e)."""
        z = self.derivative(fields, fields, out)
        if self.offset:
            z.imag += self.offset
        return z

    def adjoint(self, fields: NDArray, gradient: NDArray, out: NDArray) -> None:
        """Add (Re g, mu_1 Im g, ...)."""
        out[0] += gradient.real
        for e, mu in enumerate(self.attenuation):
            out[1 + e] += out.dtype.type(mu) * gradient.imag


#: Links by name, for settings; "phase" is reserved for z = exp(-1/2 sum_e mu_e w_e + i phi).
LINKS = {"linear": LinearLink}
