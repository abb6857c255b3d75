"""Residual, Hessian and losses along a line of a chunk of a pattern, in explicit vector code.

Layouts and names are those of `ptyxrf.kernels.simd.arguments`; the formulas those of
`ptyxrf.kernels.amplitude_residual` and, with a background or the loss of Poisson counts, of
`ptyxrf.kernels.intensity_residual`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.amplitude_residual import DARK, DARK_SINGLE
from ptyxrf.kernels.compiled import kernel_part
from ptyxrf.kernels.intensity_residual import poisson_deviance
from ptyxrf.kernels.kept_counts import take_roots
from ptyxrf.kernels.simd.arguments import Detector, Patterns, Scratch, State
from ptyxrf.kernels.simd.fourier import FieldPlan


class Chunk(NamedTuple):
    """A chunk of a pattern.

    Attributes
    ----------
    at, far : int
        Where it begins in a field and in psi.
    level : int
        Where it begins in a pattern.
    here, counted, kept : int
        Where it begins in the amplitudes, in the counts, and in what is kept of c/|psi|^2.
    """

    at: int
    far: int
    level: int
    here: int
    counted: int
    kept: int


@kernel_part
def chunk_of(plan: FieldPlan, patterns: Patterns, state: State, j: int, c: int) -> Chunk:
    """Return chunk c of position j."""
    within = plan.part * c
    here = plan.pattern * j + within
    kept = within if state.recompute else here
    return Chunk(
        plan.chunk * c,
        2 * plan.modes * kept,
        within,
        here if len(patterns.counts) == 0 else within,
        here,
        kept,
    )


@kernel_part
def bring(plan: FieldPlan, patterns: Patterns, chunk: Chunk) -> None:
    """Take the roots of the counts of a chunk, where counts are kept."""
    if len(patterns.counts) > 0:
        counts = patterns.counts[chunk.counted : chunk.counted + plan.part]
        measured = patterns.amplitudes[chunk.here : chunk.here + plan.part]
        take_roots(counts, patterns.unit, patterns.faint, measured)


@kernel_part
def amplitude_factors(
    measured: NDArray, power: NDArray, ratio: NDArray, low: float, high: float, dark: float
) -> float:
    """Replace the intensity by the factor 1 - b/r of the field, keep c/r^2, and return twice the loss."""
    zero, one = measured.dtype.type(0), measured.dtype.type(1)
    total = zero
    for l in range(len(measured)):  # noqa: E741
        good = one if measured[l] >= zero else zero
        bright = max(power[l], dark)
        inverse = one / np.sqrt(bright)
        c = min(max(measured[l] * inverse, low), high)
        c = c if power[l] > dark else zero
        ratio[l] = c * (inverse * inverse) if measured[l] >= zero else -one
        difference = good * (bright * inverse - measured[l])
        total += difference * difference
        power[l] = difference * inverse
    return total


@kernel_part
def poisson_factors(measured: NDArray, power: NDArray, ratio: NDArray, low: float, high: float) -> float:
    """Replace the intensity by the factor (1 - d/I)/2 of the field, keep c/I, and return twice the loss."""
    zero, half, one = measured.dtype.type(0), measured.dtype.type(0.5), measured.dtype.type(1)
    total = poisson_loss(measured, power)
    for l in range(len(measured)):  # noqa: E741
        inverse = one / power[l]
        c = measured[l] * measured[l] * inverse
        held = min(max(c, low), high)
        ratio[l] = held * inverse if measured[l] >= zero else -one
        power[l] = half * (one - c) if measured[l] >= zero else zero
    return total


@kernel_part
def poisson_loss(measured: NDArray, power: NDArray) -> float:
    """Return twice the loss of Poisson counts for intensities above 0."""
    total = 0.0
    for l in range(len(measured)):  # noqa: E741
        # in double precision, as large terms cancel
        deviance = poisson_deviance(np.float64(power[l]), np.float64(measured[l]) ** 2)
        total += deviance if measured[l] >= 0 else 0.0
    return 0.5 * total


@kernel_part
def keep_modes(plan: FieldPlan, field: NDArray, at: int, psi: NDArray, far: int, power: NDArray) -> None:
    """Keep psi, and add the intensity of all modes to `power`."""
    part, plane = plan.part, plan.plane
    for k in range(plan.modes):
        start, here = far + 2 * k * part, at + k * plan.field
        p_re, p_im = psi[start : start + part], psi[start + part : start + 2 * part]
        re, im = field[here : here + part], field[here + plane : here + plane + part]
        for l in range(part):  # noqa: E741
            f_re, f_im = re[l], im[l]
            p_re[l] = f_re
            p_im[l] = f_im
            power[l] += f_re * f_re + f_im * f_im


@kernel_part
def residual_chunk(
    plan: FieldPlan, patterns: Patterns, state: State, scratch: Scratch, chunk: Chunk, adding: bool
) -> float:
    """Keep psi and c/|psi|^2, turn the field into psi - b q, and return twice the loss.

    The gradient in the background is added to its sums if `adding`.
    """
    bring(plan, patterns, chunk)
    part, plane, modes = plan.part, plan.plane, plan.modes
    at, far, here, kept = chunk.at, chunk.far, chunk.here, chunk.kept
    field, work, psi, low, high = scratch.field, scratch.work, state.psi, patterns.low, patterns.high
    detector = patterns.detector
    measured, ratio = patterns.amplitudes[here : here + part], state.ratio[kept : kept + part]
    zero, one = measured.dtype.type(0), measured.dtype.type(1)
    dark = measured.dtype.type(DARK_SINGLE if measured.itemsize == 4 else DARK)
    if modes == 1 and detector.plain:  # one pass with everything in registers
        total = zero
        re, im = field[at : at + part], field[at + plane : at + plane + part]
        p_re, p_im = psi[far : far + part], psi[far + part : far + 2 * part]
        for l in range(part):  # noqa: E741
            f_re, f_im = re[l], im[l]
            p_re[l] = f_re
            p_im[l] = f_im
            good = one if measured[l] >= zero else zero
            square = f_re * f_re + f_im * f_im
            bright = max(square, dark)
            inverse = one / np.sqrt(bright)
            c = min(max(measured[l] * inverse, low), high)
            c = c if square > dark else zero
            ratio[l] = c * (inverse * inverse) if measured[l] >= zero else -one
            difference = good * (bright * inverse - measured[l])
            total += difference * difference
            factor = difference * inverse
            re[l] = factor * f_re
            im[l] = factor * f_im
        return total
    power = work[:part]
    if detector.plain:
        power[:] = zero
    else:
        level = detector.levels[chunk.level : chunk.level + part]
        for l in range(part):  # noqa: E741
            power[l] = level[l]
    keep_modes(plan, field, at, psi, far, power)
    if detector.poisson:
        misfit = poisson_factors(measured, power, ratio, low, high)
    else:
        misfit = float(amplitude_factors(measured, power, ratio, low, high, dark))
    if detector.moves and adding:
        _, beta, _, sums = background_chunk(plan, detector, chunk)
        for l in range(part):  # noqa: E741
            sums[l] += power[l] * beta[l]
    for k in range(modes):
        here = at + k * plan.field
        re, im = field[here : here + part], field[here + plane : here + plane + part]
        for l in range(part):  # noqa: E741
            re[l] *= power[l]
            im[l] *= power[l]
    return misfit


@kernel_part
def background_chunk(
    plan: FieldPlan, detector: Detector, chunk: Chunk
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Return what adds to the intensity, beta, its change, and the sums for it."""
    first, last, pattern = chunk.level, chunk.level + plan.part, plan.pattern
    levels = detector.levels
    return (
        levels[first:last],
        levels[pattern + first : pattern + last],
        levels[2 * pattern + first : 2 * pattern + last],
        detector.sums[first:last],
    )


