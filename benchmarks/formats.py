"""Each format of `ptyxrf formats`, written, read by the command without flags, and scored with the truth.

    python benchmarks/formats.py                  # all
    python benchmarks/formats.py --only MAPS,CXI  # those whose names have one of the words

A small joint scan is simulated by a model of the tests' own: 49 positions, counts, two elements in a matrix.
Files are written by the program that has the format where it is installed, else in its documented layout.
Beside each error is that of a scan file of ptyxrf with the same: the probe or none, fluorescence or none.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xraydb

sys.path.append(str(Path(__file__).parents[1] / "tests"))
import foreign_maps
import foreign_raw
import foreign_scans
import format_writers
import hdf5plugin
import raw_sets

import ptyxrf
from ptyxrf.driver.command.main import main as ptyxrf_command
from ptyxrf.driver.files.result_file import read_placement
from ptyxrf.driver.reconstruction.alignment import align

NAMES = tuple(raw_sets.ELEMENTS)
LINES = tuple(f"{name}_K" for name in NAMES)
SIDE, STEP = 7, 5.3


@cache
def truth() -> raw_sets.Truth:
    """Return the scan."""
    return raw_sets.made_truth(per_side=SIDE, step=STEP, counts=4e5, fluorescence=True)


@cache
def frames() -> np.ndarray:
    """Return whole frames: off-centre, with hot pixels and a gap of the largest integer."""
    return raw_sets.raw_frames(truth().patterns, np.uint32, 2**32 - 1)


@cache
def live_times() -> np.ndarray:
    """Return the live time of the fluorescence detector at each point in seconds."""
    return np.random.default_rng(1).uniform(0.2, 0.4, (SIDE, SIDE))


@cache
def counts(*, live: bool = False) -> np.ndarray:
    """Return the counts on the raster; those of a detector that was dead for a part of the time are fewer."""
    whole = truth().counts.reshape(len(NAMES), SIDE, SIDE)
    return np.random.default_rng(2).binomial(whole, live_times() / 0.4) if live else whole


@dataclass(frozen=True)
class Row:
    """A format, and what is done with its files.

    Attributes
    ----------
    name : str
    program : str
        Distribution that writes it, or empty.
    write : callable
        Given a folder, returns the files for the command. It may raise ImportError.
    layout : callable or None
        The same in the documented layout, which stands in for a program that is not installed.
    probe, joint, live : bool
        Whether the files have a probe, fluorescence, and its live times.
    flags : tuple of str
        Numbers that `prepare` has to be told, because the format has no place for them.
    """

    name: str
    program: str
    write: Callable[[Path], Any]
    layout: Callable[[Path], Any] | None = None
    kind: str = "scan"
    probe: bool = False
    joint: bool = False
    live: bool = False
    flags: tuple[str, ...] = field(default=())


def perfect(probe: bool, joint: bool, live: bool) -> ptyxrf.Scan:
    """Return the scan as it would be without another program."""
    patterns = truth().patterns.astype(np.float32)
    geometry = {"geometry": raw_sets.GEOMETRY, "count_scale": 1.0}
    scan = truth().perfect() if probe else ptyxrf.Scan(patterns, truth().positions, **geometry)
    if not joint:
        return scan
    fluorescence = counts(live=live).reshape(len(NAMES), -1).astype(float)
    exposure = {"fluorescence_exposure": live_times().ravel() / live_times().mean()} if live else {}
    return scan.replace(fluorescence=fluorescence, element_names=list(NAMES), units="counts", **exposure)


def scan_in(write: Callable[..., Any]) -> Callable[[Path], Any]:
    """Return what writes the scan into a folder."""

    def written(folder: Path) -> Path:
        path = write(truth().perfect(), folder)
        return path[0] if isinstance(path, tuple) else path  # without the order of the patterns

    return written


def maps_in(
    write: Callable[..., Any], names: tuple[str, ...], *more: Any, live: bool = False
) -> Callable[[Path], Any]:
    """Return what writes the counts on the raster of the scan, with axes where the format has them."""
    others = {"live": live_times()} if live else {}
    return lambda folder: write(folder, counts(live=live).astype(float), names, *more, **others)


def rows() -> list[Row]:
    """Return all formats."""
    own, of = format_writers, foreign_scans
    axis = STEP * raw_sets.DX * np.arange(SIDE)
    places = truth().positions.T.reshape(2, SIDE, SIDE) * raw_sets.DX
    errors = np.sqrt(counts() + 1.0)
    energies = [xraydb.xray_line(name, "Ka").energy for name in NAMES]
    raw = truth().positions
    return [
        Row("MAPS v9", "", maps_in(foreign_maps.maps_version_9, NAMES, axis, axis, live=True),
            None, "maps", live=True),
        Row("XRF-Maps v10", "", maps_in(foreign_maps.maps_version_10, NAMES, axis, axis, live=True),
            None, "maps", live=True),
        Row("PyXRF", "pyxrf", maps_in(own.pyxrf, LINES, *places),
            maps_in(foreign_maps.pyxrf, LINES, *places), "maps"),
        Row("PyMca", "PyMca5", maps_in(foreign_maps.pymca, LINES, errors), None, "maps"),
        Row("NanoMAX", "", lambda folder: foreign_raw.nanomax(
            frames(), raw, folder, spectra=foreign_raw.spectra_of(truth().counts, energies), beam=(1.0, 1.0)),
            None, "raw", joint=True, flags=("--distance", "1.5 m", "--elements", "Fe,Ca")),
        Row("NSLS-II style 1", "", lambda folder: foreign_raw.nsls2_style_1(
            frames(), raw, folder, counts=truth().counts, beam=(1.0, 1.0)),
            None, "raw", joint=True, flags=("--distance", "1.5 m")),
        Row("Eiger master, bitshuffle and LZ4", "hdf5plugin", lambda folder: (
            foreign_raw.eiger_master(frames(), folder, filters=hdf5plugin.Bitshuffle(cname="lz4")),
            foreign_raw.table_of_positions(raw, folder)), None, "raw"),
        Row("HXN, diffamp", "", scan_in(of.hxn_old)),
        Row("HXN, dp", "", scan_in(of.hxn_new)),
        Row("PtyPy .ptyd", "", scan_in(of.ptyd)),
        Row("ptychodus product, HDF5", "ptychodus", scan_in(own.ptychodus),
            scan_in(of.ptychodus), probe=True),
        Row("ptychodus product, NPZ", "ptychodus", scan_in(own.ptychodus_npz),
            scan_in(of.npz_product), probe=True),
        Row("ptychodus CXI", "ptychodus", scan_in(own.ptychodus_cxi), scan_in(of.ptychodus_cxi), probe=True),
        Row("fold_slice pair", "", scan_in(of.fold_slice)),
        Row("patterns of a pair, of pty-chi", "", scan_in(of.ptychi), probe=True),
        Row("CXI, basis vectors", "cdtools-py", scan_in(own.cdtools)),
        Row("CXI, pixels and probe", "", scan_in(of.cxi), probe=True),
        Row("CXI: NXcxi_ptycho, a raster", "", scan_in(of.nexus_raster)),
        Row("raw: HDF5 in um, keV, mm", "", lambda folder: _raw(
            raw_sets.hdf5_in_micrometres, folder / "raw.h5"), None, "raw", probe=True),
        Row("raw: NPZ without units", "", lambda folder: _raw(
            raw_sets.npz_without_units, folder / "raw.npz"), None, "raw"),
        Row("raw: corner, table, counts", "", lambda folder: _raw(
            raw_sets.two_files_with_fluorescence, folder / "frames.h5", folder / "places.csv"),
            None, "raw", joint=True),
    ]  # fmt: skip


def _raw(write: Callable[..., None], *paths: Path) -> tuple[Path, ...]:
    write(*paths, truth())
    return paths


def run(*words: Any) -> None:
    """Run a command; what it says is the error where it fails."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = ptyxrf_command([str(word) for word in words])
    if code:
        raise RuntimeError(f"ptyxrf {words[0]}: code {code}: {said.getvalue().strip().splitlines()[-1]}")


