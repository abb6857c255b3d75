"""Files that subcommands write: checked before anything is computed, and written at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ptyxrf.driver.files.output_names import named_after

# Numba, matplotlib and h5py are imported where they are used: the help must not wait for them.
if TYPE_CHECKING:
    from ptyxrf.driver.command.tables import Reading
    from ptyxrf.driver.data.result import Result
    from ptyxrf.driver.data.scan import Scan

Answer = TypeVar("Answer")


def is_first(comm: Any) -> bool:
    """Return whether this process is the first of its ranks."""
    return comm is None or comm.Get_rank() == 0


def on_first_rank(comm: Any, function: Callable[[], Answer]) -> Answer:
    """Return on all ranks what a function returns on the first, or raise what it raises."""
    from ptyxrf.parallel.startup import from_first_rank

    return from_first_rank(comm, function)


def check_outputs(paths: Sequence[Path], inputs: Sequence[str | None]) -> None:
    """Refuse outputs that cannot be written, or would replace an input or each other.

    Raises
    ------
    ValueError
        Naming the path.
    """
    from ptyxrf.driver.files.whole_file import check_writable

    for number, path in enumerate(paths):
        if os.path.realpath(path) in map(os.path.realpath, paths[:number]):
            raise ValueError(f"{path}: is the name of two outputs")
        for source in inputs:
            if source is not None and os.path.realpath(path) == os.path.realpath(source):
                raise ValueError(f"{path}: is an input, and cannot be the output too")
        check_writable(path)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise ValueError(f"{folder}: expected a folder, got a file") from None


def report_path(result: Path) -> Path:
    """Return where the picture of a result goes."""
    if result.is_dir():
        raise ValueError(f"{result}: cannot be written, it is a folder")
    if result.suffix == ".png":
        raise ValueError(f"{result}: expected another ending than .png, which is that of the report")
    return named_after(result, ".png")


def confine_if(reading: Reading) -> None:
    """Confine this rank to the folders of the files that it reads, where that is asked for."""
    from ptyxrf.driver.files.confinement import confine

    if reading.confined:
        confine()


def read_scan_file(path: str, reading: Reading, *, check: bool = True) -> Scan:
    """Read a scan, or a part of it, with its positions turned and its probe; see `read_scan`."""
    from ptyxrf.driver.files.probe_file import read_probe
    from ptyxrf.driver.files.scan_file import read_scan

    words = ("swap", "flip_rows", "flip_columns", "frames", "negative_to_zero")
    scan = read_scan(path, check=check, **{name: getattr(reading, name) for name in words})
    return scan if reading.probe is None else scan.replace(probe=read_probe(reading.probe))


def write_outputs(result: Result, scan: Scan, out: Path, *, picture: bool) -> None:
    """Write a result and, if asked to, its picture; all ranks take part."""
    from ptyxrf.driver.files.result_file import write_result

    write_result(out, result, scan)
    if picture:
        from ptyxrf.driver.pictures.result_picture import write_report

        write_report(report_path(out), result, scan)
