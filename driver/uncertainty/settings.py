"""Settings of error bars."""

from __future__ import annotations

from dataclasses import dataclass

from ptyxrf.driver.data.kinds import COUNT, COUNT_OR_ZERO, NOT_NEGATIVE, Choice
from ptyxrf.driver.data.setting import SettingsGroup, setting
from ptyxrf.driver.objective.settings import PRECISIONS


@dataclass(frozen=True, kw_only=True)
class Sampling(SettingsGroup):
    """How many samples of the posterior are drawn, and how exactly."""

    samples: int = setting(
        32,
        COUNT_OR_ZERO,
        "samples of the posterior, each the solution of a linear problem; 0: an estimate from the "
        "preconditioner's blocks alone, within seconds",
    )
    seed: int = setting(0, COUNT_OR_ZERO, "of the random numbers")
    tolerance: float = setting(
        1e-2,
        NOT_NEGATIVE,
        "relative residual, in the norm of the preconditioner, that ends a solution; smaller where the first "
        "sample shows that it is too large",
    )
    max_products: int = setting(500, COUNT, "most Hessian products of a sample")
    finish_iterations: int = setting(
        30,
        COUNT_OR_ZERO,
        "most iterations that take a fit which has stopped early to its minimum, of which error bars are",
    )
    max_seconds: float | None = setting(
        None, NOT_NEGATIVE, "begin no further sample after this time, once there are two", unit="seconds"
    )
    precision: str = setting("double", Choice(PRECISIONS), "precision of fields and vectors")
