"""Joint reconstruction of X-ray ptychography and X-ray fluorescence.

One nonlinear least-squares problem with shared unknowns, solved by a matrix-free truncated Newton method.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ptyxrf.driver.checkpoint import remove_checkpoints
    from ptyxrf.driver.dense_hessian import dense_hessian
    from ptyxrf.driver.errors import measure_errors
    from ptyxrf.driver.geometry import JOULES_PER_KEV, Geometry
    from ptyxrf.driver.history import IterationRecord, Reason
    from ptyxrf.driver.maps_file import attach_maps, read_maps
    from ptyxrf.driver.objective import Objective
    from ptyxrf.driver.reconstruct import reconstruct
    from ptyxrf.driver.result import Result, TiledResult
    from ptyxrf.driver.result_file import read_result, write_result
    from ptyxrf.driver.scan import Scan
    from ptyxrf.driver.scan_file import read_scan, write_scan
    from ptyxrf.driver.simulate import simulate
    from ptyxrf.driver.specimens import Specimen, from_images, read_image
    from ptyxrf.driver.spectrum import Spectrum, spectrum
    from ptyxrf.driver.watchdog import watched
    from ptyxrf.driver.zone_plate import zone_plate_probe

__version__ = version("ptyxrf")

# Names are imported when they are first used: `ptyxrf --help` shall not wait for numba and FFTW.
_MODULES = {
    "JOULES_PER_KEV": "geometry",
    "Geometry": "geometry",
    "IterationRecord": "history",
    "Objective": "objective",
    "Reason": "history",
    "Result": "result",
    "Scan": "scan",
    "Specimen": "specimens",
    "Spectrum": "spectrum",
    "TiledResult": "result",
    "attach_maps": "maps_file",
    "dense_hessian": "dense_hessian",
    "from_images": "specimens",
    "measure_errors": "errors",
    "read_image": "specimens",
    "read_maps": "maps_file",
    "read_result": "result_file",
    "read_scan": "scan_file",
    "reconstruct": "reconstruct",
    "remove_checkpoints": "checkpoint",
    "simulate": "simulate",
    "spectrum": "spectrum",
    "watched": "watchdog",
    "write_result": "result_file",
    "write_scan": "scan_file",
    "zone_plate_probe": "zone_plate",
}

__all__ = [
    "JOULES_PER_KEV",
    "Geometry",
    "IterationRecord",
    "Objective",
    "Reason",
    "Result",
    "Scan",
    "Specimen",
    "Spectrum",
    "TiledResult",
    "attach_maps",
    "dense_hessian",
    "from_images",
    "measure_errors",
    "read_image",
    "read_maps",
    "read_result",
    "read_scan",
    "reconstruct",
    "remove_checkpoints",
    "simulate",
    "spectrum",
    "watched",
    "write_result",
    "write_scan",
    "zone_plate_probe",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"ptyxrf.driver.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
