"""The loss around the reconstructions, on planes spanned by eigenvectors (section 3.4)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from ptyxrf.driver.analysis.dense_hessian import dense_hessian
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.experiments.claims import Claim
from ptyxrf.experiments.figures import new_figure
from ptyxrf.experiments.findings import Findings, Picture, Table
from ptyxrf.experiments.paper_cases import Case, low_overlap_case, paper_objective, vector_of
from ptyxrf.experiments.run_cache import RunCache

TITLE = "Loss landscape"
PAPER = "Figs. 4 and 5"
METHODS = ("ptychography", "joint")
#: Eigenvectors that span each plane, numbered from 1 in descending order, for 7688 unknowns.
PLANES = {"leading": (200, 201), "flat": (4000, 4001)}
UNKNOWNS = 7688
STEPS = np.linspace(-5, 5, 41)
#: Scale of a closer view of the planes, in which the curvature of the loss still changes.
NEAR = 0.1
#: Difference of convex parts that counts.
CLEARLY = 0.01


def run(cache: RunCache) -> Findings:
    """Draw the loss of each method around its reconstruction, along eigenvectors of its Hessian."""
    case = low_overlap_case(cache.quick)
    surfaces = {method: surfaces_of(cache, case, method) for method in METHODS}
    measures = {
        (method, plane): measure(arrays[plane], arrays[f"{plane}, near"])
        for method, arrays in surfaces.items()
        for plane in PLANES
    }
    rows = [[method, plane, *values.values()] for (method, plane), values in measures.items()]
    head = ("method", "plane", *next(iter(measures.values())))
    steep = {method: measures[method, "leading"]["rise at radius 1"] for method in METHODS}
    convex = {method: measures[method, "flat"]["convex part, +-0.5"] for method in METHODS}
    claims = [
        Claim(
            "landscape: sharp",
            "leading plane: the joint basin is sharper (mean rise of the loss at radius 1)",
            steep["joint"] > steep["ptychography"],
            f"joint {steep['joint']:.3g}, ptychography {steep['ptychography']:.3g}",
        ),
        Claim(
            "landscape: smooth",
            "flat plane: the joint landscape is smoother (convex fraction of it within +-0.5)",
            convex["joint"] > convex["ptychography"],
            f"joint {convex['joint']:.3g}, ptychography {convex['ptychography']:.3g}",
        ),
    ]
    pictures = [
        Picture(name, f"f / f_max on the {plane} plane", partial(draw, surfaces, plane))
        for name, plane in (("fig04", "leading"), ("fig05", "flat"))
    ]
    numbers: dict[str, Any] = {
        f"{method}, {plane}": surface.tolist()
        for method, planes in surfaces.items()
        for plane, surface in planes.items()
    }
    table = Table("Measures of the landscapes", head, rows)
    findings = Findings(claims, [table], pictures, numbers | {"steps": STEPS.tolist()})
    findings.extend(under_conditions(cache))
    return findings


def under_conditions(cache: RunCache) -> Findings:
    """Compare the landscapes around the reconstructions for other probes and conventions of the DFT."""
    findings, rows = Findings(), []
    for condition in cache.conditions:
        case = condition.case(small=True, quick=cache.quick)
        found: dict[str, list[float]] = {}
        for method in METHODS:
            arrays = surfaces_of(cache, case, method, **condition.weight(method, case.settings["m"]))
            planes = {plane: measure(arrays[plane], arrays[f"{plane}, near"]) for plane in PLANES}
            found[method] = [
                *(planes[plane]["rise at radius 1"] for plane in PLANES),
                planes["flat"]["convex part"],
            ]
        rows.append([condition.label, *(value for method in METHODS for value in found[method])])
        steep, _, convex = zip(*(found[method] for method in METHODS), strict=True)
        findings.claims += [
            Claim(
                f"landscape: sharp, {condition.label}",
                "leading plane: the joint basin is sharper (mean rise of the loss at radius 1)",
                steep[1] > steep[0],
                f"{steep[1] / steep[0]:.3g} x",
                condition.label,
            ),
            Claim(
                f"landscape: smooth, {condition.label}",
                "flat plane: the joint landscape is smoother (convex fraction of it)",
                convex[1] > convex[0] + CLEARLY,
                f"{convex[1]:.3g} against {convex[0]:.3g}",
                condition.label,
            ),
        ]
    measures = ("rise, leading plane", "rise, flat plane", "convex part, flat plane")
    head = ("probe, DFT", *(f"{method}: {name}" for method in METHODS for name in measures))
    case = cache.conditions[0].case(small=True, quick=cache.quick)
    findings.tables = [
        Table(f"The landscape against the probe and the DFT, n = {case.settings['n']}", head, rows)
    ]
    findings.numbers = {"conditions": findings.tables[0].records()}
    return findings


def surfaces_of(cache: RunCache, case: Case, method: str, **weight: float) -> dict[str, NDArray[Any]]:
    """Return the (41, 41) losses of each plane and of its closer view."""
    result = cache.paper_run(case, method, **weight)

    def compute() -> dict[str, NDArray[Any]]:
        objective = paper_objective(case, method, **weight)
        centre = vector_of(objective, result.object, result.elements)
        hessian = dense_hessian(objective, centre)
        found = {}
        for plane, (first, _) in PLANES.items():
            place = round(first * objective.size / UNKNOWNS)
            # eigh counts in ascending order
            indices = objective.size - place - 1, objective.size - place
            _, vectors = eigh(hessian, subset_by_index=indices)
            first_direction, second_direction = (normalised(objective, vectors[:, i], centre) for i in (1, 0))
            for name, steps in ((plane, STEPS), (f"{plane}, near", NEAR * STEPS)):
                rows = (centre + step * first_direction for step in steps)
                found[name] = np.array(
                    [objective.at(row).losses_along(second_direction, steps) for row in rows]
                )
        return found

    return cache.compute(f"landscapes, {method}", {**case.identity, "method": method, **weight}, compute)


def normalised(objective: Objective, direction: NDArray[Any], centre: NDArray[Any]) -> NDArray[Any]:
    """Return a direction whose norm in each field (x, y or a map) is that of the point."""
    out = direction.copy()
    for part, size in zip(objective.fields.view(out), objective.fields.view(centre), strict=True):
        norm = np.linalg.norm(part)
        part *= np.linalg.norm(size) / norm if norm > 0 else 0.0
    return out


def convex_part(surface: NDArray[Any]) -> float:
    """Return the fraction of a surface, sampled evenly, whose second differences are positive definite."""
    row_bend = surface[2:, 1:-1] - 2 * surface[1:-1, 1:-1] + surface[:-2, 1:-1]
    column_bend = surface[1:-1, 2:] - 2 * surface[1:-1, 1:-1] + surface[1:-1, :-2]
    mixed = (surface[2:, 2:] - surface[2:, :-2] - surface[:-2, 2:] + surface[:-2, :-2]) / 4
    return float(((row_bend + column_bend > 0) & (row_bend * column_bend - mixed**2 > 0)).mean())


def measure(surface: NDArray[Any], near: NDArray[Any]) -> dict[str, float]:
    """Return the rise of a surface around its centre, its convex part and its distance from a paraboloid."""
    first, second = np.meshgrid(STEPS, STEPS, indexing="ij")
    radius = np.hypot(first, second)
    middle = surface[len(STEPS) // 2, len(STEPS) // 2]
    ring = np.abs(radius - 1) < 0.15
    monomials = [np.ones_like(first), first, second, first**2, first * second, second**2]
    basis = np.stack(monomials, axis=-1).reshape(-1, 6)
    fit = basis @ np.linalg.lstsq(basis, surface.ravel(), rcond=None)[0]
    height = np.ptp(surface)
    apart = np.sqrt(np.mean((surface.ravel() - fit) ** 2)) / height if height > 0 else 0.0
    return {
        "loss at the centre": float(middle),
        "rise at radius 1": float((surface[ring] - middle).mean()),
        "largest loss": float(surface.max()),
        "convex part": convex_part(surface),
        "convex part, +-0.5": convex_part(near),
        "distance from a paraboloid": float(apart),
    }


def draw(surfaces: dict[str, dict[str, NDArray[Any]]], plane: str) -> Any:
    """Draw the surfaces of both methods, as the paper does."""
    figure, axes = new_figure(1, 2, cell=(4.4, 3.8))
    first, second = np.meshgrid(STEPS, STEPS, indexing="ij")
    for column, method in enumerate(METHODS):
        axes[0, column].remove()
        axis = figure.add_subplot(1, 2, column + 1, projection="3d")
        surface = surfaces[method][plane]
        axis.plot_surface(first, second, surface / surface.max(), cmap="viridis", linewidth=0)
        axis.set_title(f"{method}, {plane} plane", fontsize=9)
        axis.tick_params(labelsize=6)
        axis.set_xlabel("along v1", fontsize=7)
        axis.set_ylabel("along v2", fontsize=7)
        axis.set_zlim(0, 1)
    return figure
