"""Settings of error bars."""

from __future__ import annotations

from dataclasses import dataclass

from ptyxrf.driver.data.kinds import (
    COUNT,
    COUNT_OR_ZERO,
    NOT_NEGATIVE,
    POSITIVE,
    Choice,
    Either,
    File,
    Several,
    Switch,
)
from ptyxrf.driver.data.setting import SettingsGroup, redeclared, setting
from ptyxrf.driver.objective.settings import PRECISIONS, Model

#: What an experiment may choose; the third follows from the other two.
AXES = ("step", "dwell", "dose")
ONE_OR_MORE = Either((POSITIVE, Several(POSITIVE)), "X,...")


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
    checkpoint: str | None = setting(
        None, File(), "path of the samples so far, written after each; without a path none are written"
    )
    resume: bool = setting(
        False,
        Switch(),
        "go on from the samples of the checkpoint, or begin where there is none; scan, result and settings "
        "have to be the same, except for their number, budgets and the number of ranks",
    )
    precision: str = setting("double", Choice(PRECISIONS), "precision of fields and vectors")

    def check(self) -> None:
        """Refuse to resume without a path."""
        super().check()
        if self.resume and self.checkpoint is None:
            raise ValueError("resume: expected the path of a checkpoint beside it, got checkpoint None")


@dataclass(frozen=True, kw_only=True)
class Conditions(SettingsGroup):
    """How a scan would be measured, and how closely its errors are foretold."""

    step: float | tuple[float, ...] = setting(
        None,
        ONE_OR_MORE,
        "between neighbouring positions of a raster (default: the scan's positions)",
        unit="pixels",
    )
    dwell: float | tuple[float, ...] = setting(
        None, ONE_OR_MORE, "time at a position, relative to that of the scan (default: 1)"
    )
    dose: float | tuple[float, ...] = setting(
        None,
        ONE_OR_MORE,
        "incident photons for each pixel of the object; beside a step it sets the dwell time, beside a dwell "
        "time the step (default: what follows)",
    )
    samples: int = redeclared(Sampling, "samples", 8)
    tolerance: float = redeclared(Sampling, "tolerance", Sampling.tolerance)
    max_products: int = redeclared(Sampling, "max_products", Sampling.max_products)
    fluorescence_prior: str | float | tuple[float, ...] = redeclared(
        Model, "fluorescence_prior", "auto", "with auto as strong as the expected counts of the scan ask for"
    )

    def check(self) -> None:
        """Refuse what contradicts itself."""
        super().check()
        if all(getattr(self, name) is not None for name in AXES):
            raise ValueError("dose: expected none beside step and dwell, from which it follows, got three")


@dataclass(frozen=True, kw_only=True)
class Expectation(Conditions, Model):
    """Settings of `expected_errors`: conditions, and the model that would be fitted."""

    fluorescence_prior: str | float | tuple[float, ...] = redeclared(Conditions, "fluorescence_prior", "auto")
