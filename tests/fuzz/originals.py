"""Whole files of every kind that is read, and what reading one of them gives."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

from ptyxrf.driver.command.settings_file import read_settings, settings_text
from ptyxrf.driver.command.tables import TABLES, Files, Reconstruction
from ptyxrf.driver.data.count_maps import attach_maps
from ptyxrf.driver.data.geometry import JOULES_PER_KEV, Geometry
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.files.maps_file import read_maps
from ptyxrf.driver.files.result_file import read_result, write_result
from ptyxrf.driver.files.scan_file import read_scan, write_scan
from ptyxrf.driver.objective.patterns import load_amplitudes
from ptyxrf.driver.planning.machine import Machine, read_machine, write_machine
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.simulation.images import read_image
from ptyxrf.driver.simulation.simulate import simulate

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from file_examples import example_result, write_maps

DETECTOR = "/entry_1/instrument_1/detector_1"
SOURCE = "/entry_1/instrument_1/source_1"

#: Measured maps; the kind is left out where they are not at hand.
MEASURED_MAPS = "axo_std_maps_v9.h5"


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes
    ----------
    write : callable
        Writes a whole one to a path.
    read : callable
        Reads one: name -> array or anything that compares.
    own : bool
        Written by this package, with checksums: any damage of its bytes that changes what is read has to be
        noticed.
    hdf5 : bool
        Whether damage can be done through HDF5.
    ending : str
        Of the name of the file.
    """

    write: Callable[[Path], Any]
    read: Callable[[Path], dict[str, Any]]
    own: bool
    hdf5: bool = True
    ending: str = ".h5"


def read_as_scan(path: Path) -> dict[str, Any]:
    """Read a scan and all that is lazy in it, as a reconstruction does."""
    scan = read_scan(path)
    amplitudes, *facts = load_amplitudes(scan, np.arange(scan.N), np.float64)
    names = "positions probe shape attenuation element_names exposure sensitivity background count_scale"
    names += " fluorescence_count_scale sampling blur geometry units title"
    values = {name: getattr(scan, name) for name in names.split()}
    values |= {"amplitudes": amplitudes, "facts": facts, "truth": sorted(scan.truth)}
    values |= {f"truth {name}": np.asarray(array) for name, array in scan.truth.items()}
    for name in ("mask", "fluorescence"):
        lazy = getattr(scan, name)
        values[name] = None if lazy is None else np.asarray(lazy)
    return values


def read_as_maps(path: Path) -> dict[str, Any]:
    """Read maps and put them onto a raster of as many points."""
    maps = read_maps(path)
    rows, columns = len(maps.y), len(maps.x)
    positions = np.stack(np.indices((rows, columns)), axis=-1).reshape(-1, 2).astype(float)
    scan = Scan(np.ones((len(positions), 4, 4), np.uint8), positions, np.ones((4, 4)))
    joined = attach_maps(scan, maps)
    values = {name: getattr(maps, name) for name in ("element_names", "counts", "x", "y", "units")}
    return values | {"exposure": joined.exposure, "fluorescence": joined.fluorescence}


def read_as_result(path: Path) -> dict[str, Any]:
    """Read a result."""
    return _values_of(read_result(path))


def _values_of(result: Result) -> dict[str, Any]:
    names = "object elements probe history reason method settings predicted_fluorescence pattern_misfit"
    return {name: getattr(result, name) for name in names.split()}


@functools.cache
def _interrupted_scan() -> Scan:
    return simulate("cells", m=12, per_side=4, elements=2, seed=2, photons=50.0)


def _interrupted(path: Path, **settings: Any) -> Result:
    """Reconstruct, up to a checkpoint or on from it."""
    return reconstruct(
        _interrupted_scan(), checkpoint=path, checkpoint_seconds=0, precision="double", refine_probe=True,
        noise_stop=False, **settings,
    )  # fmt: skip


def write_interrupted(path: Path) -> None:
    """Write a checkpoint after the second iteration."""
    _interrupted(path, max_iterations=2, checkpoint_iterations=2)


def read_as_checkpoint(path: Path) -> dict[str, Any]:
    """Go on from a checkpoint, by an iteration into which everything goes that is in one."""
    result = _interrupted(path, max_iterations=3, resume=True)
    last = result.history[-1]
    # of this run, not from the file: the time of its iteration, and where its checkpoint is
    result.history[-1] = replace(last, seconds=0.0)
    del result.settings["checkpoint"]
    return _values_of(result)


def own_scan(sampling: str, **changes: Any) -> Callable[[Path], None]:
    """Return a writer of a simulated scan."""
    arguments = {"m": 12, "per_side": 4, "elements": 2, "sampling": sampling, "photons": 50.0} | changes

    def write(path: Path) -> None:
        scan = simulate("cells", **arguments)
        mask = np.random.default_rng(1).random((scan.N, scan.m, scan.m)) > 0.05
        write_scan(path, scan.replace(mask=mask if sampling == "scan" else mask[0]))

    return write