@kernel_part
def hessian_chunk(plan: FieldPlan, detector: Detector, state: State, scratch: Scratch, chunk: Chunk) -> None:
    """Replace the directions dpsi by (1 - c) dpsi + c q Re(sum conj(q) dpsi).

    With r = c/|psi|^2: 1 - c = 1 - r |psi|^2 and c q q^* = r psi psi^*. A background takes part as one more,
    real mode beta.
    """
    part, plane, modes = plan.part, plan.plane, plan.modes
    at, far, kept = chunk.at, chunk.far, chunk.kept
    field, work, psi = scratch.field, scratch.work, state.psi
    ratio = state.ratio[kept : kept + part]
    zero, one = ratio.dtype.type(0), ratio.dtype.type(1)
    if modes == 1 and detector.plain:
        p_re, p_im = psi[far : far + part], psi[far + part : far + 2 * part]
        re, im = field[at : at + part], field[at + plane : at + plane + part]
        for l in range(part):  # noqa: E741
            f_re, f_im, c_re, c_im = p_re[l], p_im[l], re[l], im[l]
            r = ratio[l]
            across = one - r * (f_re * f_re + f_im * f_im)
            parallel = r * (f_re * c_re + f_im * c_im)
            across = across if r >= zero else zero
            parallel = parallel if r >= zero else zero
            re[l] = across * c_re + parallel * f_re
            im[l] = across * c_im + parallel * f_im
        return
    power, along = work[:part], work[part : 2 * part]
    scale = ratio.dtype.type(0.5) if detector.poisson else one
    if detector.plain:
        power[:] = zero
        along[:] = zero
    else:
        level, beta, change, sums = background_chunk(plan, detector, chunk)
        for l in range(part):  # noqa: E741
            power[l] = level[l]
            along[l] = beta[l] * change[l]
    for k in range(modes):
        start, here = far + 2 * k * part, at + k * plan.field
        p_re, p_im = psi[start : start + part], psi[start + part : start + 2 * part]
        re, im = field[here : here + part], field[here + plane : here + plane + part]
        for l in range(part):  # noqa: E741
            power[l] += p_re[l] * p_re[l] + p_im[l] * p_im[l]
            along[l] += p_re[l] * re[l] + p_im[l] * im[l]
    for l in range(part):  # noqa: E741
        r = ratio[l]
        power[l] = scale * (one - r * power[l]) if r >= zero else zero
        along[l] = r * along[l] if r >= zero else zero
    if detector.moves:
        level, beta, change, sums = background_chunk(plan, detector, chunk)
        for l in range(part):  # noqa: E741
            sums[l] += power[l] * change[l] + along[l] * beta[l]
    for k in range(modes):
        start, here = far + 2 * k * part, at + k * plan.field
        p_re, p_im = psi[start : start + part], psi[start + part : start + 2 * part]
        re, im = field[here : here + part], field[here + plane : here + plane + part]
        for l in range(part):  # noqa: E741
            re[l] = power[l] * re[l] + along[l] * p_re[l]
            im[l] = power[l] * im[l] + along[l] * p_im[l]


