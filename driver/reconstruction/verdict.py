"""From the misfit over the noise floor to a sentence: good or poor, and what to doubt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.quality import Quality

#: Fits of a right model have up to 1.1 times their floor; from this ratio on the model is wrong.
POOR = 1.15
#: What noise alone may add: this many standard deviations of the misfit.
DEVIATIONS = 4.0
#: Beyond this share of unknowns in the data a wrong model can fit the noise.
MOST_UNKNOWNS = 0.5
#: A pattern is far worse than the rest from this multiple of the median on, by so many standard deviations.
WORSE_POSITION, POSITION_DEVIATIONS = 2.0, 6.0
#: Some patterns are at fault where at most this fraction of them have most of the excess.
FEW_POSITIONS, FAR_PART = 0.05, 0.5
#: A detector pixel is far worse than the rest from this multiple of what all but this percentage of the
#: pixels have, by so many standard deviations: a mask that is wrong in more shows in the misfit in all.
WORSE_PIXEL, REST_OF_PIXELS, PIXEL_DEVIATIONS = 3.0, 2.0, 10.0
#: Misfit over floor that the darkest pixels of a good fit may have.
USUAL_PIXEL = 2.0
#: The intensities are in doubt where one factor for each pattern takes away this part of the excess.
INTENSITY_PART = 0.4
#: Median misfit over floor of a failed start: a wrong probe misfits everywhere.
FAILED_START = 3.0
#: Positions are distorted in common where that would gain so many times what noise explains.
DISTORTED = 4.0
#: A misfit of some positions rather than all has an excess at the 95th percentile of this many medians.
CONCENTRATED = 2.5


@dataclass(frozen=True)
class Misfit:
    """What the verdict looks at.

    Attributes
    ----------
    positions : (5, N) array of float64
    pixels : (3, m, m) array of float64
        See `ptyxrf.driver.reconstruction.quality.Sums`.
    share : float
        Unknowns over data.
    converged : bool
        Whether there was nothing left to gain.
    distortion : float or None
        See `ptyxrf.driver.data.quality.Quality`.
    """

    positions: NDArray[np.float64]
    pixels: NDArray[np.float64]
    share: float
    converged: bool
    distortion: float | None

    @property
    def left(self) -> float:
        """The part of the noise that the unknowns leave; at least a tenth, as no fit is complete."""
        return max(1 - self.share, 0.1)

    @property
    def floor(self) -> NDArray[np.float64]:
        """(N,): what a right model leaves of each pattern; never 0."""
        return np.maximum(self.left * self.positions[1], 1e-300)

    @property
    def ratio(self) -> float:
        """Misfit over floor of all patterns."""
        return float(self.positions[0].sum() / self.floor.sum())

    @property
    def deviation(self) -> float:
        """Standard deviation of the ratio by noise: the variance of a squared residual is at most about F."""
        return float(np.sqrt(self.positions[1].sum()) / self.floor.sum())

    @cached_property
    def per_position(self) -> NDArray[np.float64]:
        """(N,): misfit over floor of each pattern."""
        return self.positions[0] / self.floor

    @cached_property
    def _far(self) -> NDArray[np.bool_]:
        """(N,): which patterns fit far worse than the rest."""
        usual = float(np.median(self.per_position))
        excess = self.positions[0] - usual * self.floor
        noise = max(usual, 1.0) * np.sqrt(self.positions[1])
        return (self.per_position > WORSE_POSITION * usual) & (excess > POSITION_DEVIATIONS * noise)

    @property
    def far_positions(self) -> int:
        """How many patterns fit far worse than the rest."""
        return int(self._far.sum())

    @property
    def far_part(self) -> float:
        """The part of the excess that lies in these patterns, where they are few."""
        excess = self.positions[0] - self.floor
        few = self.far_positions <= FEW_POSITIONS * len(excess)
        return float(excess[self._far].sum()) / max(float(excess.sum()), 1e-300) if few else 0.0

    @property
    def far_pixels(self) -> int:
        """How many detector pixels fit far worse than the rest."""
        misfit, noise, seen = self.pixels[:, self.pixels[2] > 0]
        floor = self.left * noise
        rest = np.percentile(misfit / np.maximum(floor, 1e-3 * seen), 100 - REST_OF_PIXELS)
        excess = misfit - WORSE_PIXEL * max(float(rest), USUAL_PIXEL) * floor
        return int((excess > PIXEL_DEVIATIONS * np.sqrt(noise) + 1).sum())

    @property
    def intensity_part(self) -> float:
        """Part of the excess that one factor for the amplitudes of each pattern takes away."""
        misfit, _, model, _, product = self.positions
        gain = (product - model) ** 2 / np.maximum(model, 1e-300)
        return float(gain.sum()) / max(float(misfit.sum() - self.floor.sum()), 1e-300)

    @property
    def poor(self) -> bool:
        """Whether noise does not explain the misfit in all."""
        excess = max(POOR - 1, DEVIATIONS * self.deviation)
        if self.share > MOST_UNKNOWNS:  # then only what is above the whole noise is certain
            return self.ratio * self.left > 1 + excess
        return self.ratio > 1 + excess and self.ratio * self.left > 1


def verdict_of(misfit: Misfit) -> tuple[str, bool | None]:
    """Return the verdict as a sentence, and whether the fit is good.

    Parameters
    ----------
    misfit : Misfit
    """
    if not math.isfinite(misfit.ratio):
        return "Poor fit: the misfit of the patterns is not finite.", False
    figure = f"the misfit of the patterns is {misfit.ratio:.3g} times what their noise explains"
    first = "" if misfit.converged else "; the run ended before it converged, so give it more sweeps first"
    if misfit.poor:
        return f"Poor fit: {figure}; {_doubts(misfit)}{first}.", False
    if misfit.share > MOST_UNKNOWNS:
        few = f"there are too few data to tell: {misfit.share:.2g} unknowns for each good pixel"
        return f"No verdict: {figure}, but {few}.", None
    if pixels := misfit.far_pixels:
        return f"Doubtful fit: {figure}, but {_far_pixels(pixels)}{first}.", False
    if positions := misfit.far_positions:
        return f"Doubtful fit: {figure}, but {_far_positions(positions)}{first}.", False
    if misfit.distortion is not None and misfit.distortion > DISTORTED:
        return f"Doubtful fit: {figure}, but {_distorted(misfit.distortion)}.", False
    return f"Good fit: {figure}.", True


def _far_pixels(count: int) -> str:
    several = "1 detector pixel misfits" if count == 1 else f"{count} detector pixels misfit"
    return f"{several} far more than the rest: doubt the mask (hot or dead pixels)"


def _far_positions(count: int) -> str:
    if count == 1:
        return "1 pattern misfits far more than the rest: doubt its position and intensity"
    return f"{count} patterns misfit far more than the rest: doubt their positions and intensities"


def _distorted(score: float) -> str:
    return (
        f"positions that are stretched, turned or sheared together would gain {score:.2g} times what noise "
        "explains: refine their distortion (refine_positions='affine')"
    )


def _doubts(misfit: Misfit) -> str:
    """Return what to doubt where the misfit in all is too large."""
    ratios = misfit.per_position
    usual = float(np.median(ratios))
    concentrated = float(np.percentile(ratios, 95)) - 1 > CONCENTRATED * max(usual - 1, 0.0)
    if misfit.far_positions and misfit.far_part > FAR_PART:
        return _far_positions(misfit.far_positions)
    if misfit.intensity_part > INTENSITY_PART:
        return "doubt the intensities of the patterns (exposure, beam)"
    if pixels := misfit.far_pixels:
        return _far_pixels(pixels)
    if usual > FAILED_START and not concentrated:
        return "doubt the probe at the start (its defocus), then the positions"
    if concentrated:
        return "doubt the positions, then the number of probe modes"
    return "doubt the positions (drift), the number of probe modes, or a background on the detector"


def without_floor(relative_misfit: float, *, noiseless: bool) -> Quality:
    """Return the quality where there is no noise to compare with, or it is not known.

    Parameters
    ----------
    relative_misfit : float
    noiseless : bool
        Whether the scan says that its data have no noise.
    """
    unexplained = f"{100 * relative_misfit:.2g} % of the amplitudes"
    if noiseless:
        verdict = f"No verdict: the data have no noise to compare with; the fit misses {unexplained}."
    else:
        verdict = (
            "No verdict: the noise of the patterns is not known (no count scale, and no whole numbers); "
            f"the fit misses {unexplained}."
        )
    return Quality(math.nan, None, None, 0.0 if noiseless else math.nan, relative_misfit, verdict, None)
