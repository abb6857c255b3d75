"""``ptyxrf compare``: two results, or the results of two halves of a scan, beside each other."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptyxrf.driver.command.outputs import check_outputs, is_first, on_first_rank, read_scan_file
from ptyxrf.driver.command.parser import Subcommand, add_settings, effective_settings
from ptyxrf.driver.command.tables import Reconstruction
from ptyxrf.driver.files.output_names import named_after

if TYPE_CHECKING:
    from ptyxrf.driver.analysis.comparison import Comparison


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="two result files; with --halves a scan")
    parser.add_argument(
        "--halves", action="store_true", help="reconstruct every other position of a scan, and the rest"
    )
    parser.add_argument("--picture", metavar="PNG", help="where the picture goes (default: beside the first)")
    parser.add_argument(
        "--settings", metavar="FILE", help="settings of --halves in TOML; flags override them"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_settings(parser, "reconstruction of --halves", Reconstruction)


def _run(options: argparse.Namespace) -> int:
    count = 1 if options.halves else 2
    if len(options.files) != count:
        expected = "a scan" if options.halves else "two results"
        raise ValueError(f"compare: expected {expected}, got {len(options.files)} files")
    first = Path(options.files[0])
    ending = "-halves.png" if options.halves else f"-and-{named_after(Path(options.files[-1]), '.png').name}"
    picture = Path(options.picture or named_after(first, ending))
    on_first_rank(options.comm, lambda: check_outputs([picture], options.files))
    if options.halves:
        (settings,) = effective_settings(options, "reconstruct")
        comparison = _halves(options, settings)
        names = "even positions", "odd positions"
    else:
        comparison = on_first_rank(options.comm, lambda: _results(*options.files))
        names = first.name, Path(options.files[1]).name
    if is_first(options.comm):
        _tell(comparison, names, picture)
    return 0


def _results(first: str, second: str) -> Comparison:
    from ptyxrf.driver.analysis.comparison import compare_results, illuminated_by
    from ptyxrf.driver.files.result_file import read_placement, read_result

    results = read_result(first), read_result(second)
    places = read_placement(first), read_placement(second)
    sizes = [place.pixel_size for place in places]
    if None not in sizes and abs(float(sizes[0] or 0) / float(sizes[1] or 1) - 1) > 1e-3:
        raise ValueError(f"compare: expected pixels of one size, got {sizes[0]:.6g} m and {sizes[1]:.6g} m")
    areas = tuple(
        None
        if place.positions is None
        else illuminated_by(place.positions, result.probe, result.object.shape)
        for place, result in zip(places, results, strict=True)
    )
    return compare_results(
        *results, (areas[0], areas[1]), names=(places[0].names, places[1].names), pixel_size=sizes[0]
    )


def _halves(options: argparse.Namespace, settings: Reconstruction) -> Comparison:
    """Return the comparison of reconstructions of every other position; all ranks take part."""
    from ptyxrf.driver.analysis.comparison import compare_results
    from ptyxrf.driver.command.progress import reconstruct_with_progress
    from ptyxrf.driver.command.tables import Reading
    from ptyxrf.driver.reconstruction.illumination import illuminated_area

    comm: Any = options.comm
    scan = on_first_rank(comm, lambda: read_scan_file(options.files[0], Reading(), check=comm is None))
    if settings.method is None:
        settings = settings.replace(method="ptychography" if scan.fluorescence is None else "joint")
    results, areas = [], []
    for half in ("0::2", "1::2"):
        part = scan.select(half)
        result = reconstruct_with_progress(part, settings, quiet=options.quiet, comm=comm).gather()
        results.append(result)
        areas.append(illuminated_area(part, result.probe))
    names = scan.element_names if len(results[0].elements) else []
    return compare_results(
        results[0], results[1], (areas[0], areas[1]), names=(names, names), pixel_size=scan.pixel_size
    )


def comparison_text(comparison: Comparison) -> str:
    """Return the figures of a comparison, a line each."""
    from ptyxrf.driver.data.units import length_text

    def resolution(threshold: float | None) -> str:
        pixels = comparison.rings.resolution(threshold)
        if pixels is None:
            return "none"
        size = comparison.pixel_size
        text = f"{pixels:.2f} pixels" + ("" if size is None else f" ({length_text(pixels * size)})")
        return text + (" or better: all frequencies agree" if pixels == 1.0 else "")

    rows, columns = comparison.first.shape
    lines = [
        f"compared: {rows} x {columns} pixels that both know",
        f"half period of resolution, half bit: {resolution(None)}",
        f"half period of resolution, 1/7: {resolution(1 / 7)}",
        f"object: rms difference {100 * comparison.object_difference:.3g} % of its variation",
    ]
    lines += [
        f"{name}: correlation {likeness:.4f}, rms difference {100 * difference:.3g} %"
        for name, (likeness, difference) in comparison.maps.items()
    ]
    return "\n".join(lines)


def _tell(comparison: Comparison, names: tuple[str, str], picture: Path) -> None:
    from ptyxrf.driver.pictures.comparison_picture import write_comparison

    text = comparison_text(comparison)
    print(text)
    write_comparison(picture, comparison, names, "   ".join(text.splitlines()[1:3]))
    print(f"picture: {picture}")


COMMAND = Subcommand(
    "compare",
    "RESULT.h5 RESULT.h5 | --halves SCAN.h5 [flags]",
    "compare two results, or two halves of a scan",
    "Align two results, and tell to which resolution they agree (Fourier ring correlation with the half-bit "
    "and 1/7 thresholds) and how their objects and maps differ. With --halves, the results are those of "
    "every other position of a scan, and of the rest: what they share is not noise.",
    _arguments,
    _run,
)
