"""The ptychographic term in the code that the probe is shifted with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptyxrf.kernels.diffraction import Diffraction
from ptyxrf.kernels.fftw.diffraction import LibraryDiffraction
from ptyxrf.kernels.probe_shift import PositionedProbe
from ptyxrf.kernels.simd.diffraction import VectorDiffraction


def diffraction_term(
    amplitudes: NDArray,
    corners: NDArray[np.int64],
    exposure: NDArray[np.float64],
    probe: PositionedProbe,
    curvature: str,
    keep_far_fields: bool = True,
) -> Diffraction:
    """Return the term of the engine that `probe` was made for; parameters as of `Diffraction`."""
    kind = {"vector": VectorDiffraction, "library": LibraryDiffraction}[probe.engine]
    return kind(amplitudes, corners, exposure, probe, curvature, keep_far_fields)