def write_foreign(path: Path, *, libver: str, compression: str | None, rich: bool) -> None:
    """Write the CXI file of another program: old or new HDF5, compressed or not, with more or less in it."""
    rng = np.random.default_rng(4)
    m, count = 12, 20
    geometry = Geometry(8.8 * JOULES_PER_KEV, 1.95, 75e-6)
    yx = np.array([(2.1 * i, 1.7 * j) for i in range(5) for j in range(4)]) * geometry.pixel_size(m)
    probe = rng.normal(size=(1, m, m)) + 1j * rng.normal(size=(1, m, m))
    with h5py.File(path, "w", libver=libver) as file:
        file["cxi_version"] = 150
        file.create_dataset(
            f"{DETECTOR}/data",
            data=rng.poisson(9.0, (count, m, m)).astype("u2"),
            compression=compression,
            chunks=(4, m, m) if compression else None,
        )
        file["/entry_1/data_1/data"] = h5py.SoftLink(f"{DETECTOR}/data")
        file["/entry_1/data_1/translation"] = np.stack([-yx[:, 1], -yx[:, 0], np.zeros(count)], axis=1)
        file[f"{SOURCE}/energy"] = geometry.energy
        file[f"{DETECTOR}/distance"] = geometry.distance
        file[f"{DETECTOR}/x_pixel_size"] = geometry.detector_pixel
        file[f"{DETECTOR}/y_pixel_size"] = geometry.detector_pixel
        file[f"{SOURCE}/illumination" if rich else f"{SOURCE}/probe"] = probe.astype("c8")
        file[f"{DETECTOR}/data"].attrs["axes"] = "translation:y:x"
        if rich:
            file[f"{DETECTOR}/mask"] = np.where(np.eye(m) > 0, 1, 0).astype("u4")
            file[f"{DETECTOR}/exposure"] = 1 + 0.1 * rng.random(count)
            file["/entry_1/title"] = np.bytes_("a scan of another program")
            file["/entry_1/fluorescence_1/data"] = rng.poisson(30.0, (2, count)).astype("f4")
            file["/entry_1/fluorescence_1/element_names"] = np.array([b"Fe", b"Cu"])


def _write_result(path: Path) -> None:
    write_result(path, example_result(), None)


def _write_settings(path: Path) -> None:
    settings = {table: group() for table, group in TABLES.items()}
    settings["reconstruct"] = Reconstruction(
        alpha=[0.1, 2.0], max_sweeps=1e-7, refine_probe=True, probe_from_iteration=3
    )
    settings["files"] = Files(out="resultat-é.h5", maps="maps.h5", elements=["Fe", "Cu"])
    path.write_text(settings_text(settings), encoding="utf-8")


def write_image(path: Path) -> None:
    """Write a grey image with some structure."""
    grey = (np.add.outer(np.arange(24) ** 2, 7 * np.arange(20)) % 256).astype(np.uint8)
    Image.fromarray(grey).save(path)


def kinds() -> dict[str, Kind]:
    """Return all kinds that can be written here."""
    found = {
        "scan, maps on the grid": Kind(own_scan("grid"), read_as_scan, own=True),
        "scan, maps at the positions": Kind(own_scan("scan", modes=2), read_as_scan, own=True),
        "foreign CXI, old HDF5": Kind(
            lambda path: write_foreign(path, libver="earliest", compression=None, rich=False),
            read_as_scan,
            own=False,
        ),
        "foreign CXI, old HDF5, gzip": Kind(
            lambda path: write_foreign(path, libver="earliest", compression="gzip", rich=True),
            read_as_scan,
            own=False,
        ),
        "foreign CXI, new HDF5": Kind(
            lambda path: write_foreign(path, libver="latest", compression="lzf", rich=True),
            read_as_scan,
            own=False,
        ),
        "MAPS": Kind(write_maps, read_as_maps, own=False),
        "result": Kind(_write_result, read_as_result, own=True),
        "checkpoint": Kind(write_interrupted, read_as_checkpoint, own=True),
        "settings": Kind(_write_settings, read_settings, own=False, hdf5=False, ending=".toml"),
        "constants of a machine": Kind(
            lambda path: write_machine(path, Machine(name="measured")),
            lambda path: asdict(read_machine(path)),
            own=False,
            hdf5=False,
            ending=".json",
        ),
        "image, PNG": Kind(
            write_image, lambda path: {"grey": read_image(path)}, own=False, hdf5=False, ending=".png"
        ),
        "image, TIFF": Kind(
            write_image, lambda path: {"grey": read_image(path)}, own=False, hdf5=False, ending=".tif"
        ),
    }
    folder = Path(os.environ.get("PTYXRF_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
    measured = folder / MEASURED_MAPS
    if measured.exists():
        found["MAPS, measured"] = Kind(
            lambda path: path.write_bytes(measured.read_bytes()), read_as_maps, own=False
        )
    return found
