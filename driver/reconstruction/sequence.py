"""Ptychography, then fluorescence with its probe and positions, then the joint fit from both.

The joint fit starts where the patterns and the counts agree with what each of them says alone: phases of
several radians and maps as sharp as their counts allow. And what it starts from is a result of its own, for
specimens that do not obey the link.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.history import Reason
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.local_data import LocalData
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.objective.refractive_link import RefractiveLink
from ptyxrf.driver.objective.scan_positions import LogAmplitude
from ptyxrf.driver.reconstruction.comparison import AbsorptionOfMaps, chi_square, counted_freedom
from ptyxrf.driver.reconstruction.scale import vacuum_phase
from ptyxrf.driver.reconstruction.sensitivity import refine_sensitivity
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.driver.reconstruction.stage import Handover, Job, Stage, run_stage
from ptyxrf.parallel.gather import gather_tiles
from ptyxrf.parallel.reduction import Ranks

#: Parts of the budget of seconds after which ptychography and fluorescence alone have to have ended.
SECONDS = {"ptychography": 0.5, "fluorescence": 0.6}


def stages_of(settings: Settings, scan: Scan, start: Mapping[str, ArrayLike]) -> list[Settings]:
    """Return the settings of each stage of a reconstruction, resolved; the last are those of the method.

    Parameters
    ----------
    settings : Settings
        As given.
    scan : Scan
    start : mapping
        Of the user.
    """
    last = settings.resolved(scan, start)
    if last.refine_sensitivity:
        _require_ptychography(last)
    if not last.sequential_first:
        return [last]

    def alone(method: str, **changes: Any) -> Settings:
        seconds = None if last.max_seconds is None else SECONDS[method] * last.max_seconds
        off = "sequential_first", "fluorescence_first", "refine_sensitivity"
        own: dict[str, Any] = dict.fromkeys(off, False) | {"link_offset": 0.0}
        return settings.replace(method=method, max_seconds=seconds, **own | changes).resolved(scan, start)

    # the fluorescence alone is a linear problem, whatever solves the others; the probe has been found
    linear = {"solver": None, "inner_limit": None, "curvature": None, "noise_stop": True}
    fluorescence = alone("fluorescence", probe_start="given", scale_from=None, **linear)
    return [alone("ptychography"), fluorescence.replace(modes=last.modes), last]


def _require_ptychography(settings: Settings) -> None:
    """Refuse sensitivities that nothing tells beside the counts."""
    link = settings.link
    if not settings.sequential_first:
        raise ValueError(
            "refine_sensitivity: expected method 'joint' with sequential_first, whose ptychography tells the "
            f"sensitivity, got method {settings.method!r} without it"
        )
    if link != "refractive" and not isinstance(link, RefractiveLink):
        raise ValueError(f"refine_sensitivity: expected the refractive link beside it, got link {link!r}")


def one_after_the_other(job: Job, stages: list[Settings]) -> tuple[Handover, Result]:
    """Fit patterns and fluorescence one after the other; all ranks take part.

    Parameters
    ----------
    job : Job
    stages : list of Settings
        Of `stages_of`.

    Returns
    -------
    Handover
        For the joint fit.
    Result
        The fallback: that of ptychography with the maps of the fluorescence.
    """
    # what is wrong with the fluorescence is said before the patterns take their time
    LocalData.read(job.scan, stages[-1].method, np.float64, 0, Ranks(job.comm), patterns=False)
    patterns = run_stage(job, stages[0], Handover(seconds=job.found.seconds))
    result, beam, z = patterns.result, *_in_vacuum_gauge(patterns)
    corners, ended = patterns.objective.beam.memory(), [patterns.ended]
    del patterns  # the others read the data again, in the order that each needs
    own = Handover(
        start=beam,
        enter=lambda objective: objective.beam.restore(corners),
        held=frozenset(beam) - {"background_amplitude"},
        ended=ended,
        seconds=result.history[-1].seconds,
        stopped=result.reason is Reason.CALLBACK,
    )
    maps = run_stage(job, stages[1], own)
    found, last, weights = maps.result.part, maps.result.history[-1], maps.objective.weights.memory()
    elements, sensitivity = found.elements, None
    if stages[-1].refine_sensitivity:
        sensitivity = refine_sensitivity(maps.objective, z, elements)
        elements = (elements / sensitivity.factors[:, None, None]).astype(elements.dtype)

    def enter(objective: Objective) -> None:
        objective.beam.restore(corners)
        objective.weights.restore(weights)
        if sensitivity is not None:
            objective.weights.calibrate(sensitivity.values)
        _start_from(objective, _in_scale_of_maps(objective, z, elements), elements)

    sweeps = result.history[-1].sweeps
    note = f", ptychography ({sweeps:g} sweeps) and fluorescence alone ({last.sweeps:g} sweeps over it)"
    if sensitivity is not None:
        note += f", sensitivities times {', '.join(f'{factor:.3g}' for factor in sensitivity.factors)}"
    joint = Handover(
        start=beam,
        enter=enter,
        held=frozenset(),
        note=note,
        ended=[*ended, maps.ended],
        seconds=last.seconds,
        stopped=Reason.CALLBACK in (result.reason, found.reason),
        sensitivity=sensitivity,
    )
    return joint, _with_maps(result, maps, nonnegative=stages[1].nonnegative)


def _with_maps(result: Result, maps: Stage, *, nonnegative: bool) -> Result:
    """Return the result of ptychography with the maps of the fluorescence alone, and their chi-square."""
    found, quality = maps.result.part, result.quality
    if quality is not None:
        freedom = counted_freedom(maps.objective, maps.vector, nonnegative=nonnegative)
        figures = chi_square(maps.objective, maps.vector, freedom)
        quality = replace(quality, chi_square=figures, freedom=freedom)
    return result.replaced(
        elements=found.elements, predicted_fluorescence=found.predicted_fluorescence, quality=quality
    )


def _in_vacuum_gauge(stage: Stage) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
    """Return the beam's unknowns by name, whole arrays, and this rank's object, such that vacuum is 1."""
    objective, vector, settings = stage.objective, stage.vector, stage.result.settings
    beam = {name: values for kind in objective.beam.kinds for name, values in kind.gather(vector).items()}
    if "probe" in beam:
        beam["probe"] = beam["probe"] / settings["object_factor"]
    z = stage.result.part.object * np.exp(-1j * vacuum_phase(objective, vector))
    return beam, z.astype(objective.complex)


def _in_scale_of_maps(objective: Objective, z: NDArray[Any], elements: NDArray[Any]) -> NDArray[Any]:
    """Return an object that absorbs where the maps do, and hold the scale of a probe that belongs to it.

    Where all absorption belongs to the maps, a scale that is free would let them take in the noise of the
    patterns: above 0 it adds absorption everywhere, which a stronger probe makes up for. One that is not that
    of the beam to a part in a thousand is taken for absorption, too, which is why a known probe keeps its
    shape but not its scale. Slopes of refined intensities, which ptychography leaves to object and probe,
    return to the intensities.
    """
    if not (isinstance(objective.link, RefractiveLink) and objective.link.absorbs_by_maps):
        return z
    found, scan = AbsorptionOfMaps(objective, z, elements), objective.scan
    middle = scan.positions.mean(axis=0)
    probe = objective.beam.probe(objective.initial)  # where it is kept, whether unknown or not
    probe /= np.exp(found.elsewhere(*(middle[:, None] + np.arange(scan.m))))
    for kind in objective.beam.kinds:
        if isinstance(kind, LogAmplitude):  # slopes that it has had so far have had no effect
            values = kind.view(objective.initial)
            lever = (scan.positions - middle)[objective.tile.positions]
            values[...] = kind.projected(values) - (lever @ found.slopes)[:, None]
    objective.beam.pin(objective.initial)
    objective.beam.place(objective.initial)
    owned = (np.arange(n)[part] for n, part in zip(scan.shape, objective.tile.owned.slices, strict=True))
    return (z * np.exp(found.elsewhere(*owned))).astype(z.dtype)


def _start_from(objective: Objective, z: NDArray[Any], elements: NDArray[Any]) -> None:
    """Let a joint objective start from an object and from maps, which replace those with weights.

    A link that does not tell its fields from an object starts from the maps alone.
    """
    fields, link, tile, comm = objective.fields, objective.link, objective.tile, objective.ranks.comm
    start = fields.view(objective.initial)
    maps = start[fields.elements]
    maps[...] = np.where((objective.alpha > 0)[:, None, None], elements, maps)
    light = objective.diagonals.illumination()
    if not link.linear and comm is not None:  # a phase is unwrapped as a whole
        z, light = (gather_tiles(comm, tile, one[None])[0] for one in (z, light))
        maps = gather_tiles(comm, tile, np.ascontiguousarray(maps))
    try:
        found = link.fields_of(z, maps, light)
    except NotImplementedError:
        return
    for name, values in found.items():
        whole = np.shape(values)[-2:] == tile.grid
        start[fields.channels[name]] = values[(..., *tile.owned.slices)] if whole else values
