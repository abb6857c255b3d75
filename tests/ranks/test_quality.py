"""The quality of a fit is the same on any number of ranks, and whole on each."""

import numpy as np
import pytest
from cases import CASES, make_scan, random_unknowns

from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.quality import measure_quality
from ptyxrf.driver.reconstruction.reconstruct import reconstruct


def quality_of(scan, settings, comm):
    objective = Objective(scan, comm=comm, **settings)
    unknowns = random_unknowns(scan, objective.unknowns, 1)
    vector = objective.scatter(**unknowns)
    objective.value_and_gradient(vector)
    return measure_quality(objective, vector, converged=True)


@pytest.mark.parametrize("name", ["raster-grid", "spiral-scan-modes", "random-grid-probe", "snake-positive"])
def test_like_one_rank(comm, name):
    scan, settings = make_scan(name), CASES[name][1]
    one, ours = (quality_of(scan, settings, which) for which in (None, comm))
    for field in (
        "misfit_over_floor",
        "noise_floor",
        "relative_misfit",
        "distortion",
        "per_position",
        "per_pixel",
    ):
        value, expected = getattr(ours, field), getattr(one, field)
        assert value == pytest.approx(expected, rel=1e-10, nan_ok=True), field
    assert (ours.verdict, ours.good) == (one.verdict, one.good)
    assert ours.per_position.shape == (scan.N,)


def test_of_a_reconstruction(comm):
    scan = make_scan("snake-positive")
    result = reconstruct(scan, "ptychography", max_iterations=3, comm=comm)
    verdicts = comm.allgather(result.quality.verdict)
    assert len(set(verdicts)) == 1
    assert result.gather().quality is result.quality
    assert np.isfinite(result.history["ptychography_floor"]).all()
