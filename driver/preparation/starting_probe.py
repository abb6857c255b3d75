"""The probe of a scan and the orientation of its positions, both found by short reconstructions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.analysis.orientation import ORIENTATIONS, Orientation, rank_orientations
from ptyxrf.driver.data.geometry import Geometry
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.preparation.findings import Findings
from ptyxrf.driver.preparation.frames import Window
from ptyxrf.driver.preparation.guesses import Guesses
from ptyxrf.driver.preparation.input_files import InputFiles
from ptyxrf.driver.preparation.quantities import LENGTHS, as_quantity, factor_of
from ptyxrf.driver.preparation.settings import Preparation
from ptyxrf.driver.reconstruction.probe_candidates import defocused, probe_candidates
from ptyxrf.driver.reconstruction.probe_start import PATTERNS, rank_probes
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.driver.reconstruction.trials import middle_positions, part_of
from ptyxrf.driver.simulation.zone_plate import zone_plate_probe

#: Fewer positions show no orientation.
LEAST_POSITIONS = 12
#: An orientation counts as no better than the given one if its loss is above this share of that one's.
CLEARLY_BETTER = 0.9
TURNS = ("swap", "flip_rows", "flip_columns")
FOUND = ("search", "mean-pattern", "zone-plate")
PLATE = ("outermost_zone_width", "diameter", "central_stop")


def known_probe(
    settings: Preparation,
    files: InputFiles,
    guesses: Guesses,
    window: Window,
    mean: NDArray[np.float64],
    geometry: Geometry | None,
    findings: Findings,
) -> NDArray[np.complex128] | None:
    """Return the probe of a file or of a zone plate, or None where it has to be found.

    Parameters
    ----------
    settings : Preparation
    files, guesses
        Where it may be.
    window : Window
    mean : (m, m) array of float64
        Mean pattern, whose counts scale the probe.
    geometry : Geometry, optional
        That of the patterns.
    findings : Findings

    Returns
    -------
    (K, m, m) array of complex128 or None
    """
    counts = float(mean.sum())
    if settings.probe == "zone-plate" and settings.diameter is not None:
        if geometry is None:
            raise ValueError("energy: expected one beside the diameter of a zone plate, got none")
        lengths = {"pixel_size": geometry.pixel_size(window.m), "energy": geometry.energy}
        for name in PLATE:
            quantity = as_quantity(getattr(settings, name) or "")
            if quantity is not None:
                lengths[name] = quantity[0] * (factor_of(quantity[1], LENGTHS) or 1.0)
        plate = zone_plate_probe(window.m, defocus=settings.defocus, **lengths)
        return plate[None] * np.sqrt(counts / np.sum(np.abs(plate) ** 2))
    if settings.probe in FOUND:
        return None
    array = guesses.probe() if settings.probe is None else files.find("probe", settings.probe)
    if array is None:
        return None
    values = np.asarray(array.read())
    if values.dtype.kind != "c" or values.ndim < 2 or values.shape[-1] != values.shape[-2]:
        raise ValueError(
            f"probe: expected complex (K, m, m) in {array.reference}, got {values.dtype} {values.shape}"
        )
    probe = _on_window(values.reshape(-1, *values.shape[-2:]).astype(np.complex128), window)
    power = float(np.sum(np.abs(probe) ** 2))
    if not 0 < power < np.inf:
        raise ValueError(f"probe: expected finite numbers, not all 0, in {array.reference}")
    findings.tell(
        "probe", f"{array.key} {values.shape}, scaled to the counts of the patterns", array.reference
    )
    return probe * np.sqrt(counts / power)


def _on_window(probe: NDArray[np.complex128], window: Window) -> NDArray[np.complex128]:
    """Return a probe, sampled for a whole frame or any window of raw pixels, on the window of the patterns.

    Raw pixels of the detector set the width of a probe's window, their number its pixels: more or fewer
    of them are a border of its spectrum. Added pixels make the window narrower.
    """
    if probe.shape[-1] == window.m:
        return probe
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(probe, axes=(1, 2)), norm="ortho"), axes=(1, 2))
    centre = probe.shape[-1] // 2
    spectrum = Window((centre, centre), window.size, 1).cut(spectrum)
    wide = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(spectrum, axes=(1, 2)), norm="ortho"), axes=(1, 2))
    middle = window.size // 2
    return Window((middle, middle), window.m, 1).cut(wide)


def guessed_probe(mean: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return the probe in focus that has the mean pattern, (1, m, m)."""
    return defocused(np.sqrt(mean), 0.0)