def read(row: Row, written: Any, folder: Path) -> tuple[str, list[float]]:
    """Run what a user would, and return the words and the errors of the result."""
    paths = written if isinstance(written, tuple) else (written,)
    names, out = " ".join(path.name for path in paths), folder / "result.h5"
    if row.kind == "scan":
        run("reconstruct", *paths, "--out", out)
        return f"`reconstruct {names}`", errors_of(out)
    if row.kind == "maps":
        ptyxrf.write_scan(folder / "scan.h5", perfect(True, False, False))
        run("reconstruct", folder / "scan.h5", "--maps", *paths, "--out", out)
        return f"`reconstruct scan.h5 --maps {names}`", errors_of(out)
    run("prepare", *paths, *row.flags, "--out", folder / "scan.h5")
    run("reconstruct", folder / "scan.h5", "--out", out)
    flags = " ".join(f'"{word}"' if " " in word else word for word in row.flags)
    return f"`prepare {names}{' ' + flags if flags else ''}`, `reconstruct`", errors_of(out)


def error(values: np.ndarray, true: np.ndarray, mean: bool) -> float:
    """Return the error in the lit area as a fraction of the truth (without its mean).

    What patterns do not tell (scale, shift, ramp of the phase) is removed.
    """
    lit = ptyxrf.illuminated_area(truth().perfect())
    part = tuple(slice(min(sizes)) for sizes in zip(values.shape, true.shape, strict=True))
    values, true, lit = values[part], true[part], lit[part]
    left = (align(values, true, lit, blind=True) - true)[lit]
    return float(np.linalg.norm(left) / np.linalg.norm((true - (true[lit].mean() if mean else 0))[lit]))


