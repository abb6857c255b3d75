"""What `ptyxrf info` prints about a scan, a result, a checkpoint and count maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ptyxrf.driver.analysis.inspection import ScanInformation
from ptyxrf.driver.data.units import bytes_text, length_text, percent_text

if TYPE_CHECKING:
    from ptyxrf.driver.analysis.orientation import Orientation

#: The best orientation is trusted if the loss of the second best is at least this many times its own.
CLEAR_MARGIN = 1.05

#: A label and its text.
Lines = list[tuple[str, str]]


def _table(lines: Lines, width: int = 27) -> str:
    return "\n".join(f"{name:<{width}}{value}" for name, value in lines)


def _modes(count: int) -> str:
    return "1 mode" if count == 1 else f"{count} modes"


# scan ------------------------------------------------------------------------------------------------------


def scan_text(information: ScanInformation) -> str:
    """Return the facts and findings of `inspect_scan` as text."""
    facts = information.facts
    lines = [*_size_lines(facts), *_path_lines(facts), *_count_lines(facts), *_fluorescence_lines(facts)]
    if facts["truth"]:
        lines.append(("truth", ", ".join(facts["truth"])))
    single, double = (bytes_text(facts[f"memory_{name}"]["total"]) for name in ("single", "double"))
    lines.append(("memory", f"about {single} to reconstruct in single precision, {double} in double"))
    found = [f"{finding.level}: {finding.text}" for finding in information.findings]
    return "\n".join([_table(lines, 15), "", *(found or ["nothing wrong or suspicious was found"])])


def _metres(value: float | None) -> str:
    return length_text(value, 4)


def _pixels(count: float | None, facts: dict[str, Any]) -> str:
    """Return a length in pixels and, if the size of a pixel is known, in metres."""
    if count is None:
        return "none"
    pixel = facts["pixel_size"]
    return f"{count:.4g} pixels" + (f" = {_metres(count * pixel)}" if pixel else "")


def _size_lines(facts: dict[str, Any]) -> Lines:
    (rows, columns), m, pixel = facts["object_pixels"], facts["pattern_pixels"], facts["pixel_size"]
    metres = f" = {_metres(rows * pixel)} x {_metres(columns * pixel)}" if pixel else ""
    lines = [
        ("what", f"scan{': ' + facts['title'] if facts['title'] else ''}"),
        ("patterns", f"{facts['patterns']} of {m} x {m} ({facts['pattern_dtype']})"),
        ("object", f"{rows} x {columns} pixels{metres}"),
        ("pixel size", _metres(pixel)),
    ]
    if facts["energy_keV"] is not None:
        lines += [
            ("photon energy", f"{facts['energy_keV']:.6g} keV (wavelength {_metres(facts['wavelength'])})"),
            ("detector", f"{_metres(facts['distance'])} away, pixels of {_metres(facts['detector_pixel'])}"),
        ]
    return lines


def _path_lines(facts: dict[str, Any]) -> Lines:
    extent = " by ".join(_pixels(length, facts) for length in facts["positions_extent_pixels"])
    window, probe = facts["overlap_window"], facts["overlap_probe"]
    probe = None if probe is None else max(probe, 0.0)
    return [
        (
            "probe",
            f"{_modes(facts['probe_modes'])}, {_pixels(facts['probe_width_pixels'], facts)} wide "
            "(circle with 80 % of the intensity)",
        ),
        (
            "positions",
            f"{extent}, {'with fractions of pixels' if facts['positions_fractional'] else 'on whole pixels'}",
        ),
        ("step", f"{_pixels(facts['step_pixels'], facts)} (median distance to the nearest neighbour)"),
        (
            "overlap",
            f"{percent_text(window, '.1f')} of the window (1 - step/{facts['pattern_pixels']}), "
            f"{percent_text(probe, '.1f')} of the width of the probe",
        ),
    ]


def _count_lines(facts: dict[str, Any]) -> Lines:
    scale = facts["count_scale"]
    return [
        (
            "counts",
            f"{facts['counts_per_pattern_mean']:.5g} per pattern (from "
            f"{facts['counts_per_pattern_least']:.5g} to {facts['counts_per_pattern_most']:.5g}), "
            f"{facts['counts_per_pixel_mean']:.4g} per pixel, {facts['counts_most_in_a_pixel']:.6g} at most",
        ),
        ("count scale", "not given (1 is assumed)" if scale is None else f"{scale}"),
        ("mask", f"{percent_text(facts['masked_fraction'], '.1f')} of the pixels are masked"),
    ]


def _fluorescence_lines(facts: dict[str, Any]) -> Lines:
    if facts["fluorescence_sampling"] is None:
        return [("fluorescence", "none")]
    where = {"grid": "on the object grid", "scan": "one value per position"}[facts["fluorescence_sampling"]]
    lines = [
        ("fluorescence", f"{len(facts['elements'])} elements, {where}, in {facts['fluorescence_units']}")
    ]
    for element in facts["elements"]:
        text = "no data"
        if element["measured"]:
            text = (
                f"mean {element['counts_mean']:.5g}, from {element['counts_least']:.5g} to "
                f"{element['counts_most']:.5g}; sensitivity {element['sensitivity']:.4g}, "
                f"background {element['background']:.4g}"
            )
            if element["counts_lost"]:
                text += f"; {element['counts_lost']} lost"
        text += f"; attenuation {element['attenuation']:.4g}"
        if element["phase_shift"] is not None:
            text += f", phase shift {element['phase_shift']:.4g} m^2/kg"
        lines.append((f"  {element['name']}", text))
    return lines


def ranking_text(ranking: list[tuple[Orientation, float]]) -> str:
    """Return the ranking of `rank_orientations` as a table with a verdict below it."""
    best = ranking[0][1]
    lines = [f"{'positions read with':<36}{'loss':>14}{'of the best':>14}"]
    for orientation, loss in ranking:
        ratio = loss / best if best > 0 else float("nan")
        lines.append(f"{orientation.name:<36}{loss:>14.6g}{ratio:>13.3f}x")
    margin = ranking[1][1] / best if best > 0 else float("inf")
    name, next_name = ranking[0][0].name, ranking[1][0].name
    if margin >= CLEAR_MARGIN:
        verdict = f"best: {name}; the next has {margin:.3g} times its loss"
    else:
        verdict = (
            f"best: {name}, but {next_name} is within {100 * (margin - 1):.1f} %: the patterns "
            "do not tell them apart (a symmetric probe, too little contrast, or too few sweeps)"
        )
    return "\n".join([*lines, "", verdict])


# other files -----------------------------------------------------------------------------------------------


def _progress_lines(facts: dict[str, Any]) -> Lines:
    return [
        ("loss", f"{facts['loss']:.6g} (from {facts['loss_start']:.6g})"),
        (
            "work",
            f"{facts['iterations']} iterations, {facts['gradients']} gradients, {facts['products']} "
            f"products, {facts['sweeps']:.1f} sweeps, {facts['seconds']:.1f} s",
        ),
    ]


def _detail_lines(facts: dict[str, Any]) -> Lines:
    errors = [(f"  {name}", f"{value:.6g}") for name, value in facts["errors"].items()]
    return errors + [(f"  {key}", f"{value}") for key, value in facts["settings"].items()]


def result_text(facts: dict[str, Any]) -> str:
    """Return what `result_facts` returned as text."""
    rows, columns = facts["object_pixels"]
    return _table(
        [
            ("what", f"result of a {facts['method']} reconstruction"),
            ("object", f"{rows} x {columns} pixels ({facts['object_dtype']}), {facts['elements']} elements"),
            ("probe", _modes(facts["probe_modes"])),
            *_progress_lines(facts),
            ("ended", facts["reason"]),
            *_quality_lines(facts["quality"]),
            *_sensitivity_lines(facts["sensitivity"]),
            *_uncertainty_lines(facts["uncertainty"]),
            *_fallback_lines(facts["fallback"]),
            *_detail_lines(facts),
        ]
    )


def _quality_lines(quality: dict[str, Any] | None) -> Lines:
    if quality is None:
        return []
    lines = [("quality", quality["verdict"])]
    if "link" in quality:
        lines.append(("link", quality["link"]))
    if "chi_square" in quality:
        figures = ["no data" if value is None else f"{value:.3g}" for value in quality["chi_square"]]
        lines.append(("chi-square", f"{', '.join(figures)} for each sample of each element"))
    return lines


def _sensitivity_lines(facts: dict[str, list[float]] | None) -> Lines:
    """Return a line for each element whose sensitivity was refined."""
    if facts is None:
        return []
    import numpy as np

    from ptyxrf.driver.data.refined_sensitivity import RefinedSensitivity

    refined = RefinedSensitivity(**{name: np.array(values) for name, values in facts.items()})
    names = [f"element {e + 1}" for e in range(len(refined.values))]
    return [("sensitivity", text) for text in refined.texts(names)]


def _uncertainty_lines(facts: dict[str, Any] | None) -> Lines:
    """Return what the error bars of a result stand for."""
    if facts is None:
        return []
    samples = f"{facts['samples']} samples" if facts["samples"] else "no samples"
    return [("error bars", f"{samples}. {facts['meaning']}")]


def _fallback_lines(facts: dict[str, Any] | None) -> Lines:
    """Return what came before a joint fit."""
    if facts is None:
        return []
    return [
        ("fallback", f"{facts['method']} alone, with the maps of the fluorescence alone"),
        *((f"  {name}", value) for name, value in _progress_lines(facts)),
        *((f"  {name}", value) for name, value in _quality_lines(facts["quality"])),
    ]


def checkpoint_text(facts: dict[str, Any]) -> str:
    """Return what `checkpoint_facts` returned as text."""
    rows, columns = facts["object_pixels"]
    resumed = ", ".join(map(str, facts["resumed_after"]))
    return _table(
        [
            ("what", f"checkpoint of a {facts['method']} reconstruction, whole"),
            ("stage", facts["stage"]),
            ("object", f"{rows} x {columns} pixels"),
            *_progress_lines(facts),
            ("resumed", f"after iteration {resumed}" if resumed else "never"),
            *_detail_lines(facts),
            *((f"  digest of {name}", value[:16]) for name, value in facts["digest"].items()),
        ]
    )


def maps_text(facts: dict[str, Any]) -> str:
    """Return what `maps_facts` returned as text."""
    x, y = (" to ".join(f"{1e3 * value:.6g} mm" for value in facts[axis]) for axis in ("x", "y"))
    elements = [
        (f"  {element['name']}", f"mean {element['counts_mean']:.5g}, at most {element['counts_most']:.5g}")
        for element in facts["elements"]
    ]
    return _table(
        [
            ("what", f"fluorescence maps: {facts['title']}"),
            ("points", f"{facts['rows']} rows x {facts['columns']} columns"),
            ("x", x),
            ("y", y),
            ("elements", f"{len(elements)}, in counts"),
            *elements,
            *(("", note) for note in facts["counts"]),
            ("scalers", ", ".join(facts["scalers"])),
        ],
        15,
    )
