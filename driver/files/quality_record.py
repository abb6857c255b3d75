"""The quality of a fit in a result file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.quality import Quality
from ptyxrf.driver.files.cxi import ENTRY
from ptyxrf.driver.files.hdf5_reader import Hdf5Reader
from ptyxrf.driver.files.hdf5_writer import Hdf5Writer

QUALITY = f"{ENTRY}/process_1/quality"
#: How the file holds whether a fit is good.
GOOD = {True: 1, False: 0, None: -1}
NUMBERS = ("misfit_over_floor", "noise_floor", "relative_misfit")
#: Arrays, which are there where the noise is known.
ARRAYS = ("per_position", "per_pixel", "chi_square", "freedom", "weakening")


def write_quality(writer: Hdf5Writer, quality: Quality | None) -> None:
    """Write the quality of a fit; None: nothing."""
    if quality is None:
        return
    writer.group(QUALITY, "NXdata", signal="per_pixel")
    writer.text(f"{QUALITY}/verdict", quality.verdict)
    writer.note_optional(f"{QUALITY}/verdict")
    writer.scalar(f"{QUALITY}/good", np.int64(GOOD[quality.good]))
    for name in NUMBERS:
        writer.scalar(f"{QUALITY}/{name}", np.float64(getattr(quality, name)))
    if quality.distortion is not None:
        writer.scalar(f"{QUALITY}/distortion", np.float64(quality.distortion))
        writer.note_optional(f"{QUALITY}/distortion")
    for name in ARRAYS:
        writer.optional(f"{QUALITY}/{name}", getattr(quality, name))
    if quality.link:
        writer.text(f"{QUALITY}/link", quality.link)
        writer.note_optional(f"{QUALITY}/link")
        writer.scalar(f"{QUALITY}/link_good", np.int64(GOOD[quality.link_good]))
        writer.scalar(f"{QUALITY}/object_shift", np.float64(quality.object_shift))


def read_quality(reader: Hdf5Reader) -> Quality | None:
    """Return what `write_quality` wrote; None where the file never had it.

    Raises
    ------
    ValueError
        Naming file and dataset if something is missing or damaged.
    """
    if reader.optional_dataset(f"{QUALITY}/verdict") is None:
        return None
    ratio, floor, relative = (float(one_number(reader, f"{QUALITY}/{name}", "f")) for name in NUMBERS)
    return Quality(
        misfit_over_floor=ratio,
        noise_floor=floor,
        relative_misfit=relative,
        per_position=optional_numbers(reader, f"{QUALITY}/per_position", 1),
        per_pixel=optional_numbers(reader, f"{QUALITY}/per_pixel", 2),
        verdict=reader.text(f"{QUALITY}/verdict"),
        good=_judgement(reader, f"{QUALITY}/good"),
        distortion=_distortion(reader),
        chi_square=optional_numbers(reader, f"{QUALITY}/chi_square", 1),
        freedom=optional_numbers(reader, f"{QUALITY}/freedom", 1),
        weakening=optional_numbers(reader, f"{QUALITY}/weakening", 1),
        **_of_link(reader),
    )


def _distortion(reader: Hdf5Reader) -> float | None:
    name = f"{QUALITY}/distortion"
    return None if reader.optional_dataset(name) is None else float(one_number(reader, name, "f"))


def _of_link(reader: Hdf5Reader) -> dict[str, Any]:
    """Return what a joint fit says of its link; nothing where the file never had it."""
    if reader.optional_dataset(f"{QUALITY}/link") is None:
        return {}
    return {
        "link": reader.text(f"{QUALITY}/link"),
        "link_good": _judgement(reader, f"{QUALITY}/link_good"),
        "object_shift": float(one_number(reader, f"{QUALITY}/object_shift", "f")),
    }


def _judgement(reader: Hdf5Reader, name: str) -> bool | None:
    code = one_number(reader, name, "i")
    meanings = {number: good for good, number in GOOD.items()}
    if code not in meanings:
        raise reader.error(name, f"expected 1, 0 or -1, got {code}")
    return meanings[int(code)]


def one_number(reader: Hdf5Reader, name: str, kind: str) -> Any:
    """Return one number of a kind of dtype."""
    value = np.asarray(reader.array(name))
    if value.ndim or value.dtype.kind != kind:
        raise reader.error(name, f"expected one number, got {value.dtype} of shape {value.shape}")
    return value[()]


def optional_numbers(reader: Hdf5Reader, name: str, ndim: int) -> NDArray[np.float64] | None:
    """Return numbers in some dimensions, NaN where there are none; None where the file never had them."""
    values = reader.optional(name)
    if values is None:
        return None
    if np.ndim(values) != ndim or values.dtype.kind != "f":
        raise reader.error(
            name, f"expected numbers in {ndim} dimension(s), got {values.dtype} of shape {np.shape(values)}"
        )
    if np.isinf(values).any():
        raise reader.error(name, "expected finite numbers, got infinity")
    return values
