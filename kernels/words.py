"""Words of the settings of kernels; importing them loads nothing, so that help comes at once."""

import math

#: Bounds on the curvature c of an amplitude: at most 1 (positive semidefinite), as it is, or exactly 1.
CURVATURES = {"positive": (0.0, 1.0), "full": (0.0, math.inf), "gauss-newton": (1.0, 1.0)}

#: What measures the misfit of patterns: squared residuals of amplitudes, or the deviance of Poisson counts.
PATTERN_LOSSES = ("amplitude", "poisson")

#: What transforms the patterns; auto: vector code where it can transform the size, else the library.
ENGINES = ("auto", "vector", "library")
