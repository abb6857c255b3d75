"""The contents of a result, a checkpoint and a MAPS file as plain numbers and texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from ptyxrf.driver.data.count_maps import CountMaps
from ptyxrf.driver.data.history import IterationRecord
from ptyxrf.driver.data.quality import Quality
from ptyxrf.driver.data.refined_sensitivity import RefinedSensitivity
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.files.checkpoint_file import Content


def _progress(history: list[IterationRecord]) -> dict[str, Any]:
    """Return how far a history came."""
    last = history[-1]
    return {
        "iterations": last.iteration,
        "sweeps": last.sweeps,
        "products": last.products,
        "gradients": last.gradients,
        "seconds": last.seconds,
        "loss_start": history[0].loss,
        "loss": last.loss,
        "errors": dict(last.errors),
    }


def _quality_facts(quality: Quality | None) -> dict[str, Any] | None:
    """Return the figures and the verdict of a fit; null where there is no figure."""
    if quality is None:
        return None
    names = ("misfit_over_floor", "noise_floor", "relative_misfit")
    figures = {name: getattr(quality, name) for name in names}
    figures = {name: value if np.isfinite(value) else None for name, value in figures.items()}
    facts = {**figures, "verdict": quality.verdict, "good": quality.good}
    if quality.distortion is not None:
        facts["distortion"] = quality.distortion
    if quality.chi_square is not None:
        facts["chi_square"] = [value if np.isfinite(value) else None for value in quality.chi_square]
    if quality.link:
        facts |= {"object_shift": quality.object_shift, "link": quality.link, "link_good": quality.link_good}
    return facts


def _sensitivity_facts(refined: RefinedSensitivity | None) -> dict[str, list[float]] | None:
    """Return refined sensitivities by the names of their attributes."""
    return None if refined is None else {name: values.tolist() for name, values in vars(refined).items()}


def result_facts(result: Result) -> dict[str, Any]:
    """Return the contents of a result, or raise ValueError where its history is empty."""
    if not result.history:
        raise ValueError("history: expected at least one record, got none")
    return {
        "kind": "result",
        "method": result.method,
        "reason": result.reason.value,
        "converged": result.reason.converged,
        "quality": _quality_facts(result.quality),
        "sensitivity": _sensitivity_facts(result.sensitivity),
        "uncertainty": None if result.uncertainty is None else result.uncertainty.facts,
        "object_pixels": list(result.object.shape),
        "object_dtype": str(result.object.dtype),
        "elements": len(result.elements),
        "probe_modes": len(result.probe),
        **_progress(result.history),
        "settings": result.settings,
        "fallback": None if result.fallback is None else result_facts(result.fallback),
    }


def checkpoint_facts(content: Content, grid: tuple[int, int]) -> dict[str, Any]:
    """Return the contents of a checkpoint whose object has the rows and columns of a grid."""
    facts = content.facts
    return {
        "kind": "checkpoint",
        "method": facts["settings"]["method"],
        "stage": facts["stage"],
        "object_pixels": list(grid),
        **_progress(content.history),
        "iterations": facts["iteration"],
        "resumed_after": facts["resumed_after"],
        "settings": facts["settings"],
        "digest": facts["digest"],
    }


def maps_facts(maps: CountMaps) -> dict[str, Any]:
    """Return the contents of the count maps of a MAPS file."""
    return {
        "kind": "maps",
        "title": maps.title,
        "rows": len(maps.y),
        "columns": len(maps.x),
        "x": [float(maps.x[0]), float(maps.x[-1])],
        "y": [float(maps.y[0]), float(maps.y[-1])],
        "elements": [
            {"name": name, "counts_mean": float(np.mean(counts)), "counts_most": float(np.max(counts))}
            for name, counts in zip(maps.element_names, maps.counts, strict=True)
        ],
        "scalers": list(maps.scalers),
        "counts": maps.notes,
    }
