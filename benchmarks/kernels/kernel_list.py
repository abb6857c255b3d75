"""What is timed: a line for each kernel, with the names of its arguments on the `Workbench`.

Kernels of `PATTERNS` work on a batch of positions, those of `WHOLE` on vectors as long as all patterns or on
the object that these cover. All are given per pattern, in multiples of the bound. The work that is composed
of them is what `ptyxrf bench` times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ptyxrf.kernels.amplitudes import amplitude_hessian, amplitude_losses_along, amplitude_residual
from ptyxrf.kernels.checksum import checksum
from ptyxrf.kernels.fluorescence_scan import patch_sums, patch_sums_adjoint, weigh_maps
from ptyxrf.kernels.library_probe_shift import ramp_spectra, ramp_spectra_adjoint
from ptyxrf.kernels.object_fields import combine_fields, combine_fields_adjoint
from ptyxrf.kernels.patches import (
    add_illumination,
    add_patches,
    multiply_patches,
    multiply_patches_add,
    sum_object_intensity,
    sum_patches,
)
from ptyxrf.kernels.vectors import conjugate_gradient_step, dot, dots


@dataclass(frozen=True)
class Kernel:
    """A function, the names of its arguments, and what sets it apart from another use of the function."""

    function: Callable[..., Any]
    arguments: str
    use: str = ""

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return f"{self.function.__name__}{self.use and ', '}{self.use}"

    def on(self, bench: Any) -> Callable[[], Any]:
        """Return the call with arguments of a workbench or of a batch of it."""
        arguments = [getattr(bench, name) for name in self.arguments.split()]
        return lambda: self.function(*arguments)


def transform(fourier: Any, fields: Any) -> None:
    """Transform a batch in place."""
    fourier.forward(fields, fields)


def transform_back(fourier: Any, fields: Any) -> None:
    """Transform a batch back in place."""
    fourier.backward(fields, fields)


PATTERNS = [
    Kernel(transform, "fourier fields"),
    Kernel(transform_back, "fourier fields"),
    Kernel(multiply_patches, "tile probes which corners scales fields"),
    Kernel(multiply_patches_add, "tile moved which corners scales fields"),
    Kernel(add_patches, "fields probes which corners scales out"),
    Kernel(sum_patches, "fields tile which corners scales total"),
    Kernel(add_illumination, "probes which corners scales one image"),
    Kernel(sum_object_intensity, "tile corners scales intensity"),
    Kernel(amplitude_residual, "psi amplitudes fields losses"),
    Kernel(amplitude_hessian, "psi amplitudes low high fields"),
    Kernel(amplitude_losses_along, "psi fields nothing amplitudes steps sums"),
    Kernel(amplitude_losses_along, "psi fields bend amplitudes steps sums", "probe"),
    Kernel(ramp_spectra, "spectrum ramps ramps fields"),
    Kernel(ramp_spectra_adjoint, "fields ramps ramps spectrum"),
    Kernel(patch_sums, "maps probes which probes which corners scales counts"),
    Kernel(patch_sums_adjoint, "counts probes which probes which corners scales maps"),
    Kernel(weigh_maps, "maps counts corners none m weighed"),
]

WHOLE = [
    Kernel(combine_fields, "object_fields origin re im offset window tile"),
    Kernel(combine_fields_adjoint, "tile window unit re im keep object_fields origin"),
    Kernel(checksum, "rows starts"),
    Kernel(dot, "left right"),
    Kernel(dots, "left right residual"),
    Kernel(conjugate_gradient_step, "alpha beta left right search search_product solution residual"),
]
