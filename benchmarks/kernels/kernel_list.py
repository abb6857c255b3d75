"""What is timed: a line for each kernel, with the names of its arguments on the `Workbench`.

Kernels of `PATTERNS` work on a batch of positions, those of `WHOLE` on vectors as long as all patterns or on
the object that these cover. All are given per pattern, in multiples of the bound. The work that is composed
of them is what `ptyxrf bench` times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptyxrf.driver.solver.inverse_blocks import InverseBlocks
from ptyxrf.kernels.amplitude_residual import amplitude_hessian, amplitude_losses_along, amplitude_residual
from ptyxrf.kernels.bfgs_passes import first_loop, learn_pair, second_loop
from ptyxrf.kernels.checksum import checksum
from ptyxrf.kernels.exponential_fields import (
    exponential_change,
    exponential_change_adjoint,
    exponential_fields,
)
from ptyxrf.kernels.fftw.probe_shift import ramp_spectra, ramp_spectra_adjoint
from ptyxrf.kernels.fluorescence_scan import patch_sums, patch_sums_adjoint, weigh_maps
from ptyxrf.kernels.map_prior import add_differences, difference_products
from ptyxrf.kernels.momentum import momentum_step
from ptyxrf.kernels.noise_floor import CLASSES, add_misfit, floor_table
from ptyxrf.kernels.object_fields import combine_fields, combine_fields_adjoint
from ptyxrf.kernels.patches import (
    add_illumination,
    add_patches,
    multiply_patches,
    multiply_patches_add,
    sum_object_intensity,
    sum_patches,
)
from ptyxrf.kernels.reductions import BLOCK, conjugate_gradient_step, dot, dots


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


def gradients(term: Any, tile: Any, out: Any, first: int, last: int) -> None:
    """Loss and gradient of a batch in vector code."""
    term.gradient(tile, out, first, last, None)


def products(term: Any, change: Any, out: Any, first: int, last: int) -> None:
    """Hessian product of a batch in vector code."""
    term.product(change, out, first, last, None)


def losses_along(term: Any, change: Any, steps: Any, first: int, last: int) -> None:
    """Losses along a line of a batch in vector code."""
    term.losses_along(change, steps, np.zeros(len(steps)), first, last, False)


def intensities(term: Any, tile: Any, first: int, last: int) -> None:
    """Intensities of a batch in vector code."""
    term.intensities(tile, first, last)


def misfit(term: Any, first: int, last: int) -> None:
    """Misfit and noise floor of a batch, here at the data."""
    amplitudes = term.amplitudes[first:last].reshape(last - first, -1)
    positions, pixels = np.zeros((last - first, 8)), np.zeros((6, amplitudes.shape[1]))
    add_misfit(
        amplitudes, amplitudes, np.ones(last - first), CLASSES, floor_table(), positions, pixels,
        np.zeros((3, 2)),
    )  # fmt: skip


def shift_probes(shifts: Any, far_spectrum: Any, first: int, last: int, fields: Any) -> None:
    """The probe at each position of a batch, in vector code."""
    shifts.shift(far_spectrum, first, last, fields)


def shift_probes_adjoint(shifts: Any, fields: Any, first: int, last: int, far_sum: Any) -> None:
    """The adjoint of `shift_probes`."""
    shifts.add_shifted_back(fields, first, last, far_sum)


def precondition(blocks: InverseBlocks, left: Any, right: Any) -> None:
    """M^-1 of real and imaginary part."""
    blocks.apply(left, None, right)


def quasi_newton_pair(
    blocks: InverseBlocks, left: Any, right: Any, search: Any, solution: Any, pairs: Any, changes: Any,
    no_mask: Any, learned: Any,
) -> None:  # fmt: skip
    """A new pair and its products."""
    learn_pair(
        0, left, right, search, solution, pairs, changes, 0, *blocks.matrix, no_mask, False,
        *blocks.scratch(), learned,
    )  # fmt: skip


def quasi_newton_first_loop(
    blocks: InverseBlocks, left: Any, changes: Any, factors: Any, no_mask: Any, right: Any, learned: Any
) -> None:
    """The changes' part of a direction."""
    first_loop(
        0, left, changes, factors, 1.0, *blocks.matrix, no_mask, False, *blocks.scratch(), right, learned
    )


def quasi_newton_second_loop(
    pairs: Any, factors: Any, no_mask: Any, left: Any, right: Any, search: Any
) -> None:
    """The steps' part of a direction, and the step."""
    second_loop(pairs, factors, no_mask, False, 0, 0, left, right, search, BLOCK)


def momentum(left: Any, right: Any, search: Any, solution: Any) -> None:
    """A step after a batch of positions."""
    momentum_step(left[None], right, 0.6, 0.85, search[None], solution[None])


PATTERNS = [
    Kernel(gradients, "term tile out first last"),
    Kernel(gradients, "low_term tile out first last", "nothing kept"),
    Kernel(gradients, "background_term tile out first last", "background"),
    Kernel(gradients, "poisson_term tile out first last", "Poisson counts"),
    Kernel(products, "term change out first last"),
    Kernel(products, "background_term change out first last", "background"),
    Kernel(losses_along, "term change steps first last"),
    Kernel(intensities, "term tile first last"),
    Kernel(misfit, "term first last"),
    Kernel(shift_probes, "shifts far_spectrum first last fields"),
    Kernel(shift_probes_adjoint, "shifts fields first last far_sum"),
    Kernel(shift_probes, "expanded terms first last split_fields", "expansion"),
    Kernel(shift_probes_adjoint, "expanded split_fields first last terms_sum", "expansion"),
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
    Kernel(exponential_fields, "object_fields origin re im window tile"),
    Kernel(exponential_change, "tile object_fields origin re im window out"),
    Kernel(add_differences, "maps window strengths map_out"),
    Kernel(difference_products, "maps maps window squares"),
    Kernel(exponential_change_adjoint, "tile change window unit re im keep object_fields origin"),
    Kernel(checksum, "rows starts"),
    Kernel(dot, "left right"),
    Kernel(dots, "left right residual"),
    Kernel(precondition, "blocks left right"),
    Kernel(quasi_newton_pair, "blocks left right search search_product pairs changes no_mask learned"),
    Kernel(quasi_newton_first_loop, "blocks left changes factors no_mask search_product learned"),
    Kernel(quasi_newton_second_loop, "pairs factors no_mask left search_product search"),
    Kernel(momentum, "left right search solution"),
    Kernel(conjugate_gradient_step, "alpha beta left right search search_product solution residual"),
]
