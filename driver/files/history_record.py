"""The history of a reconstruction in a file."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from ptyxrf.driver.data.history import History, IterationRecord
from ptyxrf.driver.files.cxi import ENTRY
from ptyxrf.driver.files.hdf5_reader import Hdf5Reader
from ptyxrf.driver.files.hdf5_writer import Hdf5Writer

HISTORY = f"{ENTRY}/history_1"

#: Columns of the history: the numbers of a record with their dtypes.
COLUMNS = {
    record_field.name: np.dtype(np.int64 if record_field.type == "int" else np.float64)
    for record_field in fields(IterationRecord)
    if record_field.type in ("int", "float")
}

#: Columns that histories of earlier versions do not have; they are written where they hold numbers.
LATER_COLUMNS = ("ptychography_floor", "prior_loss")


def write_history(writer: Hdf5Writer, history: History) -> None:
    """Write the history as columns of one length; viewers plot the loss over the iterations."""
    writer.group(HISTORY, "NXdata", signal="loss", axes=["iteration"])
    for name, dtype in COLUMNS.items():
        column = history[name].astype(dtype)
        if name not in LATER_COLUMNS:
            writer.array(f"{HISTORY}/{name}", column)
        elif not np.isnan(column).all():
            writer.optional(f"{HISTORY}/{name}", column)
    writer.texts(f"{HISTORY}/note", list(history["note"]))
    names = list(dict.fromkeys(name for record in history for name in record.errors))
    if not names:
        return
    writer.texts(f"{HISTORY}/error_names", names)
    writer.note_optional(f"{HISTORY}/error_names")
    for i, name in enumerate(names):
        writer.array(f"{HISTORY}/error_{i + 1}", history[name].astype(np.float64), long_name=name)
    # A record without an error is not a record whose error is NaN.
    present = np.array([[name in record.errors for name in names] for record in history], dtype=np.uint8)
    writer.array(f"{HISTORY}/errors_present", present)


def read_history(reader: Hdf5Reader, stage: str) -> History:
    """Return what `write_history` wrote, of a stage."""
    columns: dict[str, list] = {}
    for name, dtype in COLUMNS.items():
        if name in LATER_COLUMNS and reader.optional_dataset(f"{HISTORY}/{name}") is None:
            continue
        column = np.asarray(reader.array(f"{HISTORY}/{name}"))
        if column.ndim != 1 or column.dtype.kind != dtype.kind:
            raise reader.error(
                f"{HISTORY}/{name}",
                f"expected a number of type {dtype} for each record, got {column.dtype} of shape "
                f"{column.shape}",
            )
        columns[name] = column.tolist()
    columns["note"] = reader.texts(f"{HISTORY}/note")
    length = len(columns["iteration"])
    for name, values in columns.items():
        if len(values) != length:
            raise reader.error(f"{HISTORY}/{name}", f"expected {length} records, got {len(values)}")
    errors: list[dict[str, float]] = [{} for _ in range(length)]
    if reader.optional_dataset(f"{HISTORY}/error_names") is not None:
        names = reader.texts(f"{HISTORY}/error_names")
        place = f"{HISTORY}/errors_present"
        present = np.asarray(reader.array(place))
        if present.shape != (length, len(names)):
            raise reader.error(place, f"expected shape {(length, len(names))}, got {present.shape}")
        for i, name in enumerate(names):
            place = f"{HISTORY}/error_{i + 1}"
            column = np.asarray(reader.array(place))
            if column.shape != (length,) or column.dtype.kind != "f":
                raise reader.error(
                    place, f"expected {length} numbers, got {column.dtype} of shape {column.shape}"
                )
            for record, value, known in zip(errors, column.tolist(), present[:, i], strict=True):
                if known:
                    record[name] = value
    return History(
        IterationRecord(
            **{name: values[i] for name, values in columns.items()}, errors=errors[i], stage=stage
        )
        for i in range(length)
    )
