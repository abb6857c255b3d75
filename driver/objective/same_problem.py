"""Scan and settings of a problem, compared between the ranks that share it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ptyxrf.driver.data.digest import SMALL, digest_of
from ptyxrf.driver.data.lazy_arrays import is_lazy
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.data.setting import SettingsGroup
from ptyxrf.parallel.agreement import require_same

#: Arrays with an entry for each position or pixel, of which some rows are compared.
LARGE = ("patterns", "fluorescence", "mask")
#: Rows of these that are compared where they are in memory.
ROWS = 16

#: Packages whose version has an influence on what ranks compute or send.
PACKAGES = ("ptyxrf", "numpy", "numba", "mpi4py")


def require_same_problem(
    comm: Any,
    scan: Scan,
    settings: SettingsGroup,
    start: Mapping[str, ArrayLike],
    others: Mapping[str, str] | None = None,
) -> None:
    """Refuse a scan, settings or a start that differ between ranks; all ranks take part.

    Data that are read from files are compared by shape and type; of data in memory, a few rows are.

    Parameters
    ----------
    comm : communicator or None
    scan : Scan
    settings : SettingsGroup
    start : mapping
        Starting values by the names of the unknowns.
    others : mapping of str to str, optional
        Texts that identify further arguments.

    Raises
    ------
    ValueError
        On every rank, naming what differs and on which ranks.
    """
    if comm is None or comm.Get_size() == 1:
        return
    arguments = {f"scan.{name}": digest_of(getattr(scan, name)) for name in (*SMALL, "fluorescence_exposure")}
    arguments |= {f"scan.{name}": _sample_of(getattr(scan, name)) for name in LARGE}
    arguments |= {f"scan.truth {name}": str(array.shape) for name, array in scan.truth.items()}
    arguments["scan.element_names"] = repr(scan.element_names)
    arguments |= {name: _text_of(value) for name, value in settings.as_dict().items()}
    arguments |= {f"start {name}": digest_of(value) for name, value in start.items()}
    arguments |= {f"version of {name}": _version_of(name) for name in PACKAGES}
    require_same(comm, arguments | dict(others or {}))


def _sample_of(array: Any) -> str:
    if array is None:
        return "none"
    kind = f"{np.dtype(array.dtype).str} {tuple(array.shape)}"
    if is_lazy(array) or not array.size:
        return kind
    rows = array.reshape(-1, array.shape[-1])
    return f"{kind} {digest_of(rows[:: max(1, len(rows) // (ROWS * array.shape[-1]))])}"


def _text_of(value: Any) -> str:
    if hasattr(value, "settings"):  # a link
        parts = {name: digest_of(part) for name, part in value.settings.items()}
        return f"{type(value).__qualname__} {parts}"
    return digest_of(value) if isinstance(value, np.ndarray) else repr(value)


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
