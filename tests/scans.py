"""The simulated scan that most tests of whole reconstructions use."""

import functools

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.simulation.simulate import simulate


@functools.cache
def joint_scan(m: int = 16, per_side: int = 6) -> Scan:
    """Return patterns of few photons and maps of two elements: small, and not fitted in a few iterations."""
    return simulate("cells", m=m, per_side=per_side, overlap=0.6, elements=2, seed=2, photons=100.0)
