"""A search for the probe has one answer on any number of ranks."""

import pytest
from cases import make_scan, relative

from ptyxrf.driver.reconstruction.reconstruct import reconstruct


@pytest.mark.parametrize("kind", ["search", "zone-plate", "mean-pattern"])
def test_all_ranks_start_from_one_probe(comm, from_one_rank, kind):
    scan = make_scan("random-scan-probe")
    settings = {
        "probe_start": kind, "modes": 3, "refine_probe": True, "precision": "double", "max_iterations": 2,
        "inner_limit": 1, "fluorescence_first": False, "noise_stop": False, "fluorescence_prior": "none",
    }  # fmt: skip
    one = from_one_rank(lambda: reconstruct(scan, "joint", **settings))
    ours = reconstruct(scan, "joint", comm=comm, **settings)
    assert ours.settings["probe_ranking"] == one.settings["probe_ranking"]
    assert ours.loss == pytest.approx(one.loss, rel=1e-10)
    whole = ours.gather()
    assert relative(whole.object, one.object) < 1e-6
    assert relative(whole.probe, one.probe) < 1e-6
