"""Joint reconstruction of X-ray ptychography and X-ray fluorescence.

One nonlinear least-squares problem with shared unknowns, solved by a matrix-free truncated Newton method.
"""

from importlib.metadata import version as _version

from ptyxrf.driver.errors import measure_errors
from ptyxrf.driver.geometry import JOULES_PER_KEV, Geometry
from ptyxrf.driver.history import IterationRecord, Reason
from ptyxrf.driver.objective import Objective
from ptyxrf.driver.reconstruct import reconstruct
from ptyxrf.driver.result import Result
from ptyxrf.driver.scan import Scan

__version__ = _version("ptyxrf")

__all__ = [
    "JOULES_PER_KEV",
    "Geometry",
    "IterationRecord",
    "Objective",
    "Reason",
    "Result",
    "Scan",
    "measure_errors",
    "reconstruct",
]
