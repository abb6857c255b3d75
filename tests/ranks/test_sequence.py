"""What comes before a joint fit is the same on any number of ranks: results, files, resumed runs."""

import shutil
from functools import cache

import numpy as np
import pytest
from cases import CASES, make_scan, relative

from ptyxrf.driver.data.result import NotGathered
from ptyxrf.driver.files.result_file import read_result, write_result
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.reconstruction.sensitivity import refine_sensitivity

pytestmark = pytest.mark.filterwarnings("ignore:link")

#: The strength of the prior is searched for in one case; a search takes longer than all the rest.
SEARCHED = "spiral-scan-modes"

#: Element 1 of raster-grid has no data; positions and intensities are unknown in the last.
NAMES = ("raster-grid", "spiral-scan-modes", "random-scan-positions")


def example(name):
    """Return a case without its truth, whose errors are not the same on several ranks."""
    return make_scan(name).replace(truth=None)


def run(scan, name, comm=None, **more):
    settings = {key: value for key, value in CASES[name][1].items() if key != "margin"}
    return reconstruct(
        scan,
        comm=comm,
        **{
            "precision": "double", "inner_limit": 2, "max_iterations": 3, "loss_tolerance": 0,
            "gradient_tolerance": 0, "noise_stop": False, "sequential_first": True,
            "fluorescence_prior": "auto" if name == SEARCHED else 2.0,
        } | settings | more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def one_rank(comm, from_one_rank):
    """Return the result of a case on the first rank, which finds it once; the others wait."""
    return cache(lambda name: from_one_rank(lambda: run(example(name), name)))


def assert_alike(ours, expected):
    for one, other in ((ours, expected), (ours.fallback, expected.fallback)):
        assert [record.stage for record in one.history] == [record.stage for record in other.history]
        for record, wanted in zip(one.history, other.history, strict=True):
            assert record.loss == pytest.approx(wanted.loss, rel=1e-9)
            assert (record.sweeps, record.note) == (wanted.sweeps, wanted.note)
        assert one.quality.misfit_over_floor == pytest.approx(other.quality.misfit_over_floor, rel=1e-6)
        for name in ("chi_square", "object_shift"):
            figures = (getattr(result.quality, name) for result in (one, other))
            np.testing.assert_allclose(*figures, rtol=1e-4, err_msg=name)
        assert (one.quality.link, one.quality.link_good) == (other.quality.link, other.quality.link_good)
        for name in ("object", "elements", "probe", "pattern_misfit"):
            assert relative(getattr(one, name), getattr(other, name)) < 1e-5


@pytest.mark.parametrize("name", ["random-scan-refractive", "raster-grid-refractive"])
def test_sensitivities_are_those_of_one_rank(comm, name):
    """With slopes of the object where the intensities are refined."""
    scan = example(name)
    found = []
    for on in (None, comm):
        objective = Objective(scan, "fluorescence", refine_intensities=name.startswith("random"), comm=on)
        objective.value_and_gradient(objective.initial)
        here = objective.tile.owned.slices
        maps = np.random.default_rng(2).random((scan.N_e, *scan.shape))
        z = np.exp(-np.tensordot(0.7 * scan.attenuation, maps**1.1, 1))
        found.append(refine_sensitivity(objective, z[here], maps[(slice(None), *here)]))
    assert (found[0].errors < found[0].prior_errors).any()
    for attribute, values in vars(found[0]).items():
        np.testing.assert_allclose(getattr(found[1], attribute), values, rtol=1e-7, err_msg=attribute)


@pytest.mark.parametrize("name", NAMES)
def test_both_results_are_those_of_one_rank(comm, one_rank, folder, name):
    scan = example(name)
    one, ours = one_rank(name), run(scan, name, comm)
    whole = ours.gather()
    assert_alike(whole, one)
    if comm.Get_size() > 1:
        with pytest.raises(NotGathered):
            _ = ours.fallback.object
    path = folder / "result.h5"
    write_result(path, ours, scan)
    comm.Barrier()
    back = read_result(path)
    for found, expected in ((back, whole), (back.fallback, whole.fallback)):
        for attribute in ("object", "elements", "predicted_fluorescence", "pattern_misfit", "probe"):
            np.testing.assert_array_equal(getattr(found, attribute), getattr(expected, attribute))


@pytest.mark.parametrize("name", ["raster-grid", "random-scan-positions"])
def test_another_number_of_ranks_goes_on_in_each_stage(comm, one_rank, from_one_rank, folder, name):
    """Written by all, taken up by all; from the first stage also by one rank."""
    scan, path, stages = example(name), folder / "c.h5", ("ptychography", "fluorescence", "joint")
    expected = one_rank(name)

    def keep(record, view):
        if record.iteration == 2 and comm.Get_rank() == 0:
            shutil.copy(path, folder / f"{record.stage}.h5")

    run(scan, name, comm, checkpoint=path, checkpoint_iterations=1, callback=keep)
    comm.Barrier()
    for stage in stages:
        ours = run(scan, name, comm, checkpoint=folder / f"{stage}.h5", resume=True)
        assert_alike(ours.gather(), expected)
    alone = from_one_rank(lambda: run(scan, name, checkpoint=folder / f"{stages[0]}.h5", resume=True))
    assert_alike(alone, expected)
