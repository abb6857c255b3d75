"""What an HDF5 file points to: links into other files, sources of virtual datasets, raw files.

HDF5 follows all of them unasked. It waits at a pipe, ends the process on a virtual dataset that leads back to
itself, and reads any file as raw values.
"""

from __future__ import annotations

import os
from pathlib import Path

import h5py

from ptyxrf.driver.files.confinement import is_confined, leads_out
from ptyxrf.driver.files.hdf5_opening import READ_ERRORS, opened

#: Soft links that are followed one after the other; HDF5 gives up at as many.
LINKS = 16


def link_problem(group: h5py.Group, name: str, links: int = LINKS) -> str:
    """Return what is wrong with the links on the way to a name; empty where nothing is.

    Parameters
    ----------
    group : h5py.Group
    name : str
    links : int
        Soft links that may be followed.
    """
    here = group.id  # objects of h5py would take most of the time
    parts = [part for part in name.split("/") if part not in ("", ".")]
    for place, part in enumerate(parts, 1):
        key = part.encode(errors="surrogateescape")
        if not isinstance(here, h5py.h5g.GroupID) or not here.links.exists(key):
            return ""
        kind = here.links.get_info(key).type
        if kind != h5py.h5l.TYPE_HARD and (problem := _link_problem(h5py.Group(here), part, kind, links)):
            return problem
        if place == len(parts):
            return ""
        try:
            hard = kind == h5py.h5l.TYPE_HARD
            here = h5py.h5o.open(here, key) if hard else h5py.Group(here)[part].id
        except KeyError:
            return ""
    return ""


def _link_problem(group: h5py.Group, name: str, kind: int, links: int) -> str:
    """Return what is wrong with a link of a group that is not a hard one."""
    if kind == h5py.h5l.TYPE_EXTERNAL:
        link = group.get(name, getlink=True)
        folder = _folder(group.file)
        target = folder / link.filename
        if leads_out(target, folder):
            return f"is a link to {link.path} in {link.filename}, which is no file in its folder"
        if target.exists() and not target.is_file():
            return f"is a link to {link.path} in {link.filename}, which is no file"
    elif kind == h5py.h5l.TYPE_SOFT and links:
        path = group.get(name, getlink=True).path
        return link_problem(group.file if path.startswith("/") else group, path, links - 1)
    return ""


def source_problem(dataset: h5py.Dataset) -> str:
    """Return what is wrong with the places of a dataset's values in other files; empty where nothing is.

    HDF5 reads missing sources of virtual datasets as zeros.
    """
    if dataset.is_virtual:
        return _virtual_problem(dataset, [], set())
    external = dataset.external or ()
    folder = _folder(dataset.file) if external else Path()
    for name, _, _ in external:
        target = Path(os.path.realpath(folder / name))
        if not target.is_relative_to(folder):
            return f"its values are in {name}, outside the folder of the file"
        if target.exists() and not target.is_file():
            return f"its values are in {name}, which is no file"
    return ""


def _virtual_problem(dataset: h5py.Dataset, way: list[tuple[str, str]], known: set[tuple[str, str]]) -> str:
    """Look at the sources of a virtual dataset, and at theirs.

    Parameters
    ----------
    dataset : h5py.Dataset
    way : list of (str, str)
        Files and datasets that led here.
    known : set of (str, str)
        Those that are good.
    """
    key = os.path.realpath(dataset.file.filename), str(dataset.name)
    if key in way:
        return "its values lead back to themselves"
    if key in known:
        return ""
    for place, source in sorted({(part.file_name, part.dset_name) for part in dataset.virtual_sources()}):
        series = "%" in place + source or os.environ.get("HDF5_VDS_PREFIX")
        folder = _folder(dataset.file)
        if is_confined() and (series or (place != "." and leads_out(folder / place, folder))):
            return f"its values are in {source} of {place}, which is no file in its folder"
        if series:
            continue  # files or folders that only HDF5 knows
        gone = f"its values are in {source} of {place}, which cannot be opened"
        try:
            with opened_source(dataset.file, place) as file:
                there = None if link_problem(file, source) else file.get(source)
                if not isinstance(there, h5py.Dataset):
                    return gone
                way_there = [*way, key]
                problem = (
                    _virtual_problem(there, way_there, known) if there.is_virtual else source_problem(there)
                )
                if problem:
                    return problem
        except READ_ERRORS:
            return gone
    known.add(key)
    return ""


def opened_source(file: h5py.File, place: str) -> h5py.File:
    """Open a file that a virtual dataset names, where HDF5 looks for it."""
    folder = _folder(file)
    beside = folder / place, Path(place), folder / Path(place).name
    for path in (Path(file.filename),) if place == "." else beside:
        if path.is_file():
            return opened(path)
    raise FileNotFoundError(place)


def _folder(file: h5py.File) -> Path:
    """Return the folder of a file; HDF5 follows links to the file, too."""
    return Path(os.path.realpath(file.filename)).parent
