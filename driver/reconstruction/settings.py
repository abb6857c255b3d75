"""Settings of a reconstruction: model, solver, stops and checkpoints together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from ptyxrf.driver.data.kinds import COUNT, COUNT_OR_ZERO, NOT_NEGATIVE, Choice, File, Switch
from ptyxrf.driver.data.setting import SettingsGroup, redeclared, setting
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.solver.settings import INNER_LIMITS, SolverSettings, Stops

# imported for types alone: the command's help must not wait for numpy
if TYPE_CHECKING:
    from ptyxrf.driver.data.scan import Scan

#: Truncated Newton as arXiv 2511.02153 describes it: the values of what a user leaves open.
PAPER: dict[str, Any] = {
    "solver": "newton",
    "curvature": "full",
    "preconditioner": False,
    "inner_limit": 50,
    "fluorescence_first": False,
    "sequential_first": False,
    "fluorescence_prior": "none",
}

#: Sweeps over batches of positions by default: more of them gain less than the steps that follow.
BATCH_SWEEPS = 5

#: Starting values that say nothing of the object.
BEAM = {"probe", "displacement", "distortion", "log_amplitude", "background_amplitude"}


@dataclass(frozen=True, kw_only=True)
class CheckpointPolicy(SettingsGroup):
    """Where and when checkpoints are written, and whether a run resumes from one."""

    checkpoint: str | None = setting(
        None,
        File(),
        "path of the checkpoints: the newest, with the one before it beside it; without a path none are "
        "written",
        path=False,
    )
    checkpoint_seconds: float = setting(
        300.0,
        NOT_NEGATIVE,
        "write a checkpoint after the first iteration that ends so long after the last one; 0: not by time",
        unit="seconds",
        path=False,
    )
    checkpoint_iterations: int = setting(
        0, COUNT_OR_ZERO, "write a checkpoint every so many iterations, too; 0: not by count", path=False
    )
    resume: bool = setting(
        False,
        Switch(),
        "go on from the newest checkpoint that is whole, or begin at the start where there is none; data and "
        "settings have to be the same, except for budgets, stops and the number of ranks",
        path=False,
    )

    def check(self) -> None:
        """Refuse to resume without a path."""
        super().check()
        if self.resume and self.checkpoint is None:
            raise ValueError("resume: expected the path of a checkpoint beside it, got checkpoint None")


@dataclass(frozen=True, kw_only=True)
class StartSettings(SettingsGroup):
    """The probe from which a reconstruction starts."""

    probe_start: str = setting(
        None,
        Choice(("given", "search", "zone-plate", "mean-pattern")),
        "probe from which the reconstruction starts: the scan's; the best of that and the mean pattern over "
        "defocus, by short reconstructions of some patterns; the mean pattern over defocus alone; or the "
        "mean pattern in focus, without a search (default: given, or zone-plate where the scan has no probe)",
    )
    modes: int = setting(
        None,
        COUNT,
        "number of incoherent probe modes, for partial coherence and motion during exposures: the scan's "
        "are grown to it, or the strongest kept (default: as many as the scan has)",
    )


@dataclass(frozen=True, kw_only=True)
class Settings(CheckpointPolicy, StartSettings, Stops, SolverSettings, Model):
    """Settings of `reconstruct`, each of which is a keyword of it, too.

    Some defaults depend on the scan or on other settings: these are None until `resolved` fills them in.
    """

    precision: str = redeclared(Model, "precision", "single")
    refine_probe: bool = redeclared(Model, "refine_probe", None, "where it is found in the patterns")
    curvature: str = redeclared(Model, "curvature", None, "positive, or full with the solver of the paper")
    fluorescence_prior: str | float | tuple[float, ...] = redeclared(
        Model, "fluorescence_prior", None, "auto for noisy counts with statistical weights, else none"
    )
    rescale_probe: bool = redeclared(Model, "rescale_probe", None, "where the probe is refined")
    memory: str = redeclared(
        Model, "memory", None, "low with quasi-newton, which makes no products, else cached"
    )
    solver: str = setting(
        None,
        Choice(("quasi-newton", "newton", "paper")),
        "limited-memory BFGS, with a gradient a step; truncated Newton, with a Hessian product a step; or "
        "that as in the paper (default: quasi-newton, or newton for fluorescence alone)",
    )
    inner_limit: int = redeclared(
        SolverSettings, "inner_limit", None, "10, or 15 products, or 50 with the solver of the paper"
    )
    preconditioner: bool = redeclared(
        Model, "preconditioner", None, "yes, but not with the solver of the paper"
    )
    scale_from: str = setting(
        None,
        Choice(("vacuum", "probe")),
        "what fixes the scale between object and a refined probe: vacuum transmits 1 (the most frequent "
        "modulus of the object), or the probe keeps the power of its start (default: vacuum, but probe where "
        "maps depend on the scale)",
        path=False,
    )
    positions_from_iteration: int = setting(
        0, COUNT_OR_ZERO, "iterations that keep the scan positions, where these are refined"
    )
    probe_from_iteration: int = setting(
        0,
        COUNT_OR_ZERO,
        "refine the probe only after so many iterations, or as soon as the object has converged with the "
        "given one",
    )
    batch_sweeps: int = setting(
        None,
        COUNT_OR_ZERO,
        "sweeps of ptychography with an unknown probe that change object and probe after each batch of "
        "positions, before steps for all positions follow; they are its first iteration, and also begin the "
        f"joint method where ptychography does (default: {BATCH_SWEEPS} with the solver quasi-newton, if "
        "the probe is refined from the first iteration)",
    )
    force: bool = setting(
        False,
        Switch(),
        "reconstruct data, too, of which something is known to be wrong",
        path=False,
    )
    noise_stop: bool = setting(
        True,
        Switch(),
        "stop when the data are fitted to within their noise, where the scan tells it: further iterations "
        "would bring the noise into the maps",
        path=False,
    )
    fluorescence_first: bool = setting(
        None,
        Switch(),
        "start the joint method with the maps of the fluorescence alone, and hold them while the rest of the "
        "object comes to them (default: where the start has no elements and the positions cover the object, "
        "but not with the solver of the paper)",
    )

    sequential_first: bool = setting(
        None,
        Switch(),
        "begin the joint method with ptychography alone and with the fluorescence alone, from whose results "
        "it starts: these are kept beside its own. Budgets of iterations and sweeps are those of each stage; "
        "that of seconds is the whole, of which ptychography gets half at most (default: where the start has "
        "neither elements nor object and fluorescence_first is left open, but not with the solver of the "
        "paper)",
    )

    refine_sensitivity: bool = setting(
        False,
        Switch(),
        "find the sensitivity of each element from what the object of ptychography absorbs, before the joint "
        "fit with the refractive link; it stays near that of the scan, within sensitivity_error or 30 %",
    )

    def check(self) -> None:
        """Refuse what contradicts another setting."""
        super().check()
        if self.scale_from == "vacuum" and self.method in ("joint", "fluorescence"):
            raise ValueError(
                f"scale_from: expected 'probe' for method {self.method!r}, whose maps depend on the scale, "
                "got 'vacuum'"
            )
        if self.positions_from_iteration > 0 and self.refine_positions == "none":
            raise ValueError(
                f"positions_from_iteration: expected refine_positions beside "
                f"{self.positions_from_iteration}, got refine_positions = 'none'"
            )
        found = self.probe_start not in (None, "given")
        if self.probe_from_iteration > 0 and not (self.refine_probe or (found and self.refine_probe is None)):
            raise ValueError(
                f"probe_from_iteration: expected refine_probe = true beside {self.probe_from_iteration}, "
                "got refine_probe = false"
            )
        if self.batch_sweeps and (self.probe_from_iteration > 0 or self.refine_probe is False):
            raise ValueError(
                f"batch_sweeps: expected 0 where the probe is held at the start, got {self.batch_sweeps}"
            )
        if not found:
            return
        beside = f"beside {self.probe_start!r}"
        if self.refine_probe is False:
            raise ValueError(
                f"probe_start: expected refine_probe = true {beside}, which only comes near the probe, got "
                "refine_probe = false"
            )
        if self.method == "fluorescence":
            raise ValueError(f"probe_start: expected a method with patterns {beside}, got 'fluorescence'")

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """Return the settings of arXiv 2511.02153's solver, with changes by keyword."""
        return cls(**PAPER | changes)

    def resolved(self, scan: Scan, start: Mapping[str, Any] | None = None) -> Self:
        """Return the settings with a value for each default that depends on the scan or on other settings.

        Parameters
        ----------
        scan : Scan
        start : mapping, optional
            Starting values of the reconstruction.

        Returns
        -------
        Settings
            Only budgets, `matrix` and the path of the checkpoint may still be None. A solver "paper" has
            become "newton", with the settings of `paper` where they were left open.
        """
        from ptyxrf.driver.objective.link_choice import default_link
        from ptyxrf.driver.reconstruction.illumination import covers

        if self.solver == "paper":
            left_open = {name: value for name, value in PAPER.items() if getattr(self, name) is None}
            return self.replace(**left_open | {"solver": "newton"}).resolved(scan, start)
        # the probe of the mean pattern is one of the zone plate's candidates
        begin = self.probe_start or (
            "given" if scan.probe_known or "probe" in (start or {}) else "zone-plate"
        )
        begin = "given" if self.method == "fluorescence" else begin
        found = scan.probe_found and self.method != "fluorescence" and "probe" not in (start or {})
        refine = self.refine_probe if self.refine_probe is not None else found or begin != "given"
        # fluorescence alone is a linear problem, for which conjugate gradients are made
        solver = self.solver or ("newton" if self.method == "fluorescence" else "quasi-newton")
        first = self.method == "joint" and "elements" not in (start or {}) and covers(scan)
        sequential = self.fluorescence_first is None and set(start or {}) <= BEAM
        sequential = self.sequential_first if self.sequential_first is not None else sequential
        sequential = sequential and self.method == "joint"
        scales = scan.fluorescence_count_scale
        noisy = self.alpha == "statistical" and (scales is None or bool((scales > 0).all()))
        defaults = {
            "solver": solver,
            "link": default_link(self.method, scan),
            "curvature": "positive",
            "preconditioner": True,
            "inner_limit": INNER_LIMITS[solver],
            "memory": "low" if solver == "quasi-newton" else "cached",
            "probe_start": begin,
            "refine_probe": refine,
            "rescale_probe": refine,
            "fluorescence_first": first,
            "fluorescence_prior": "auto" if noisy and self.method != "ptychography" else "none",
            "scale_from": "vacuum" if self.method == "ptychography" else "probe",
            "modes": scan.K,
            "batch_sweeps": BATCH_SWEEPS if solver == "quasi-newton" and not self.probe_from_iteration else 0,
        }
        left_open = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        if not (refine and self.method == "ptychography"):
            left_open["batch_sweeps"] = 0
        if sequential:  # which has its own maps of the fluorescence
            left_open["fluorescence_first"] = False
        return self.replace(**left_open | {"sequential_first": sequential})