def oriented(scan: Scan, settings: Preparation, *, given: bool, findings: Findings) -> Scan:
    """Return a scan with its positions turned as fits best and, unless it is given, with a probe found.

    Parameters
    ----------
    scan : Scan
        With the positions as they are read.
    settings : Preparation
    given : bool
        Whether the probe of the scan is more than a placeholder.
    findings : Findings

    Notes
    -----
    A scan whose positions and probe are both turned by 180 degrees, with the conjugate object, has the same
    patterns: where the probe is found, the orientation is one of four.
    """
    search = settings.orientation == "search" and scan.N >= LEAST_POSITIONS
    if given:
        ranking = rank_orientations(scan) if search else []
        orientation = _chosen(ranking)
        if search:
            _tell(ranking, orientation, findings)
        return scan.replace(positions=orientation.apply(scan.positions)) if search else scan
    kind = "mean-pattern" if settings.probe == "mean-pattern" else "zone-plate"
    model = Settings(method="ptychography", refine_probe=True).resolved(scan)
    chosen = middle_positions(scan.positions, PATTERNS)
    if kind == "mean-pattern" and not search:
        return scan  # whose placeholder it is
    # one by one: HDF5 takes long to read scattered ones at once
    data = np.stack([np.asarray(scan.patterns[j]) for j in chosen])
    best: dict[Orientation, tuple[NDArray[np.complex128], str, float]] = {}
    for orientation in [one for one in ORIENTATIONS if not one.flip_columns] if search else ORIENTATIONS[:1]:
        part = part_of(scan, chosen, orientation.apply, data)
        candidate, loss = rank_probes(part, probe_candidates(part, kind), model, None)[0]
        best[orientation] = candidate.probe, candidate.description(part), loss
    ranking = sorted(((one, loss) for one, (_, _, loss) in best.items()), key=lambda pair: pair[1])
    orientation = _chosen(ranking)
    probe, description, loss = best[orientation]
    findings.tell("probe", f"{description} (loss {loss:.4g}), to be refined")
    if search:
        _tell(ranking, orientation, findings)
    return scan.replace(positions=orientation.apply(scan.positions), probe=probe, probe_found=True)


def _chosen(ranking: list[tuple[Orientation, float]]) -> Orientation:
    """Return the best orientation, or the given one where that is about as good."""
    losses = dict(ranking)
    as_it_is = ORIENTATIONS[0]
    if not ranking or losses.get(as_it_is, np.inf) * CLEARLY_BETTER <= ranking[0][1]:
        return as_it_is
    return ranking[0][0]


def _tell(ranking: list[tuple[Orientation, float]], chosen: Orientation, findings: Findings) -> None:
    losses = ", ".join(f"{one.name} {loss:.4g}" for one, loss in ranking[:3])
    findings.tell("orientation", f"{chosen.name} (losses: {losses})", "given")
    for name in TURNS:
        if getattr(chosen, name):
            findings.values[name] = True


def composed(settings: Preparation, found: dict[str, Any]) -> Preparation:
    """Return a recipe with what was found; an orientation that was found comes on top of its own.

    Parameters
    ----------
    settings : Preparation
    found : dict
        Values by the names of settings; "swap", "flip_rows" and "flip_columns" where they are true.
    """
    own = Orientation(settings.swap, settings.flip_rows, settings.flip_columns)
    more = Orientation(*(bool(found.get(name)) for name in TURNS))
    flips = (own.flip_rows, own.flip_columns)[:: -1 if more.swap else 1]
    turns = own.swap != more.swap, flips[0] != more.flip_rows, flips[1] != more.flip_columns
    return settings.replace(**found | dict(zip(TURNS, turns, strict=True)))
