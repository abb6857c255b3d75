"""The methods of the comparison with their best settings; README.md gives the reasons."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

Settings = dict[str, Any]


@dataclass(frozen=True)
class Method:
    """An algorithm of a package.

    Attributes
    ----------
    name : str
    package : str
        Its runner is `run_PACKAGE.py`.
    iterations : int
        Largest number of iterations.
    settings : dict of str to dict
        Settings of the runner for each problem that the method is run on.
    """

    name: str
    package: str
    iterations: int
    settings: dict[str, Settings]

    @property
    def slug(self) -> str:
        """The name in a form for file names."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


_SOLVER, _OBJECT, _PROBE = "reconstructor_options.", "object_options.", "probe_options."

#: Settings of pty-chi with a known probe: do not change the probe, and take patches at whole pixels without
#: FFTs.
_HELD = {
    _OBJECT + "remove_object_probe_ambiguity.enabled": False,
    _OBJECT + "patch_interpolation_method": "bilinear",
}


def _lsqml(batch: int) -> Method:
    """Return the least squares of pty-chi: compact batches with momentum, on the star random batches."""
    common = {
        "engine": "LSQML",
        _SOLVER + "batch_size": batch,
        _SOLVER + "rescale_probe_intensity_in_first_epoch": False,
    }
    known = {
        _SOLVER + "batching_mode": "compact",
        _SOLVER + "momentum_acceleration_gain": 1.0,
        _OBJECT + "optimal_step_size_scaler": 1.0,
        **_HELD,
    }
    settings = {"known": common | known, "star": common}
    return Method(f"pty-chi LSQML {batch}", "ptychi", 1000, settings)


def _epie() -> Method:
    common = {"engine": "EPIE", _SOLVER + "batch_size": 5, _OBJECT + "alpha": 1.0}
    settings = {"known": common | _HELD, "star": common | {_PROBE + "alpha": 1.0}}
    return Method("pty-chi ePIE", "ptychi", 1000, settings)


def _bilinear_hessian() -> Method:
    common = {"engine": "BH", _SOLVER + "method": "CG"}
    known = {_SOLVER + "batch_size": 400}
    star = {
        _SOLVER + "batch_size": 516,
        _PROBE + "rho": 0.1,
        _SOLVER + "forward_model_options.pad_for_shift": 1,
    }
    return Method("pty-chi BH-CG", "ptychi", 1000, {"known": common | known, "star": common | star})


def _automatic() -> Method:
    common = {"engine": "AutodiffPtychography", _SOLVER + "loss_function": "mse_sqrt"}

    def of(part: str, steps: int) -> Settings:
        search = {"max_iter": steps, "history_size": 30, "line_search_fn": "strong_wolfe"}
        return {part + "optimizer": "lbfgs", part + "step_size": 1.0, part + "optimizer_params": search}

    known = {_SOLVER + "batch_size": 400, **of(_OBJECT, 20), **_HELD}
    # object and probe alternate: short phases converge faster
    star = {_SOLVER + "batch_size": 516, **of(_OBJECT, 5), **of(_PROBE, 5)}
    return Method("pty-chi L-BFGS", "ptychi", 1000, {"known": common | known, "star": common | star})


def _cdtools() -> list[Method]:
    adam = {"optimizer": "Adam", "lr": 0.05, "batch_size": 100, "calculation_width": 50, "schedule": True}
    blind = adam | {"lr": 0.02, "batch_size": 20, "calculation_width": 20}
    search = {
        "optimizer": "LBFGS",
        "lr": 1.0,
        "history_size": 30,
        "line_search_fn": "strong_wolfe",
        "calculation_width": 20,
    }
    return [
        Method("cdtools Adam", "cdtools", 1000, {"known": adam, "star": blind}),
        Method("cdtools L-BFGS", "cdtools", 1000, {"known": search, "star": search}),
    ]


def _ptypy(name: str) -> Method:
    return Method(f"PtyPy {name}", "ptypy", 1000, {"known": {"name": name}, "star": {"name": name}})


def _xptycho() -> Method:
    common = {"batch_size": 20}
    return Method("xptycho PMACE", "xptycho", 1000, {"known": common, "star": common})


#: Settings of ptyxrf: one quasi-Newton step per iteration, so that each step can be measured.
_STEPS: Settings = {"solver": "quasi-newton", "inner_limit": 1}
_NEWTON: Settings = {"solver": "newton"}

METHODS = (
    Method("ptyxrf", "ptyxrf", 1000, {"known": _STEPS, "star": _STEPS}),
    Method("ptyxrf truncated Newton", "ptyxrf", 1000, {"known": _NEWTON, "star": _NEWTON}),
    _lsqml(20),
    _lsqml(50),
    _lsqml(100),
    _epie(),
    _bilinear_hessian(),
    _automatic(),
    *_cdtools(),
    _ptypy("ML"),
    _ptypy("ML_serial"),
    _xptycho(),
)
