"""Settings of the solvers: which one, how it makes its steps, and when it stops."""

from __future__ import annotations

from dataclasses import dataclass

from ptyxrf.driver.data.kinds import COUNT, COUNT_OR_ZERO, NOT_NEGATIVE, Choice, Switch
from ptyxrf.driver.data.setting import SettingsGroup, setting

#: Most inner steps of an iteration by default. That of quasi-Newton makes an iteration about as much work as
#: one of truncated Newton.
INNER_LIMITS = {"quasi-newton": 10, "newton": 15}


@dataclass(frozen=True, kw_only=True)
class SolverSettings(SettingsGroup):
    """Settings of the outer iterations and of the solver within them."""

    solver: str = setting(
        "quasi-newton",
        Choice(("quasi-newton", "newton")),
        "limited-memory BFGS, with a gradient a step, or truncated Newton, with a Hessian product a step",
    )
    nonnegative: bool = setting(True, Switch(), "keep the element maps non-negative")
    inner_limit: int | None = setting(
        None,
        COUNT,
        "most steps within an iteration: quasi-Newton steps, or Hessian products of truncated Newton",
    )
    pairs: int = setting(5, COUNT, "pairs of step and gradient change that limited-memory BFGS keeps")
    model_tolerance: float = setting(
        0.5,
        NOT_NEGATIVE,
        "end the inner solve of truncated Newton when a step lowers the quadratic model by less than this "
        "fraction of the mean decrease per step (the test of Nash and Sofer); 0: no such test",
    )
    residual_tolerance: float = setting(
        1e-3, NOT_NEGATIVE, "end the inner solve of truncated Newton at this relative residual"
    )

    @property
    def steps(self) -> int:
        """Most steps within an iteration: the solver's default where `inner_limit` is left open."""
        return INNER_LIMITS[self.solver] if self.inner_limit is None else self.inner_limit


@dataclass(frozen=True, kw_only=True)
class Stops(SettingsGroup):
    """When a reconstruction stops. An iteration that has begun is finished, with fewer inner steps."""

    max_iterations: int = setting(100, COUNT_OR_ZERO, "stop after so many iterations", path=False)
    max_sweeps: float | None = setting(
        None,
        NOT_NEGATIVE,
        "stop after so many sweeps over all positions: 1 for a gradient or product, 1/2 for a forward pass",
        path=False,
    )
    max_seconds: float | None = setting(
        None, NOT_NEGATIVE, "stop after this time, counted from the first start", unit="seconds", path=False
    )
    gradient_tolerance: float = setting(
        1e-6,
        NOT_NEGATIVE,
        "stop when the gradient norm has fallen to this fraction of the first; 0: no such stop",
        path=False,
    )
    loss_tolerance: float = setting(
        1e-4,
        NOT_NEGATIVE,
        "stop when the loss falls by less than this fraction in consecutive iterations; 0: no such stop",
        path=False,
    )
    patience: int = setting(3, COUNT, "number of those consecutive iterations", path=False)
