"""The joint method against sequential reconstruction: ptychography, then fluorescence; unknown probe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import fourier_shift
from scipy.optimize import minimize

from ptyxrf.driver.data.result import Result
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.reconstruction.accuracy import measure_errors
from ptyxrf.driver.reconstruction.alignment import align
from ptyxrf.driver.reconstruction.illumination import illuminated_area
from ptyxrf.driver.simulation.zone_plate import zone_plate_probe
from ptyxrf.experiments.claims import below
from ptyxrf.experiments.figures import image_rows
from ptyxrf.experiments.findings import Findings, Picture, Table
from ptyxrf.experiments.paper_cases import Case, paper_case
from ptyxrf.experiments.run_cache import RunCache

TITLE = "Sequential reconstruction"
PAPER = "beyond the paper"
#: Defocus of the probe in metres, and the factor by which the starting guess exceeds it.
DEFOCUS, GUESS_FACTOR = 180e-6, 1.25
SETTINGS: dict[str, Any] = {"refine_probe": True, "rescale_probe": False}
SEEDS = (0, 1, 2)


def run(cache: RunCache) -> Findings:
    """Reconstruct one and three elements, with an unknown probe and fluorescence at the positions."""
    findings, rows = Findings(), []
    for elements in (1, 3):
        ratios: dict[str, list[float]] = {"object": [], "maps": []}
        for seed in SEEDS[:1] if cache.quick else SEEDS:
            case = unknown_probe_case(cache, elements, seed)
            joint = cache.tuned_run(case, "joint", **SETTINGS)
            sequential = reconstruct_sequentially(cache, case)
            errors = {}
            for method, (first, *others) in (("sequential", sequential), ("joint", (joint,))):
                errors[method] = errors_of(first, (others or [first])[-1], case.scan)
                ends = [run.history[-1] for run in (first, *others)]
                cost = sum(end.sweeps for end in ends), sum(end.seconds for end in ends)
                rows.append([elements, seed, method, *errors[method].values(), *cost])
            for name, ratio in ratios.items():
                ratio.append(errors["joint"][name] / errors["sequential"][name])
            if seed == 0:
                findings.pictures.append(picture(case, sequential, joint))
        for name, values in ratios.items():
            text = (
                f"{elements} element(s): error of the {name} at most that of the sequential reconstruction "
                "(median ratio)"
            )
            claim = below(f"sequential: {name}, {elements}", text, float(np.median(values)), 1.0)
            figures = "joint / sequential by seed " + ", ".join(f"{value:.3g}" for value in values)
            findings.claims.append(replace(claim, figures=figures))
    head = ("elements", "seed", "method", "object, aligned MSE", "maps, registered MSE", "sweeps", "seconds")
    table = Table("Sequential and joint reconstruction with an unknown probe", head, rows)
    findings.tables.append(table)
    findings.numbers = {"sequential": table.records()}
    return findings


def unknown_probe_case(cache: RunCache, elements: int, seed: int) -> Case:
    """Return a scan of cells whose probe is a guess with too much defocus and the right flux."""
    defocus = DEFOCUS / (2 if cache.quick else 1)

    def guess(scan: Scan) -> Scan:
        probe = zone_plate_probe(scan.m, defocus=GUESS_FACTOR * defocus)[None]
        return scan.replace(
            probe=probe * np.sqrt((np.abs(scan.probe) ** 2).sum() / (np.abs(probe) ** 2).sum())
        )

    case = paper_case(
        f"16 positions a side, {elements} element(s), unknown probe",
        n=224,
        per_side=16,
        elements=elements,
        sampling="scan",
        defocus=defocus,
        quick=cache.quick,
        seed=seed,
    )
    return replace(case, change=guess, changed={"guessed defocus": GUESS_FACTOR})


def reconstruct_sequentially(cache: RunCache, case: Case) -> tuple[Result, Result]:
    """Return the ptychography of a scan with an unknown probe, and the fluorescence with the probe it found.

    The probe is scaled to its flux, which is known at a beamline: diffraction patterns alone do not determine
    the scale.
    """
    ptychography = cache.tuned_run(case, "ptychography", **SETTINGS)
    guess = case.scan.probe
    found = ptychography.probe * np.sqrt((np.abs(guess) ** 2).sum() / (np.abs(ptychography.probe) ** 2).sum())
    second = replace(
        case,
        change=lambda scan: scan.replace(probe=found),
        changed={**case.changed, "probe": "found by ptychography"},
    )
    return ptychography, cache.tuned_run(second, "fluorescence")


def errors_of(object_from: Result, maps_from: Result, scan: Scan) -> dict[str, float]:
    """Return the MSE of the aligned object and of the maps after a common shift is removed."""
    aligned = measure_errors(object_from.object, np.empty(0), scan, blind=True)["mse_aligned"]
    area = illuminated_area(scan)
    maps = registered(maps_from.elements, np.asarray(scan.truth["elements"]), area)
    return {"object": aligned, "maps": float(np.mean((maps - scan.truth["elements"])[:, area] ** 2))}


def registered(maps: NDArray[Any], truth: NDArray[Any], area: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the (N_e, n, n) maps after the common shift that fits them best to the truth."""
    spectra = np.fft.fft2(maps.astype(np.float64))

    def moved(shift: NDArray[Any]) -> NDArray[np.float64]:
        return np.stack([np.fft.ifft2(fourier_shift(spectrum, shift)).real for spectrum in spectra])

    def misfit(shift: NDArray[Any]) -> float:
        return float(((moved(shift) - truth)[:, area] ** 2).sum())

    return moved(minimize(misfit, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-3}).x)


def picture(case: Case, sequential: tuple[Result, Result], joint: Result) -> Picture:
    """Return the figure of the real part, the imaginary part and the maps."""

    def draw() -> Any:
        truth, scan = case.scan.truth, case.scan
        area = illuminated_area(scan)
        objects = [align(run.object, truth["object"], area, blind=True) for run in (sequential[0], joint)]
        rows: list[tuple[str, dict[str, Any]]] = [
            (
                part,
                {"truth": pick(truth["object"]), "sequential": pick(objects[0]), "joint": pick(objects[1])},
            )
            for part, pick in (("real", np.real), ("imaginary", np.imag))
        ]
        for e, name in enumerate(scan.element_names):
            images = {
                "truth": truth["elements"][e],
                "sequential": sequential[1].elements[e],
                "joint": joint.elements[e],
            }
            rows.append((f"map of {name}", images))
        return image_rows(f"Sequential and joint reconstruction, {case.label}", rows)

    return Picture(f"{case.scan.N_e}", f"Object (aligned) and maps, {case.label}", draw)