def errors_of(path: Path) -> list[float]:
    """Return the error of the object of a result and, of a joint fit, those of the maps of `NAMES`."""
    result, symbols = ptyxrf.read_result(path), [name.split("_")[0] for name in read_placement(path).names]
    chosen = [result.elements[symbols.index(name)] for name in NAMES] if symbols else []
    maps = zip(chosen, truth().elements, strict=bool(chosen))
    return [error(result.object, truth().object, True), *(error(found, true, False) for found, true in maps)]


@cache
def own_errors(probe: bool, joint: bool, live: bool) -> list[float]:
    """Return the errors of a scan file of ptyxrf."""
    with tempfile.TemporaryDirectory() as folder:
        ptyxrf.write_scan(Path(folder) / "own.h5", perfect(probe, joint, live))
        run("reconstruct", Path(folder) / "own.h5")
        return errors_of(Path(folder) / "own-result.h5")


def line_of(row: Row) -> str:
    """Return the line of the table of a format."""
    joint, probe = row.joint or row.kind == "maps", row.probe or row.kind == "maps"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        by = f"{row.program} {version(row.program)}" if row.program else "layout"
        try:
            written = row.write(folder)
        except ImportError:
            if row.layout is None:
                raise
            by, written = "layout", row.layout(folder)
        words, found = read(row, written, folder)
    own = own_errors(probe, joint, row.live)
    pairs = [f"{one:.4f} / {other:.4f}" for one, other in zip(found, own, strict=True)]
    return f"| {row.name} | {by} | {words} | {pairs[0]} | {', '.join(pairs[1:])} |"


def main() -> int:
    """Print the table; the code is 1 where a format fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[""], metavar="WORD,...")
    chosen = parser.parse_args().only
    print("| format | written by | command | object error / own file | maps Fe, Ca |\n|---|---|---|---|---|")
    failed = 0
    warnings.simplefilter("ignore")
    for row in rows():
        if any(word in row.name for word in chosen):
            try:
                print(line_of(row), flush=True)
            except Exception as problem:  # one format does not hide the others
                failed += 1
                print(f"| {row.name} | | **failed**: {type(problem).__name__}: {problem} | | |", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
