"""Joint reconstruction of X-ray ptychography and X-ray fluorescence.

One nonlinear least-squares problem with shared unknowns, solved by matrix-free quasi-Newton and truncated
Newton methods. The public names are listed in `__init__.pyi` and loaded when they are first used, so that
``ptyxrf --help`` does not wait for Numba.
"""

from importlib.metadata import version

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = version("ptyxrf")

del lazy_loader, version
