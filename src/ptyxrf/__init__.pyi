# The public names and where they live; `__init__.py` loads each from here when it is first used.
from .driver.analysis.dense_hessian import dense_hessian
from .driver.analysis.export import export_result
from .driver.analysis.inspection import Finding, ScanInformation, inspect_scan
from .driver.analysis.spectrum import Spectrum, spectrum
from .driver.command.progress import progress
from .driver.data.count_maps import attach_maps
from .driver.data.geometry import JOULES_PER_KEV, Geometry
from .driver.data.history import History, IterationRecord, Reason
from .driver.data.optical_constants import optical_constants
from .driver.data.quality import Quality
from .driver.data.refined_sensitivity import RefinedSensitivity
from .driver.data.result import NotGathered, Result
from .driver.data.scan import Scan
from .driver.files.confinement import confine
from .driver.files.file_errors import DamagedFile, FileError, UnwritableFile
from .driver.files.maps_file import read_maps
from .driver.files.probe_file import read_probe
from .driver.files.result_file import read_result, write_result
from .driver.files.scan_file import read_scan, write_scan
from .driver.job.watchdog import watched
from .driver.objective.links import LinearLink, Link
from .driver.objective.objective import Objective
from .driver.objective.point import Point
from .driver.objective.refractive_link import RefractiveLink
from .driver.objective.settings import Model
from .driver.pictures.result_picture import draw_report, write_report
from .driver.planning.machine import Machine, read_machine
from .driver.planning.plan import Plan, make_plan
from .driver.planning.problem_size import ProblemSize
from .driver.preparation.calibrate import calibrate
from .driver.preparation.calibration_settings import Calibration
from .driver.preparation.prepare import Prepared, prepare
from .driver.preparation.settings import Preparation
from .driver.reconstruction.accuracy import measure_errors
from .driver.reconstruction.alignment import align
from .driver.reconstruction.checkpoint import remove_checkpoints
from .driver.reconstruction.compilation import compile_kernels
from .driver.reconstruction.illumination import illuminated_area
from .driver.reconstruction.reconstruct import reconstruct
from .driver.reconstruction.reporting import View
from .driver.reconstruction.settings import Settings
from .driver.simulation.images import from_images, read_image
from .driver.simulation.settings import SimulationSettings
from .driver.simulation.simulate import simulate
from .driver.simulation.specimens import Specimen
from .driver.simulation.zone_plate import zone_plate_probe
from .driver.uncertainty.expected import Expected, ExpectedErrors, expected_errors
from .driver.uncertainty.settings import Expectation, Sampling
from .driver.uncertainty.uncertainty import Uncertainty, uncertainty

__version__: str

__all__ = [
    "JOULES_PER_KEV",
    "Calibration",
    "DamagedFile",
    "Expectation",
    "Expected",
    "ExpectedErrors",
    "FileError",
    "Finding",
    "Geometry",
    "History",
    "IterationRecord",
    "LinearLink",
    "Link",
    "Machine",
    "Model",
    "NotGathered",
    "Objective",
    "Plan",
    "Point",
    "Preparation",
    "Prepared",
    "ProblemSize",
    "Quality",
    "Reason",
    "RefinedSensitivity",
    "RefractiveLink",
    "Result",
    "Sampling",
    "Scan",
    "ScanInformation",
    "Settings",
    "SimulationSettings",
    "Specimen",
    "Spectrum",
    "Uncertainty",
    "UnwritableFile",
    "View",
    "align",
    "attach_maps",
    "calibrate",
    "compile_kernels",
    "confine",
    "dense_hessian",
    "draw_report",
    "expected_errors",
    "export_result",
    "from_images",
    "illuminated_area",
    "inspect_scan",
    "make_plan",
    "measure_errors",
    "optical_constants",
    "prepare",
    "progress",
    "read_image",
    "read_machine",
    "read_maps",
    "read_probe",
    "read_result",
    "read_scan",
    "reconstruct",
    "remove_checkpoints",
    "simulate",
    "spectrum",
    "uncertainty",
    "watched",
    "write_report",
    "write_result",
    "write_scan",
    "zone_plate_probe",
]
