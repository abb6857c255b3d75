"""Maps of PyMca's batch fits: areas of the lines of each element, with their uncertainties.

The layout is that of PyMca's ``OutputBuffer``: a process with the group ``results``, in which ``parameters``
and ``uncertainties`` have an image for each line.
"""

from __future__ import annotations

import re

import h5py
import numpy as np

from ptyxrf.driver.data.count_maps import CountMaps
from ptyxrf.driver.files.hdf5_reader import MOST_IMAGE_VALUES, Hdf5Reader
from ptyxrf.driver.files.readers.map_arrays import Images
from ptyxrf.driver.files.readers.reader import MapsWanted, Reader

#: Names of lines, such as Fe_K; what else a fit has (its background, the scattered beam) is no element.
LINE = re.compile(r"[A-Z][a-z]?_(K|L[123]?|M[1-5]?|Ka|Kb)$")


def _results(reader: Hdf5Reader) -> str | None:
    """Return the first group of results, or None."""
    found: list[str] = []

    def visit(name: str | bytes, item: h5py.HLObject) -> bool | None:
        text = name if isinstance(name, str) else ""  # h5py gives bytes where they are no UTF-8
        if isinstance(item, h5py.Group) and text.endswith("/results") and "parameters" in item:
            found.append(f"/{text}")
            return True
        return None

    reader.file.visititems(visit)
    return found[0] if found else None


def _read(reader: Hdf5Reader, wanted: MapsWanted) -> CountMaps:
    results = _results(reader)
    assert results is not None
    group = f"{results}/parameters"
    there = reader.members(group)
    names = [name for name in there if LINE.match(name) and reader.dataset(f"{group}/{name}").ndim == 2]
    if not names:
        raise reader.error(group, f"no lines of elements; it has {', '.join(there)}")
    counts = _images(reader, group, names)
    errors = f"{results}/uncertainties"
    known = reader.has(errors) and all(reader.has(f"{errors}/{name}") for name in names)
    # PyMca has no coordinates: points are one unit apart
    rows, columns = counts.shape[1:]
    return CountMaps(
        element_names=names,
        counts=counts,
        x=np.arange(columns, dtype=np.float64),
        y=np.arange(rows, dtype=np.float64),
        scalers={},
        scaler_units={},
        units=["counts"] * len(names),
        title=f"{reader.path} {results}",
        notes=["areas of fitted lines" + (", with their uncertainties as variances" if known else "")],
        variances=_images(reader, errors, names) ** 2 if known else None,
    )


def _images(reader: Hdf5Reader, group: str, names: list[str]) -> Images:
    most = MOST_IMAGE_VALUES // len(names)
    return np.stack([np.asarray(reader.array(f"{group}/{name}", most), np.float64) for name in names])


READERS = (
    Reader(
        "PyMca",
        "PyMca, ewoksfluo",
        "maps",
        "areas of fitted lines, uncertainties",
        lambda reader: _results(reader) is not None,
        _read,
    ),
)
