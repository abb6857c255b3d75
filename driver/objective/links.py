"""How the unknown fields make the complex object: links between composition and optics.

A link maps fields (C, rows, columns) to z and gives the derivative, its adjoint and the second-order term,
all pixel by pixel, for the pixels of a window. Complex gradients are d/dRe + i d/dIm.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.object_fields import combine_fields, combine_fields_adjoint
from ptyxrf.parallel.rectangle import Window


class Link(ABC):
    """z as a function of the unknown fields."""

    #: Names of the unknowns in order; each stands for one field, "elements" for N_e of them.
    unknowns: tuple[str, ...]
    #: Whether z is linear in the fields, so that `second_order` adds nothing and a line in the fields is one
    #: in z.
    linear: bool

    @property
    def settings(self) -> dict[str, Any]:
        """What z depends on besides the fields, by name; a checkpoint has to agree with it.

        All attributes of the link, unless a subclass returns fewer: numbers, text, arrays, and lists of them.
        """
        return dict(vars(self))

    @abstractmethod
    def forward(self, fields: NDArray, at: Window, z: NDArray) -> None:
        """Set z in the window."""

    @abstractmethod
    def derivative(self, point: NDArray, change: NDArray, at: Window, z: NDArray) -> None:
        """Set z in the window to its change for a change of the fields at a point."""

    @abstractmethod
    def adjoint(
        self, point: NDArray, gradient: NDArray, at: Window, scale: float, out: NDArray, *, add: bool
    ) -> None:
        """Set fields in the window to the adjoint of the derivative of a gradient in z, or add it.

        Parameters
        ----------
        point : (C, rows, columns) array
            The fields at the point.
        gradient : (rows, columns) array of complex
        at : Window
        scale : float
            Factor of what is set or added.
        out : (C, ...) array
        add : bool
        """

    def second_order(
        self, point: NDArray, change: NDArray, gradient: NDArray, at: Window, scale: float, out: NDArray
    ) -> None:
        """Add the link's own second derivative times the change, weighted by the gradient in z."""
        if not self.linear:
            raise NotImplementedError(f"{type(self).__name__} is not linear and has no second derivative")


class LinearCombination(Link):
    """z = sum_c weight_c field_c + i offset.

    Parameters
    ----------
    weights : (C,) array of complex
    offset : float
    """

    linear = True

    def __init__(self, weights: NDArray[np.complex128], offset: float = 0.0) -> None:
        self.weights, self.offset = np.asarray(weights, dtype=np.complex128), float(offset)

    def _parts(self, dtype: np.dtype) -> tuple[NDArray, NDArray]:
        return self.weights.real.astype(dtype), self.weights.imag.astype(dtype)

    def forward(self, fields: NDArray, at: Window, z: NDArray) -> None:
        """Set z."""
        offset = fields.dtype.type(self.offset)
        combine_fields(fields, at.corner, *self._parts(fields.dtype), offset, at.extent, z)

    def derivative(self, point: NDArray, change: NDArray, at: Window, z: NDArray) -> None:
        """Set the change of z, which is the same everywhere."""
        none = change.dtype.type(0)
        combine_fields(change, at.corner, *self._parts(change.dtype), none, at.extent, z)

    def adjoint(
        self, point: NDArray, gradient: NDArray, at: Window, scale: float, out: NDArray, *, add: bool
    ) -> None:
        """Set or add scale Re(conj(weight_c) gradient)."""
        factor = out.dtype.type(scale)
        combine_fields_adjoint(gradient, at.extent, factor, *self._parts(out.dtype), add, out, at.corner)


class CartesianLink(LinearCombination):
    """z = x + i y with both parts free: ptychography alone."""

    unknowns = ("real_part", "imaginary_part")

    def __init__(self) -> None:
        super().__init__(np.array([1, 1j]))


class LinearLink(LinearCombination):
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

    def __init__(self, attenuation: NDArray[np.float64], offset: float = 0.0) -> None:
        super().__init__(np.concatenate([[1], 1j * np.asarray(attenuation, dtype=np.float64)]), offset)


def make_link(link: str | Link, method: str, attenuation: NDArray[np.float64], offset: float) -> Link:
    """Return the link of a method: the given one, or that of a name.

    Parameters
    ----------
    link : {"linear"} or Link
    method : {"joint", "ptychography", "fluorescence"}
        Ptychography alone has both parts of the object free.
    attenuation : (N_e,) array of float
    offset : float
    """
    if method == "ptychography":
        return CartesianLink()
    return LinearLink(attenuation, offset) if isinstance(link, str) else link
