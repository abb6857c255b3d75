"""Settings of the objective: which model is fitted, and how it is computed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ptyxrf.driver.data.kinds import (
    COUNT_OR_ZERO,
    NOT_NEGATIVE,
    Choice,
    Either,
    Number,
    Several,
    Switch,
    Text,
)
from ptyxrf.driver.data.setting import SettingsGroup, setting
from ptyxrf.driver.data.words import METHODS
from ptyxrf.kernels.words import CURVATURES, ENGINES, PATTERN_LOSSES

if TYPE_CHECKING:
    from ptyxrf.driver.objective.links import Link

PRECISIONS = ("single", "double")
WEIGHTS = ("statistical", "gradnorm")
PRIORS = ("auto", "none")
LINKS = ("linear", "refractive")
FREE = ("phase", "both", "none")


class LinkChoice(Choice):
    """The name of a link, or a `Link` object."""

    def __init__(self, words: tuple[str, ...]) -> None:
        super().__init__(words)
        self.annotation += " or Link"
        self.expected += ", or a Link"

    def accept(self, value: Any) -> Any:
        """Return the name or the link; raise ValueError for anything else."""
        if isinstance(value, str):
            return super().accept(value)
        # imported here because links load Numba, which the command's help must not wait for
        from ptyxrf.driver.objective.links import Link

        if not isinstance(value, Link):
            raise ValueError
        return value

    def plain(self, value: Any) -> Any:
        """Return the name, or the class of a link object with all that it depends on."""
        if isinstance(value, str):
            return value
        from ptyxrf.driver.data.plain_json import plain

        # what JSON cannot represent (a function, say) enters by its type
        settings = json.dumps(plain(value.settings), default=lambda entry: type(entry).__name__)
        return {"name": type(value).__name__, "settings": json.loads(settings)}


@dataclass(frozen=True, kw_only=True)
class Model(SettingsGroup):
    """Settings of `Objective`."""

    method: str = setting("joint", Choice(METHODS), "which data are reconstructed: both, or one of them")
    alpha: str | float | tuple[float, ...] = setting(
        "statistical",
        Either(
            (Choice(WEIGHTS), NOT_NEGATIVE, Several(NOT_NEGATIVE)),
            "{statistical,gradnorm,X,X,...}",
        ),
        "weights of the fluorescence in the joint objective: of maximum likelihood, balancing the gradients "
        "at the start (as in the paper), one number, or a number for each element",
    )
    curvature: str = setting(
        "positive",
        Choice(tuple(CURVATURES)),
        "which Hessian is applied in products",
    )
    precision: str = setting(
        "double",
        Choice(PRECISIONS),
        "precision of fields and vectors; sums are in double precision either way",
    )
    refine_probe: bool = setting(
        False, Switch("probe_from_iteration delays the refinement"), "treat the probe as an unknown, too"
    )
    refine_positions: str = setting(
        "none",
        Choice(("none", "each", "affine", "both")),
        "treat the scan positions as unknowns, too: each on its own, a common linear distortion, or both",
    )
    position_margin: int = setting(
        16,
        COUNT_OR_ZERO,
        "pixels that a position may move where positions are refined; the halo has as many more",
    )
    refine_intensities: bool = setting(
        False,
        Switch(),
        "treat the intensity of the beam at each position as an unknown, too; it starts at the exposure",
    )
    pattern_loss: str = setting(
        PATTERN_LOSSES[0],
        Choice(PATTERN_LOSSES),
        "misfit of the patterns: squared residuals of amplitudes, or the deviance of Poisson counts",
    )
    refine_pattern_background: bool = setting(
        False,
        Switch(),
        "treat what the background of the patterns has above that of the scan, or above the level of the "
        "darkest pixels, as an unknown, too",
    )
    alpha_scale: float = setting(1.0, NOT_NEGATIVE, "factor of weights that are given by name")
    fluorescence_prior: str | float | tuple[float, ...] = setting(
        "none",
        Either((Choice(PRIORS), NOT_NEGATIVE, Several(NOT_NEGATIVE)), "{auto,none,X,X,...}"),
        "Gaussian prior on the differences of neighbouring pixels of each map, as strong as the counts of "
        "the map tell, or one over the variance of the differences, a number or one for each element; with "
        "it samples are weighed by the counts that the maps predict, and the fit goes on until it converges",
    )
    link: str | Link = setting(
        None,
        LinkChoice(LINKS),
        "how the element maps enter the object: its imaginary part is a sum of them, or they absorb and "
        "delay the beam (default: refractive where the scan has a phase shift for each element, or symbols "
        "of elements, the photon energy and no attenuation)",
    )
    link_offset: float = setting(
        0.0, Number(), "imaginary part of the object where there is no element, in the linear link"
    )
    free: str = setting(
        "phase",
        Choice(FREE),
        "what of the object varies freely beside the maps of the refractive link: phase, phase and "
        "absorption, or nothing",
    )
    matrix: str | tuple[float, float] = setting(
        None,
        Either((Several(Number(), 2), Text()), "FORMULA"),
        "material that fluorescence does not see, for the refractive link: a chemical formula, or its "
        "attenuation and phase shift in m^2/kg (default: none); it has a map of its own",
    )
    rescale_probe: bool = setting(
        False,
        Switch(),
        "scale the scan's probe so that an object of ones explains the mean count, unless the start has one",
    )
    memory: str = setting(
        "cached",
        Choice(("cached", "low", "disk")),
        "keep the far field of each position for Hessian products; or compute it again in each, and keep "
        "patterns of whole numbers below 65535 as such: 12 and 2 bytes less per pattern pixel in single "
        "precision; or keep them in a temporary file, too, and in memory as far as there is room",
    )
    engine: str = setting(
        "auto",
        Choice(ENGINES),
        "what transforms the patterns: vector code (for sizes with no prime factor above 7), or a library",
    )
    margin: int = setting(
        0,
        COUNT_OR_ZERO,
        "pixels that the halo keeps around every patch beyond those that it touches",
        path=False,
    )
    object_floor: float = setting(
        0.02,
        NOT_NEGATIVE,
        "fraction of its largest value that is added to the preconditioner's diagonal of the object",
    )
    probe_floor: float = setting(
        0.02,
        NOT_NEGATIVE,
        "fraction of its largest value that is added to the preconditioner's diagonal of the probe",
    )
    preconditioner: bool = setting(True, Switch(), "precondition the steps within an iteration")

    @property
    def halo_margin(self) -> int:
        """Pixels of the halo around every patch, beyond those that it touches at the start."""
        # slopes of the object along a position take one pixel beyond the patch
        return self.margin + (max(self.position_margin, 1) if self.refine_positions != "none" else 0)
