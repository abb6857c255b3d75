"""The loss on planes of eigenvectors around the reconstructions (section 3.4)."""

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
from ptyxrf.experiments.findings import Outcome, Picture, Table
from ptyxrf.experiments.paper_cases import Case, low_overlap_case
from ptyxrf.experiments.run_cache import Study, point

TITLE = "Loss landscape"
PAPER = "Figs. 4 and 5"
METHODS = ("ptychography", "joint")
#: Eigenvectors that span the planes, counted from 1 in descending order, for 7688 unknowns.
PLANES = {"leading": (200, 201), "flat": (4000, 4001)}
UNKNOWNS = 7688
STEPS = np.linspace(-5, 5, 41)
#: The same planes, seen from nearer: where the loss still bends.
NEAR = 0.1


def run(study: Study) -> Outcome:
    """Draw the loss around each method's own reconstruction, along its own Hessian's eigenvectors."""
    case = low_overlap_case(study.quick)
    surfaces = {method: surfaces_of(study, case, method) for method in METHODS}
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
            "flat plane: the joint landscape is smoother (part of it to +-0.5 where the loss is convex)",
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
    return Outcome(claims, [table], pictures, numbers | {"steps": STEPS.tolist()})


def surfaces_of(study: Study, case: Case, method: str) -> dict[str, NDArray[Any]]:
    """Return the loss on the (41, 41) steps of each plane."""
    result = study.paper(case, method)

    def compute() -> dict[str, NDArray[Any]]:
        objective = study.objective(case, method)
        centre = point(objective, result.object, result.elements)
        hessian = dense_hessian(objective, centre)
        found = {}
        for plane, (first, _) in PLANES.items():
            place = round(first * objective.size / UNKNOWNS)
            # ascending there, descending here
            indices = objective.size - place - 1, objective.size - place
            _, vectors = eigh(hessian, subset_by_index=indices)
            one, other = (normalised(objective, vectors[:, i], centre) for i in (1, 0))
            for name, steps in ((plane, STEPS), (f"{plane}, near", NEAR * STEPS)):
                found[name] = np.array(
                    [_line(objective, centre + step * one, other, steps) for step in steps]
                )
        return found

    return study.compute(f"landscapes, {method}", {**case.identity, "method": method}, compute)


def normalised(objective: Objective, direction: NDArray[Any], centre: NDArray[Any]) -> NDArray[Any]:
    """Return a direction with, in each filter (x, or one w_e), the norm that the point has there."""
    out = direction.copy()
    for part, size in zip(objective.fields.view(out), objective.fields.view(centre), strict=True):
        norm = np.linalg.norm(part)
        part *= np.linalg.norm(size) / norm if norm > 0 else 0.0
    return out


def _line(
    objective: Objective, at: NDArray[Any], direction: NDArray[Any], steps: NDArray[Any]
) -> NDArray[Any]:
    objective.value_and_gradient(at)
    return objective.losses_along(direction, steps)


def convex_part(surface: NDArray[Any]) -> float:
    """Return the part of a surface, on even steps, where its second differences are positive definite."""
    row_bend = surface[2:, 1:-1] - 2 * surface[1:-1, 1:-1] + surface[:-2, 1:-1]
    column_bend = surface[1:-1, 2:] - 2 * surface[1:-1, 1:-1] + surface[1:-1, :-2]
    mixed = (surface[2:, 2:] - surface[2:, :-2] - surface[:-2, 2:] + surface[:-2, :-2]) / 4
    return float(((row_bend + column_bend > 0) & (row_bend * column_bend - mixed**2 > 0)).mean())


def measure(surface: NDArray[Any], near: NDArray[Any]) -> dict[str, float]:
    """Return how a surface rises around its centre, where it is convex, and how far from a paraboloid."""
    one, other = np.meshgrid(STEPS, STEPS, indexing="ij")
    radius = np.hypot(one, other)
    middle = surface[len(STEPS) // 2, len(STEPS) // 2]
    ring = np.abs(radius - 1) < 0.15
    basis = np.stack([np.ones_like(one), one, other, one**2, one * other, other**2], axis=-1).reshape(-1, 6)
    fit = basis @ np.linalg.lstsq(basis, surface.ravel(), rcond=None)[0]
    apart = np.sqrt(np.mean((surface.ravel() - fit) ** 2)) / np.ptp(surface)
    return {
        "loss at the centre": float(middle),
        "rise at radius 1": float((surface[ring] - middle).mean()),
        "largest loss": float(surface.max()),
        "convex part": convex_part(surface),
        "convex part, +-0.5": convex_part(near),
        "distance from a paraboloid": float(apart),
    }


def draw(surfaces: dict[str, dict[str, NDArray[Any]]], plane: str) -> Any:
    """Draw both surfaces, as the paper does."""
    figure, axes = new_figure(1, 2, cell=(4.4, 3.8))
    one, other = np.meshgrid(STEPS, STEPS, indexing="ij")
    for column, method in enumerate(METHODS):
        axes[0, column].remove()
        axis = figure.add_subplot(1, 2, column + 1, projection="3d")
        surface = surfaces[method][plane]
        axis.plot_surface(one, other, surface / surface.max(), cmap="viridis", linewidth=0)
        axis.set_title(f"{method}, {plane} plane", fontsize=9)
        axis.tick_params(labelsize=6)
        axis.set_xlabel("along v1", fontsize=7)
        axis.set_ylabel("along v2", fontsize=7)
        axis.set_zlim(0, 1)
    return figure
