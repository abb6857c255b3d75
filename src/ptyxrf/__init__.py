"""Joint reconstruction of X-ray ptychography and X-ray fluorescence.

One nonlinear least-squares problem with shared unknowns, solved by a matrix-free truncated Newton method.
"""

from importlib.metadata import version as _version

from ptyxrf.driver.errors import measure_errors
from ptyxrf.driver.geometry import JOULES_PER_KEV, Geometry
from ptyxrf.driver.history import IterationRecord, Reason
from ptyxrf.driver.maps_file import attach_maps, read_maps
from ptyxrf.driver.objective import Objective
from ptyxrf.driver.reconstruct import reconstruct
from ptyxrf.driver.result import Result
from ptyxrf.driver.result_file import read_result, write_result
from ptyxrf.driver.scan import Scan
from ptyxrf.driver.scan_file import read_scan, write_scan
from ptyxrf.driver.simulate import simulate
from ptyxrf.driver.specimens import Specimen, from_images, read_image
from ptyxrf.driver.zone_plate import zone_plate_probe

__version__ = _version("ptyxrf")

__all__ = [
    "JOULES_PER_KEV",
    "Geometry",
    "IterationRecord",
    "Objective",
    "Reason",
    "Result",
    "Scan",
    "Specimen",
    "attach_maps",
    "from_images",
    "measure_errors",
    "read_image",
    "read_maps",
    "read_result",
    "read_scan",
    "reconstruct",
    "simulate",
    "write_result",
    "write_scan",
    "zone_plate_probe",
]
