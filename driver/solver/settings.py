"""Settings of the solvers: which one, and how it makes its steps. When to stop is not among them."""

from __future__ import annotations

from dataclasses import dataclass

from ptyxrf.driver.data.kinds import COUNT, NOT_NEGATIVE, Choice, Switch
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
    preconditioner: bool = setting(True, Switch(), "precondition the steps within an iteration")
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
