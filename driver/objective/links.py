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
from ptyxrf.parallel.rectangle import Rectangle, Window


class Link(ABC):
    """z as a function of the unknown fields.

    Arrays of fields have shape (C, rows, columns). `point` and `z` are the fields and the object at the point
    where a derivative is taken; `change`, `gradient` and `out` belong to it. Which pixels of each are meant
    is in the window (see `Window`): those of `change` and `out` may begin at another corner.
    """

    #: Names of the unknowns in order; each stands for one field, "elements" for N_e of them.
    unknowns: tuple[str, ...]
    #: Whether z is linear in the fields, so that `second_order` adds nothing and a line in the fields is one
    #: in z.
    linear: bool
    #: Unknowns that a solver may bound below by 0; they stand together.
    nonnegative: tuple[str, ...] = ("elements",)
    #: What a change of each field changes of z where z is 1, (C,) complex numbers; the preconditioner takes
    #: them for the derivative everywhere.
    weights: NDArray[np.complex128]

    @property
    def settings(self) -> dict[str, Any]:
        """What z depends on besides the fields, by name; a checkpoint has to agree with it.

        All attributes of the link, unless a subclass returns fewer: numbers, text, arrays, and lists of them.
        """
        return dict(vars(self))

    def parts(self, dtype: np.dtype) -> tuple[NDArray, NDArray]:
        """Return the real and imaginary parts of the weights in a precision."""
        return self.weights.real.astype(dtype), self.weights.imag.astype(dtype)

    @abstractmethod
    def forward(self, fields: NDArray, at: Window, z: NDArray) -> None:
        """Set z in the window."""

    def object_of(self, fields: NDArray) -> NDArray[Any]:
        """Return z of whole fields."""
        z = np.empty(fields.shape[1:], np.result_type(fields.dtype, np.complex64))
        self.forward(fields, Window.same(Rectangle(0, z.shape[0], 0, z.shape[1])), z)
        return z

    @abstractmethod
    def derivative(self, point: NDArray, z: NDArray, change: NDArray, at: Window, out: NDArray) -> None:
        """Set `out` in the window to the change of z for a change of the fields."""

    @abstractmethod
    def adjoint(
        self, point: NDArray, z: NDArray, gradient: NDArray, at: Window, scale: float, out: NDArray,
        *, add: bool,
    ) -> None:  # fmt: skip
        """Set fields `out` in the window to scale times the adjoint of the derivative, or add it."""

    def fields_of(
        self, z: NDArray, elements: NDArray, weights: NDArray[np.float64] | None = None
    ) -> dict[str, NDArray]:
        """Return the fields, by name, from which a reconstruction of a known object starts.

        Parameters
        ----------
        z : (n_rows, n_cols) array of complex
            The object, 1 in vacuum but for a constant phase.
        elements : (N_e, n_rows, n_cols) array of float
            The element maps, which are kept.
        weights : (n_rows, n_cols) array of float, optional
            How well each pixel of the object is known, such as its illumination.

        Returns
        -------
        dict of str to array
            A start for `reconstruct` or `Objective`. Where no field is free for it, the object is not that of
            z.
        """
        raise NotImplementedError(f"{type(self).__name__} does not tell its fields from an object")

    def second_order(
        self, point: NDArray, z: NDArray, change: NDArray, gradient: NDArray, at: Window, scale: float,
        out: NDArray,
    ) -> None:  # fmt: skip
        """Add the link's own second derivative times the change, weighted by the gradient in z.

        Products of the curvature ``full`` ask for it where the link is not linear.
        """
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

    def forward(self, fields: NDArray, at: Window, z: NDArray) -> None:
        """Set z."""
        offset = fields.dtype.type(self.offset)
        combine_fields(fields, at.corner, *self.parts(fields.dtype), offset, at.extent, z)

    def derivative(self, point: NDArray, z: NDArray, change: NDArray, at: Window, out: NDArray) -> None:
        """Set the change of z, which is the same everywhere."""
        none = change.dtype.type(0)
        combine_fields(change, at.corner, *self.parts(change.dtype), none, at.extent, out)

    def adjoint(
        self, point: NDArray, z: NDArray, gradient: NDArray, at: Window, scale: float, out: NDArray,
        *, add: bool,
    ) -> None:  # fmt: skip
        """Set or add scale Re(conj(weight_c) gradient)."""
        factor = out.dtype.type(scale)
        combine_fields_adjoint(gradient, at.extent, factor, *self.parts(out.dtype), add, out, at.corner)


class CartesianLink(LinearCombination):
    """z = x + i y with both parts free: ptychography alone."""

    unknowns = ("real_part", "imaginary_part")

    def __init__(self) -> None:
        super().__init__(np.array([1, 1j]))

    def fields_of(
        self, z: NDArray, elements: NDArray, weights: NDArray[np.float64] | None = None
    ) -> dict[str, NDArray]:
        """Return both parts."""
        return {"real_part": z.real, "imaginary_part": z.imag}


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

    def fields_of(
        self, z: NDArray, elements: NDArray, weights: NDArray[np.float64] | None = None
    ) -> dict[str, NDArray]:
        """Return the real part, in the phase in which vacuum is i offset (1 without), and the maps."""
        vacuum = 1j * np.sign(self.offset) if self.offset else 1.0
        return {"real_part": (vacuum * z).real, "elements": elements}
