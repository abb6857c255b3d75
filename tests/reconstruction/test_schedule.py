"""What is held in the first iterations, and when it is freed."""

from types import SimpleNamespace

import pytest

from ptyxrf.driver.data.history import Reason
from ptyxrf.driver.reconstruction.schedule import HELD_ITERATIONS, Schedule
from ptyxrf.driver.reconstruction.settings import Settings

HELD = HELD_ITERATIONS["quasi-newton"]


def run(settings, *, iterations=12, sweeps=10.0, settled=None, finite=True):
    """Return what is held in each iteration, the start included."""
    objective = SimpleNamespace(held=frozenset(), sweeps=0.0)
    schedule = Schedule(settings)
    schedule.begin(objective)
    held = [set(objective.held)]
    for number in range(iterations):
        objective.sweeps = sweeps * number
        reason = Reason.LOSS if number == settled else None
        state = SimpleNamespace(number=number, settled=reason, finite=finite)
        before = objective.held
        assert schedule.frees(objective, state) == (objective.held != before)
        held.append(set(objective.held))
    return held


def settings(**given):
    return Settings(solver="quasi-newton", **{"fluorescence_first": False} | given)


def test_nothing_is_held_by_default():
    assert run(settings(refine_probe=True)) == [set()] * 13


def test_the_probe_waits_for_its_iteration():
    held = run(settings(refine_probe=True, probe_from_iteration=3))
    assert held == [{"probe"}] * 4 + [set()] * 9


def test_first_maps_are_held_for_some_iterations():
    held = run(settings(fluorescence_first=True))
    assert held == [{"elements"}] * (HELD + 1) + [set()] * (12 - HELD)


def test_first_maps_are_not_held_beside_a_probe_that_moves():
    assert run(settings(fluorescence_first=True, refine_probe=True)) == [set()] * 13
    held = run(settings(fluorescence_first=True, refine_probe=True, probe_from_iteration=2))
    assert held == [{"probe", "elements"}] * 3 + [set()] * 10


def test_a_quarter_of_the_budget_frees_the_maps():
    held = run(settings(fluorescence_first=True, max_sweeps=60))
    assert held == [{"elements"}] * 3 + [set()] * 10  # the second iteration ends beyond 15 sweeps


@pytest.mark.parametrize("word", ["each", "affine", "both"])
def test_positions_wait_for_their_iteration(word):
    places = {"displacement", "distortion"}
    held = run(settings(refine_positions=word, positions_from_iteration=3, refine_intensities=True))
    assert held == [places] * 4 + [set()] * 9  # intensities do not wait
    assert run(settings(refine_positions=word)) == [set()] * 13
    late = settings(
        refine_positions=word, positions_from_iteration=4, refine_probe=True, probe_from_iteration=2
    )
    assert run(late) == [places | {"probe"}] * 3 + [places] * 2 + [set()] * 8
    assert run(late, settled=1) == [places | {"probe"}] * 2 + [set()] * 11


def test_stuck_positions_are_searched_now_and_then():
    """Not before the positions are free."""
    schedule = Schedule(settings(refine_positions="each", positions_from_iteration=3))
    searched = [n for n in range(13) if schedule.searches(SimpleNamespace(number=n))]
    assert searched == [6, 9, 12]


def test_where_nothing_is_left_to_gain_all_is_freed():
    held = run(settings(refine_probe=True, probe_from_iteration=40, max_iterations=50), settled=5)
    assert held == [{"probe"}] * 6 + [set()] * 7


@pytest.mark.parametrize("end", [{"max_iterations": 3}, {}])
def test_at_the_end_nothing_is_freed(end):
    """Neither after the last iteration nor where the loss is not finite: evaluating would be lost work."""
    given = {"refine_probe": True, "probe_from_iteration": 3} | end
    assert run(settings(**given), finite=bool(end)) == [{"probe"}] * 13