@kernel_part
def losses_chunk(
    plan: FieldPlan, patterns: Patterns, state: State, scratch: Scratch, chunk: Chunk, quadratic: bool,
    steps: NDArray, losses: NDArray,
) -> None:  # fmt: skip
    """losses[s] += loss of psi + t field + t^2 bends at t = steps[s]; bends = 0 unless `quadratic`."""
    bring(plan, patterns, chunk)
    part, plane, modes = plan.part, plan.plane, plan.modes
    at, far, detector = chunk.at, chunk.far, patterns.detector
    measured = patterns.amplitudes[chunk.here : chunk.here + part]
    field, bends, work, psi = scratch.field, scratch.bends, scratch.work, state.psi
    zero, two = measured.dtype.type(0), measured.dtype.type(2)
    work[: (5 if quadratic else 3) * part] = zero
    c0, c1, c2 = work[:part], work[part : 2 * part], work[2 * part : 3 * part]
    c3, c4 = work[3 * part : 4 * part], work[4 * part : 5 * part]
    if not detector.plain:
        level, beta, change, _ = background_chunk(plan, detector, chunk)
        for l in range(part):  # noqa: E741
            c0[l] = level[l]
            c1[l] = two * beta[l] * change[l]
            c2[l] = change[l] * change[l]
    for k in range(modes):
        start, here = far + 2 * k * part, at + k * plan.field
        p_re, p_im = psi[start : start + part], psi[start + part : start + 2 * part]
        re, im = field[here : here + part], field[here + plane : here + plane + part]
        for l in range(part):  # noqa: E741
            c0[l] += p_re[l] * p_re[l] + p_im[l] * p_im[l]
            c1[l] += two * (p_re[l] * re[l] + p_im[l] * im[l])
            c2[l] += re[l] * re[l] + im[l] * im[l]
        if quadratic:
            b_re, b_im = bends[here : here + part], bends[here + plane : here + plane + part]
            for l in range(part):  # noqa: E741
                c2[l] += two * (p_re[l] * b_re[l] + p_im[l] * b_im[l])
                c3[l] += two * (re[l] * b_re[l] + im[l] * b_im[l])
                c4[l] += b_re[l] * b_re[l] + b_im[l] * b_im[l]
    for s in range(len(steps)):
        t = steps[s]
        if detector.poisson:
            losses[s] += 0.5 * poisson_loss_along(part, measured, work, t, quadratic)
            continue
        total = zero
        for l in range(part):  # noqa: E741
            power = c2[l]
            if quadratic:
                power += t * (c3[l] + t * c4[l])
            power = c0[l] + t * (c1[l] + t * power)
            difference = np.sqrt(max(power, zero)) - measured[l]  # rounding may leave power < 0
            total += difference * difference if measured[l] >= zero else zero
        losses[s] += 0.5 * total


@kernel_part
def intensity_chunk(plan: FieldPlan, field: NDArray, at: int, power: NDArray) -> None:
    """Power = sum_k |psi_k|^2 of a chunk that begins at number `at` of a field."""
    part, plane = plan.part, plan.plane
    power[:] = power.dtype.type(0)
    for k in range(plan.modes):
        here = at + k * plan.field
        re, im = field[here : here + part], field[here + plane : here + plane + part]
        for l in range(part):  # noqa: E741
            power[l] += re[l] * re[l] + im[l] * im[l]


@kernel_part
def poisson_loss_along(part: int, measured: NDArray, work: NDArray, t: float, quadratic: bool) -> float:
    """Return twice the loss of Poisson counts for the polynomials of the intensity in t."""
    total = 0.0
    for l in range(part):  # noqa: E741
        power = work[2 * part + l]
        if quadratic:
            power += t * (work[3 * part + l] + t * work[4 * part + l])
        power = work[l] + t * (work[part + l] + t * power)
        model = max(np.float64(power), DARK)  # rounding may leave power < 0
        deviance = poisson_deviance(model, np.float64(measured[l]) ** 2)
        total += deviance if measured[l] >= 0 else 0.0
    return 0.5 * total
