"""The cases as data: what is recorded, what the user gives, how it is reconstructed, and what is expected.

The settings are those that a case deserves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Measures of a run, which are the columns of the table, with their headings. "affine": after an affine
#: distortion of object or positions has been removed, which patterns hardly determine.
MEASURES = {
    "object": "object",
    "object_affine": "object, affine removed",
    "positions": "positions",
    "positions_affine": "positions, affine removed",
    "heavy": "heavy map",
    "medium": "medium map",
    "trace": "trace map",
    "heavy_mass": "heavy mass",
    "medium_mass": "medium mass",
    "object_before": "object before",
    "heavy_before": "heavy before",
    "medium_before": "medium before",
    "trace_before": "trace before",
    "shift": "object shift",
    "alarm": "told wrong",
    "loss": "loss",
    "seconds": "seconds",
    "sweeps": "sweeps",
}

#: Measures that only the runs with element maps have.
MAPS = ("heavy", "medium", "trace")
#: Bias of the mass of maps that the patterns see.
MASSES = ("heavy_mass", "medium_mass")
#: Those, and what only joint fits have: the errors of what came before them, and what they say of their link.
OPTIONAL = (*MAPS, *MASSES, *(f"{name}_before" for name in ("object", *MAPS)), "shift", "alarm")

#: What makes the data of a case: the independent model, a measurement, the model at measured positions, or
#: measured maps on a simulated phase that has nothing to do with them.
SOURCES = ("simulate", "star", "xpp", "maps")

#: "ptychography"; "sequential": that, then the fluorescence with the probe found; "joint".
METHODS = ("ptychography", "sequential", "joint")


@dataclass(frozen=True)
class Goal:
    """A bound of the median of a measure.

    Attributes
    ----------
    measure : str
        One of `MEASURES`.
    most : float
        The measure must be at most this (at least its modulus where it is negative), or, with `of`, below
        this multiple of the other case's median.
    of : str
        Name of another case, or empty.
    """

    measure: str
    most: float
    of: str = ""


@dataclass(frozen=True)
class Case:
    """A kind of scan and the reconstruction that a user would make of it.

    Attributes
    ----------
    name : str
    source : str
        One of `SOURCES`.
    scan : str
        The case of ../shared/realism/simulate.py that is simulated.
    options : dict
        Options of the simulation beside those of the case.
    mask : bool
        The user gives the mask of the detector.
    ion_chamber : bool
        The user gives the reading of the ion chamber as the exposure.
    known_probe : bool
        The user gives the true probe.
    method : str
        One of `METHODS`.
    settings : dict
        Settings of `ptyxrf.reconstruct` beside the method.
    start : dict
        Starting values of `ptyxrf.reconstruct`.
    link : str
        "refractive": the user gives attenuation and phase shift; "linear": the attenuation; empty: no maps
        that enter the object.
    factors : dict
        By which some of "attenuation", "phase_shift" and "sensitivity" of the user are wrong.
    goals : tuple of Goal
    """

    name: str
    source: str = "simulate"
    scan: str = "base"
    options: Mapping[str, Any] = field(default_factory=dict)
    mask: bool = False
    ion_chamber: bool = False
    known_probe: bool = False
    method: str = "ptychography"
    settings: Mapping[str, Any] = field(default_factory=dict)
    start: Mapping[str, Any] = field(default_factory=dict)
    link: str = ""
    factors: Mapping[str, float] = field(default_factory=dict)
    goals: tuple[Goal, ...] = ()

    @property
    def joint(self) -> bool:
        """Whether the case has element maps; those cases run when they are asked for."""
        return self.method != "ptychography"


BLIND = {"refine_probe": True}
EACH = BLIND | {"refine_positions": "each"}
AFFINE = BLIND | {"refine_positions": "affine"}
BOTH = BLIND | {"refine_positions": "both"}
SEARCH = BLIND | {"probe_start": "search"}
#: Of runs that end after a number of sweeps and for no other reason.
SWEEPS_300 = {
    "max_sweeps": 300.0,
    "max_iterations": 1000,
    "loss_tolerance": 0.0,
    "gradient_tolerance": 0.0,
    "noise_stop": False,
}


def _guess(factor: str) -> Case:
    """Return the case of a probe guess with a wrong defocus, whose search may take three plain runs."""
    goals = Goal("object", 0.065), Goal("seconds", 3.0, of="base")
    return Case(f"guess{factor}", scan=f"guess{factor}", settings=SEARCH, goals=goals)


PTYCHOGRAPHY = (
    Case("base", settings=BLIND, goals=(Goal("object", 0.062),)),
    Case("weak", scan="weak", settings=BLIND),
    Case("mask", scan="mask", mask=True, settings=BLIND, goals=(Goal("object", 0.064),)),
    Case(
        "bg0.1",
        scan="bg0.1",
        settings=BLIND | {"refine_pattern_background": True},
        goals=(Goal("object", 0.066),),
    ),
    Case("flux5-ion", scan="flux5", ion_chamber=True, settings=BLIND),
    Case(
        "flux5", scan="flux5", settings=BLIND | {"refine_intensities": True}, goals=(Goal("object", 0.064),)
    ),
    Case("modes3", scan="modes3", settings=BLIND | {"modes": 3}),
    Case("fly4", scan="fly4", settings=BLIND | {"modes": 4}, goals=(Goal("object", 0.095),)),
    Case(
        "pos1",
        scan="pos1",
        settings=EACH,
        goals=(Goal("positions_affine", 0.10), Goal("object_affine", 0.066)),
    ),
    Case("pos2", scan="pos2", settings=EACH),
    Case(
        "pos3",
        scan="pos3",
        settings=EACH,
        goals=(Goal("positions_affine", 0.30), Goal("object_affine", 0.085)),
    ),
    Case("affine", scan="affine", settings=AFFINE),
    Case(
        "affdrift",
        scan="affdrift",
        settings=BOTH,
        goals=(Goal("object_affine", 0.09), Goal("positions_affine", 0.20)),
    ),
    _guess("0.25"),
    _guess("0"),
    _guess("-0.5"),
    _guess("-1"),
    Case("photons3e3-amplitude", options={"photons": 3e3}, settings=BLIND),
    Case(
        "photons3e3",
        options={"photons": 3e3},
        settings=BLIND | {"pattern_loss": "poisson"},
        goals=(Goal("object", 1.0, of="photons3e3-amplitude"),),
    ),
    Case(
        "all",
        scan="all",
        mask=True,
        ion_chamber=True,
        settings=BOTH | {"modes": 5, "refine_intensities": True, "refine_pattern_background": True},
        goals=(Goal("object_affine", 0.11), Goal("positions_affine", 0.25)),
    ),
)

MEASURED = (
    Case("star", source="star", settings=BOTH | {"modes": 3} | SWEEPS_300, goals=(Goal("loss", 64.0),)),
    # patterns do not determine what grows linearly over the scan: the object is scaled and sheared with it
    Case("xpp", source="xpp", settings=BOTH, goals=(Goal("positions_affine", 0.1),)),
)


def _joint(scan: str, name: str = "", **more: Any) -> Case:
    """Return a joint fit of a scan, which may be no worse than what came before it."""
    known = {case.name: case for case in PTYCHOGRAPHY}[scan]
    given = {"mask": known.mask, "settings": known.settings, "link": "refractive", **more}
    return Case(f"joint-{name or scan}", scan=scan, method="joint", **given)


OFFSET = {"settings": BLIND | {"link_offset": -1.0}, "link": "linear"}
#: Phases of three to six radians.
THICK = {"phase": 5.0, "absorb": 5.0, "matrix": 5.0}
#: No alarm, and an alarm in each run.
HOLDS, WRONG = Goal("alarm", 0.0), Goal("alarm", -1.0)
#: Of masses that the counts of elements calibrate.
CALIBRATED = Goal("heavy_mass", 0.05), Goal("medium_mass", 0.10), HOLDS
#: Maps whose shape a wrong constant hardly changes.
SHAPES = Goal("heavy", 1.05, of="joint-base"), Goal("medium", 1.05, of="joint-base"), HOLDS

JOINT = (
    *(
        Case(f"sequential-{scan}", scan=scan, method="sequential", settings=BLIND)
        for scan in ("base", "weak")
    ),
    _joint("base", goals=(Goal("object", 0.060), Goal("heavy", 0.32), Goal("medium", 0.60), HOLDS)),
    _joint("weak", goals=(Goal("heavy", 0.40), HOLDS)),
    Case("sequential-thick", method="sequential", options=THICK, settings=BLIND),
    _joint("base", "thick", options=THICK, goals=(Goal("object", 1.1, of="sequential-thick"), HOLDS)),
    *(_joint(scan, goals=(HOLDS,)) for scan in ("mask", "flux5", "pos1", "fly4", "all")),
    *(
        _joint("base", f"guess{factor:g}", options={"guess": factor}, goals=CALIBRATED)
        for factor in (0.5, 1.5, 2.0)
    ),
    _joint("base", "known", known_probe=True, settings={}, goals=CALIBRATED),
    _joint("base", "no-matrix", options={"matrix": 0.0}),
    _joint("base", "attenuation-low", factors={"attenuation": 0.7}, goals=SHAPES),
    _joint(
        "base",
        "attenuation-refined",
        factors={"attenuation": 0.7},
        settings=BLIND | {"refine_sensitivity": True},
        goals=SHAPES,
    ),
    _joint("base", "phase-shift-high", factors={"phase_shift": 1.3}),
    _joint("base", "sensitivity-low", factors={"sensitivity": 0.7}),
    _joint(
        "base",
        "sensitivity-refined",
        factors={"sensitivity": 0.7},
        settings=BLIND | {"refine_sensitivity": True},
        goals=(Goal("heavy_mass", 0.15), Goal("medium_mass", 0.15), HOLDS),
    ),
    _joint("base", "attenuation-1000", factors={"attenuation": 1000.0}, goals=(WRONG,)),
    _joint("weak", "attenuation-1000-weak", factors={"attenuation": 1000.0}, goals=(WRONG,)),
    _joint("base", "linear", link="linear", goals=(WRONG,)),
    _joint("weak", "linear-weak", link="linear", goals=(WRONG,)),
    _joint("base", "offset", goals=(WRONG,), **OFFSET),
    _joint("weak", "offset-weak", **OFFSET),
    Case("joint-measured-maps", source="maps", method="joint", settings=BLIND, goals=(WRONG,)),
)

CASES = {case.name: case for case in (*PTYCHOGRAPHY, *MEASURED, *JOINT)}
