"""From raw frames and positions to a scan file: `prepare`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.geometry import Geometry
from ptyxrf.driver.data.setting import takes_settings
from ptyxrf.driver.files.chunk_writer import ChunkWriter
from ptyxrf.driver.files.hdf5_writer import writing
from ptyxrf.driver.files.scan_file import create_patterns, write_beside_patterns
from ptyxrf.driver.preparation.assembled_scan import Seen, assembled_scan
from ptyxrf.driver.preparation.beam import geometry_of
from ptyxrf.driver.preparation.findings import Findings
from ptyxrf.driver.preparation.guesses import Guesses
from ptyxrf.driver.preparation.input_files import InputFiles, NamedArray, series
from ptyxrf.driver.preparation.known_formats import with_known_formats
from ptyxrf.driver.preparation.one_pass import FramePass, Passed
from ptyxrf.driver.preparation.pairing import chosen_frames, frame_index, pair
from ptyxrf.driver.preparation.positions import Lattice, find_positions
from ptyxrf.driver.preparation.settings import Preparation
from ptyxrf.driver.preparation.starting_probe import composed
from ptyxrf.driver.preparation.survey import flat_and_dark, survey_frames
from ptyxrf.parallel.startup import from_first_rank

#: Numbers of frames that a line names, at most.
NAMED_FRAMES = 12


@dataclass(frozen=True)
class Prepared:
    """What a preparation has made.

    Attributes
    ----------
    path : Path
        The scan file.
    lines : list of str
        What was found, each with the setting that overrides it.
    recipe : Preparation
        The settings with all that was found.
    mean, highest : (m, m) array of float64
        Mean and maximum pattern.
    mask : (m, m) array of bool
        True = good.
    centre : (float, float)
        Row and column of the beam in a pattern.
    dropped : dict of str to list of int
        Reason -> frames that were left out.
    """

    path: Path
    lines: list[str]
    recipe: Preparation
    mean: NDArray[np.float64]
    highest: NDArray[np.float64]
    mask: NDArray[np.bool_]
    centre: tuple[float, float]
    dropped: dict[str, list[int]] = field(default_factory=dict)


@takes_settings(Preparation)
def prepare(
    paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: Preparation,
    report: Callable[[str], None] | None = None,
    comm: Any = None,
) -> Prepared:
    """Make a scan file of raw frames and positions, and of a probe and maps where they are there.

    What the settings leave open is found in the names, shapes, units and values of the arrays in the files. A
    sample of the frames is read first, then all of them once, in batches.

    Parameters
    ----------
    paths : path-like or sequence of path-like
        HDF5, NPZ, NPY, TIFF files, and tables of text, in any number.
    out : path-like
        The scan file, written whole or not at all.
    {settings}
    report : callable, optional
        Gets a line of text for each thing that is found.
    comm : communicator, optional
        The first rank does the work, which files bound, and the others wait.

    Returns
    -------
    Prepared

    Raises
    ------
    ValueError
        Naming the setting that is wrong, or that is needed because nothing was found for it.
    FileNotFoundError
        A file is not there.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    return from_first_rank(comm, lambda: _prepare(given, Path(out), settings, report))


def _prepare(
    paths: Sequence[str | os.PathLike[str]],
    out: Path,
    settings: Preparation,
    report: Callable[[str], None] | None,
) -> Prepared:
    files, findings = InputFiles(paths), Findings(report)
    settings = with_known_formats(settings, files, findings)
    guesses = Guesses(files)
    source = _frames(settings, files, guesses, findings)
    count = int(np.prod(source.shape[:-2]))
    chosen = chosen_frames(settings, count)
    raw = geometry_of(settings, files, guesses, findings)
    survey = survey_frames(settings, files, guesses, source, chosen, findings, whole=raw is None)
    window = survey.window
    geometry = raw and Geometry(raw.energy, raw.distance, raw.detector_pixel * window.bin)
    lattice = Lattice(None if geometry is None else geometry.pixel_size(window.m), window.m)
    index = frame_index(settings, files, guesses, count, findings)
    wanted = count if index is None else int(index.max()) + 1
    positions = find_positions(settings, files, guesses, source, wanted, lattice, findings)
    pairing, positions = pair(settings, index, positions, chosen, count, findings)
    flat, dark = flat_and_dark(settings, files, guesses, survey, findings)
    subtracted = dark if settings.dark_use == "subtract" else None
    frame_pass = FramePass(settings, survey, pairing, flat, subtracted)
    with writing(out, source.path.stem, "data_1") as writer:
        patterns = create_patterns(
            writer, (frame_pass.count, window.m, window.m), frame_pass.dtype, resizable=True
        )
        with ChunkWriter(patterns) as chunks:
            passed = frame_pass.run(chunks)
        _tell_dropped(passed, count, findings)
        patterns.resize(len(passed.positions), axis=0)
        seen = Seen(settings, files, guesses, survey, pairing, passed, geometry, findings)
        background = (
            None if dark is None or subtracted is not None else dark / (1.0 if flat is None else flat)
        )
        scan = assembled_scan(seen, patterns, positions, background)
        write_beside_patterns(writer, scan)
    first = [
        c - (c_pixel - window.size // 2) for c, c_pixel in zip(survey.centre, window.centre, strict=True)
    ]
    return Prepared(
        path=out,
        lines=findings.lines,
        recipe=composed(settings, findings.values),
        mean=window.added(passed.sums) / len(passed.positions),
        highest=window.added(passed.highest),
        mask=np.asarray(scan.mask),
        centre=(first[0] / window.bin, first[1] / window.bin),
        dropped=passed.dropped,
    )


def _frames(settings: Preparation, files: InputFiles, guesses: Guesses, findings: Findings) -> NamedArray:
    """Return the frames as one source."""
    if settings.frames is None:
        source = guesses.frames()
        if source is None:
            there = ", ".join(f"{one.key} {one.shape}" for one in guesses.arrays[:20])
            raise ValueError(f"frames: expected a stack of frames in the files, got {there}")
        findings.tell("frames", f"{source.key} {source.shape} {source.values.dtype}", source.references)
    else:
        names = [settings.frames] if isinstance(settings.frames, str) else settings.frames
        arrays = [files.find("frames", name) for name in names]
        source = arrays[0] if len(arrays) == 1 else series(arrays)
    if len(source.shape) not in (3, 4) or source.values.dtype.kind not in "fiu":
        raise ValueError(
            f"frames: expected real (N, H, W) or (rows, columns, H, W) in {source.reference}, got "
            f"{source.values.dtype} {source.shape}"
        )
    return source


def _tell_dropped(passed: Passed, count: int, findings: Findings) -> None:
    for reason, frames in passed.dropped.items():
        named = ", ".join(map(str, frames[:NAMED_FRAMES])) + (", ..." if len(frames) > NAMED_FRAMES else "")
        findings.tell("drop_bad", f"{len(frames)} of {count} frames are {reason}, left out: {named}")
    if passed.clipped:
        findings.tell("frames", f"{passed.clipped} negative values became 0")
    if not len(passed.positions):
        raise ValueError("frames: expected some with counts, got none (see drop_bad and saturation)")
