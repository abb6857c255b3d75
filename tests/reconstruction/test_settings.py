import json

import numpy as np
import pytest
from scan_examples import example_scan

from ptyxrf.driver.objective.links import LinearLink
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.reconstruction.settings import CheckpointPolicy, Settings, Stops
from ptyxrf.driver.solver.settings import SolverSettings


def test_names_are_unique_over_the_groups():
    groups = (Model, SolverSettings, Stops, CheckpointPolicy)
    names = [name for group in groups for name in group.declared()]
    assert len(names) == len(set(names))
    assert set(names) <= set(Settings.declared())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"solver": "quasi-newton", "memory": "low", "inner_limit": 10, "curvature": "positive"}),
        ({}, {"preconditioner": True, "rescale_probe": False, "sequential_first": True}),
        ({"sequential_first": False}, {"fluorescence_first": True}),
        ({"solver": "newton"}, {"memory": "cached", "inner_limit": 15}),
        ({"method": "fluorescence"}, {"solver": "newton", "fluorescence_first": False}),
        ({"refine_probe": True}, {"rescale_probe": True}),
        ({"refine_probe": True, "rescale_probe": False}, {"rescale_probe": False}),
        ({"solver": "paper"}, {"solver": "newton", "curvature": "full", "preconditioner": False}),
        ({"solver": "paper"}, {"memory": "cached", "inner_limit": 50, "fluorescence_first": False}),
        ({"solver": "paper", "inner_limit": 7}, {"inner_limit": 7, "curvature": "full"}),
    ],
)
def test_what_is_left_open_is_resolved(given, expected):
    resolved = Settings(**given).resolved(example_scan()).as_dict()
    assert {name: resolved[name] for name in expected} == expected
    assert {name for name, value in resolved.items() if value is None} == {
        "max_sweeps",
        "max_seconds",
        "checkpoint",
        "matrix",
    }


def test_a_start_with_elements_needs_no_first_maps():
    assert not Settings().resolved(example_scan(), {"elements": 0.5}).fluorescence_first
    assert Settings().resolved(example_scan(), {"real_part": 0.5}).fluorescence_first


@pytest.mark.parametrize(
    ("given", "start", "expected"),
    [
        ({}, {}, True),
        ({"method": "ptychography"}, {}, False),
        ({"method": "fluorescence"}, {}, False),
        ({"solver": "paper"}, {}, False),
        ({"solver": "newton"}, {}, True),
        ({"fluorescence_first": True}, {}, False),
        ({"fluorescence_first": False}, {}, False),
        ({"fluorescence_first": True, "sequential_first": True}, {}, True),
        ({"method": "ptychography", "sequential_first": True}, {}, False),
        ({}, {"probe": 1}, True),
        ({}, {"elements": 0.5}, False),
        ({}, {"real_part": 0.5}, False),
        ({"sequential_first": True}, {"real_part": 0.5}, True),
    ],
)
def test_when_both_come_one_after_the_other_first(given, start, expected):
    resolved = Settings(**given).resolved(example_scan(), start)
    assert resolved.sequential_first is expected
    assert not (expected and resolved.fluorescence_first and "fluorescence_first" not in given)


def test_a_probe_that_was_found_is_refined():
    """Unless somebody says otherwise, or gives another probe."""
    scan = example_scan().replace(probe_found=True)
    assert scan.probe_known and Settings().resolved(scan).refine_probe
    assert Settings().resolved(scan.select("0:6")).probe_start == "given"
    assert not Settings(refine_probe=False).resolved(scan).refine_probe
    assert not Settings(method="fluorescence").resolved(scan).refine_probe
    assert not Settings().resolved(scan, {"probe": scan.probe}).refine_probe
    assert not Settings().resolved(scan.replace(probe=scan.probe)).refine_probe


def test_the_word_paper_means_the_preset():
    scan = example_scan()
    assert Settings(solver="paper").resolved(scan) == Settings.paper().resolved(scan)
    assert Settings.paper(max_sweeps=3).max_sweeps == 3


def test_a_model_is_part_of_the_settings():
    assert Model().precision == "double"
    assert Settings().part(Model) == Model(precision="single")


def test_the_old_form_of_a_late_probe_names_the_new_one():
    with pytest.raises(
        ValueError, match=r"^refine_probe: expected true or false \(probe_from_iteration .* 10$"
    ):
        Settings(refine_probe=10)
    with pytest.raises(ValueError, match="probe_from_iteration: expected refine_probe = true beside 10"):
        Settings(probe_from_iteration=10)
    assert Settings(refine_probe=True, probe_from_iteration=10).probe_from_iteration == 10


def test_positions_that_wait_have_to_be_refined():
    with pytest.raises(
        ValueError, match=r"^positions_from_iteration: expected refine_positions beside 4, got"
    ):
        Settings(positions_from_iteration=4)
    assert Settings(refine_positions="affine", positions_from_iteration=4).positions_from_iteration == 4


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("refine_positions", "all"),
        ("refine_positions", True),
        ("position_margin", -1),
        ("position_margin", 1.5),
        ("positions_from_iteration", -1),
        ("positions_from_iteration", "late"),
        ("refine_intensities", 2),
    ],
)
def test_wrong_settings_of_the_beam_are_named(name, value):
    with pytest.raises(ValueError, match=rf"^{name}: expected .* got "):
        Settings(**{"refine_positions": "each"} | {name: value})


def test_resume_needs_a_checkpoint():
    with pytest.raises(ValueError, match="resume: expected the path of a checkpoint"):
        Settings(resume=True)


def test_a_checkpoint_agrees_with_what_steers_the_iterations():
    agreed = Settings(max_sweeps=3, checkpoint="a.h5", noise_stop=False, patience=5).agreement()
    assert agreed == Settings().agreement()
    for change in (
        {"alpha": 2},
        {"pairs": 3},
        {"refine_probe": True},
        {"link_offset": 1.0},
        {"refine_positions": "each"},
        {"refine_intensities": True},
        {"position_margin": 3},
    ):
        assert Settings(**change).agreement() != agreed


def test_links_agree_by_all_that_they_depend_on():
    one, same, other = (
        Settings(link=LinearLink(np.array([1.0, mu]), -1.0)).agreement()["link"] for mu in (2, 2, 3)
    )
    assert one == same != other
    assert json.loads(json.dumps(one)) == one
    assert one["name"] == "LinearLink"
    with pytest.raises(ValueError, match="link: expected one of linear, refractive, or a Link, got 'phase'"):
        Settings(link="phase")
    with pytest.raises(ValueError, match="link: expected one of linear, refractive, or a Link, got"):
        Settings(link=print)
