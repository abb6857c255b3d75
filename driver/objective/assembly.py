"""The parts of an objective, put together for a scan and its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.beam import Beam
from ptyxrf.driver.objective.diagonals import Diagonals
from ptyxrf.driver.objective.internal_units import InternalUnits
from ptyxrf.driver.objective.links import Link
from ptyxrf.driver.objective.local_data import LocalData
from ptyxrf.driver.objective.object_and_probe import ObjectFields, ProbeModes
from ptyxrf.driver.objective.passes import Passes
from ptyxrf.driver.objective.pattern_background import PatternBackground, dark_level
from ptyxrf.driver.objective.positioned_probes import expands_probes, keeps_probes
from ptyxrf.driver.objective.scan_positions import KINDS, LogAmplitude
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.objective.terms import Terms
from ptyxrf.driver.objective.unknown_kinds import Unknown
from ptyxrf.driver.objective.unknowns import Unknowns
from ptyxrf.kernels.implementation import resolve_engine


@dataclass(frozen=True)
class Parts:
    """What an objective is made of.

    Attributes
    ----------
    units : InternalUnits
    terms : Terms
    diagonals : Diagonals
    fields : ObjectFields
        The fields of the link.
    beam : Beam
        Probe, positions and intensities.
    passes : Passes
    layout : Unknowns
        Fields and what is unknown of the beam in one vector.
    """

    units: InternalUnits
    terms: Terms
    diagonals: Diagonals
    fields: ObjectFields
    beam: Beam
    passes: Passes
    layout: Unknowns


def assemble(
    data: LocalData, settings: Model, link: Link, initial_probe: NDArray[Any], real: np.dtype[Any]
) -> Parts:
    """Return the parts of an objective for a start of the probe."""
    scan = data.scan
    units = InternalUnits.of(data, initial_probe)
    with_patterns = settings.method != "fluorescence"
    refined = settings.refine_pattern_background and with_patterns
    # before the terms order the patterns anew
    with_mean = refined or (settings.pattern_loss == "poisson" and with_patterns)
    mean_pattern = data.mean_pattern() if with_mean else None
    terms = _terms(data, settings, units, real)
    terms.mean_pattern = mean_pattern
    diagonals = Diagonals(data, terms, units, real)
    names = link.unknowns if with_patterns else ("elements",)
    fields = ObjectFields(
        {name: scan.N_e if name == "elements" else 0 for name in names},
        real,
        diagonals,
        link.weights if with_patterns else np.zeros(scan.N_e, complex),
        settings.object_floor,
        lambda: beam.free(layout.held).probe,
    )
    passes = Passes(terms, link, fields, units, scan.N)
    kinds: list[Unknown] = [kind(diagonals, real, passes.z) for kind in KINDS[settings.refine_positions]]
    if settings.refine_intensities:
        kinds.append(LogAmplitude(diagonals, real, passes.z))
    if refined and mean_pattern is not None:
        kinds.append(PatternBackground(data, mean_pattern, terms, real))
        if scan.pattern_background is None:
            terms.set_known_background(np.full((scan.m, scan.m), dark_level(data, mean_pattern)))
    if settings.refine_probe:
        dtype = np.result_type(real, np.complex64)
        floor, free = settings.probe_floor, "phase" in names
        kinds.append(ProbeModes(diagonals, dtype, floor, passes.z, lambda: terms.alpha, free))
    beam = Beam(terms, initial_probe, kinds, passes.z, settings.position_margin)
    layout = Unknowns(data.ranks, [fields, *kinds], real)
    return Parts(units, terms, diagonals, fields, beam, passes, layout)


def _terms(data: LocalData, settings: Model, units: InternalUnits, real: np.dtype[Any]) -> Terms:
    keep = settings.memory == "cached"
    moving = settings.refine_positions != "none" or settings.refine_intensities
    changes = {"refined": settings.refine_probe, "moving": moving}
    keep_probes = keeps_probes(settings.memory, data.scan.sampling, **changes)
    expand = expands_probes(data.scan.sampling, full=settings.curvature == "full", **changes)
    engine = resolve_engine(settings.engine, data.scan.m)
    given = data.scan.pattern_background
    background = "none" if given is None or not given.any() else "given"
    background = "refined" if settings.refine_pattern_background else background
    terms = Terms(
        data, units, real, settings.curvature, engine, keep, keep_probes, moving, expand,
        settings.pattern_loss, background,
    )  # fmt: skip
    if given is not None and background != "none":
        terms.set_known_background(given)
    return terms
