"""The three methods on one scan, as sections 4.1 to 4.5 compare them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ptyxrf.driver.data.history import IterationRecord
from ptyxrf.driver.data.result import Result
from ptyxrf.experiments.claims import Claim, below, lower_at_the_same_loss, semi_convergence
from ptyxrf.experiments.figures import Histories, curve_panels, image_rows
from ptyxrf.experiments.findings import Picture
from ptyxrf.experiments.paper_cases import Case
from ptyxrf.experiments.run_cache import RunCache

METHODS = ("ptychography", "fluorescence", "joint")


@dataclass
class Comparison:
    """A scan and its reconstructions by the three methods.

    Attributes
    ----------
    key : str
        Short name of the scan in keys of claims.
    case : Case
    results : dict of str to Result
    """

    key: str
    case: Case
    results: Mapping[str, Result]

    def histories(self, *methods: str) -> Histories:
        """Return the histories of some methods, with unweighted fluorescence loss."""
        return {method: unweighted(self.results[method]) for method in methods}

    def claims(self) -> list[Claim]:
        """Return the claims that the paper makes for each of its scans."""
        ptychography, fluorescence, joint = (self.results[method].history for method in METHODS)
        ends = {method: result.history[-1].errors for method, result in self.results.items()}
        key, label = self.key, self.case.label
        return [
            below(
                f"{key}: mse",
                f"{label}: MSE of the joint object below ptychography's",
                ends["joint"]["mse"],
                ends["ptychography"]["mse"],
            ),
            below(
                f"{key}: aligned",
                f"{label}: the same without the global phase, where illuminated",
                ends["joint"]["mse_aligned"],
                ends["ptychography"]["mse_aligned"],
            ),
            lower_at_the_same_loss(
                f"{key}: same loss",
                f"{label}: lower MSE at the same ptychographic loss",
                joint,
                ptychography,
            ),
            below(
                f"{key}: imaginary",
                f"{label}: imaginary MSE of the joint method below that of fluorescence",
                ends["joint"]["mse_imaginary"],
                ends["fluorescence"]["mse_imaginary"],
            ),
            semi_convergence(
                f"{key}: semi-convergence",
                f"{label}: fluorescence alone semi-converges, the joint method does not, or less",
                joint,
                fluorescence,
                "mse_imaginary",
            ),
        ]

    def image_rows(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the rows of images: real and imaginary part of the object."""
        truth = self.case.scan.truth["object"]
        z = {method: result.object for method, result in self.results.items()}
        errors = {method: result.history[-1].errors["mse"] for method, result in self.results.items()}
        names = {method: f"{method}\nMSE {errors[method]:.2g}" for method in ("ptychography", "joint")}
        fluorescence = self.results["fluorescence"].history[-1].errors["mse_imaginary"]
        rows = []
        for part in ("real", "imag"):
            images = {"truth": getattr(truth, part)}
            images[names["ptychography"]] = getattr(z["ptychography"], part)
            images[f"fluorescence\nimaginary MSE {fluorescence:.2g}"] = (
                z["fluorescence"].imag if part == "imag" else None
            )
            images[names["joint"]] = getattr(z["joint"], part)
            rows.append((f"{'real' if part == 'real' else 'imaginary'}\n{self.case.label}", images))
        return rows

    def numbers(self) -> dict[str, Any]:
        """Return the histories of all methods as columns."""
        return {method: columns_of(result) for method, result in self.results.items()}


def unweighted(result: Result) -> list[IterationRecord]:
    """Return a history with the fluorescence loss for alpha = 1, where all elements have the same weight."""
    alpha = max(result.settings["alpha_used"], default=1.0) or 1.0
    return [replace(record, fluorescence_loss=record.fluorescence_loss / alpha) for record in result.history]


def columns_of(result: Result) -> dict[str, list[float]]:
    """Return a history as columns of numbers, with unweighted fluorescence loss."""
    names = ("iteration", "ptychography_loss", "fluorescence_loss", "sweeps", "seconds")
    columns = {name: [getattr(record, name) for record in unweighted(result)] for name in names}
    errors = result.history[-1].errors
    return columns | {name: [record.errors[name] for record in result.history] for name in errors}


def compare_methods(cache: RunCache, key: str, case: Case, **settings: Any) -> Comparison:
    """Reconstruct a scan by each of the three methods with the paper's solver."""
    return Comparison(key, case, {method: cache.paper_run(case, method, **settings) for method in METHODS})


def objects_picture(name: str, title: str, compared: Sequence[Comparison]) -> Picture:
    """Return the figure of the objects: truth, ptychography, fluorescence (imaginary) and joint."""
    rows = [row for comparison in compared for row in comparison.image_rows()]
    return Picture(name, title, lambda: image_rows(title, rows))


def pattern_curves(name: str, compared: Sequence[Comparison]) -> Picture:
    """Return the figure of the ptychographic loss and of the complex MSE."""
    title = "Ptychographic loss and complex MSE (dotted: without the global phase, where illuminated)"
    return _curves(
        name, title, compared, ("ptychography", "joint"), ("ptychography_loss", "mse"), "mse_aligned"
    )


def map_curves(name: str, compared: Sequence[Comparison]) -> Picture:
    """Return the figure of the fluorescence loss and of the imaginary MSE."""
    title = "Fluorescence loss (alpha = 1) and imaginary MSE"
    quantities = ("fluorescence_loss", "mse_imaginary")
    return _curves(name, title, compared, ("fluorescence", "joint"), quantities, None)


def _curves(
    name: str,
    title: str,
    compared: Sequence[Comparison],
    methods: tuple[str, ...],
    quantities: tuple[str, str],
    dotted: str | None,
) -> Picture:
    heads = {"ptychography_loss": "Phi_p", "fluorescence_loss": "Phi_f", "mse": "MSE"}
    panels = [
        [
            (
                f"{heads.get(quantity, 'imaginary MSE')}, {comparison.case.label}",
                quantity,
                comparison.histories(*methods),
            )
            for comparison in compared
        ]
        for quantity in quantities
    ]
    if len(compared) == 1:  # side by side
        panels = [[panel for row in panels for panel in row]]
    return Picture(name, title, lambda: curve_panels(title, panels, dotted=dotted))
