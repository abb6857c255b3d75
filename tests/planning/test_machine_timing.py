"""What is timed does what it says, and multiples of the bound are put together from it."""

import numpy as np
import pytest

from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.planning import machine_timing as work_times
from ptyxrf.driver.planning.machine_timing import (
    WORK,
    blur_work,
    measure_blur,
    measure_patterns,
    pattern_work,
    spread,
    take_turns,
)


def test_taking_turns(monkeypatch):
    """In order, the first two rounds left out; a call that returns seconds has timed itself."""
    clock = [0.0]
    monkeypatch.setattr(work_times.time, "process_time", lambda: clock[0])
    called = []

    def work():
        called.append("work")
        clock[0] += len(called)

    def own():
        called.append("own")
        return 0.25

    times = take_turns({"work": work, "own": own}, 3)
    assert called == ["work", "own"] * 5
    np.testing.assert_array_equal(times["work"], [5, 7, 9])
    np.testing.assert_array_equal(times["own"], [0.25] * 3)


def test_spread():
    assert spread(np.array([4.0, 1.0, 3.0, 2.0, 5.0])) == (2, 3, 4)


def test_multiples_of_the_bound():
    times = measure_patterns(64, "single", 2)
    assert set(times.multiples) == set(WORK) and set(times.seconds) == {"bound", *WORK}
    for name, (low, middle, high) in times.multiples.items():
        assert 0 < low <= middle <= high, name
        assert times.seconds[name] > 0
    assert times.bound.m == 64 and times.bound.precision == "single"


def test_pattern_work_differs_as_named():
    """Where the probe is unknown, it comes behind the object; fractions need shifted probes."""
    calls, patterns = pattern_work(64, "single")
    assert patterns == 256
    objectives = {
        name: call.args[0] if call.args[0].__class__ is Objective else call.func.__self__
        for name, call in calls.items()
    }
    size = objectives["gradient"].size
    for name, objective in objectives.items():
        assert (objective.size > size) == ("probe" in name)
        assert objective.terms.positioned.integer == ("sub-pixel" not in name)
        assert (objective.terms.diffraction.kept_bytes == 0) == (name == "alone")
        gradients, products = objective.work.gradients, objective.work.products
        calls[name]()
        made = objective.work.gradients - gradients, objective.work.products - products
        assert made == ((0, 1) if "product" in name else (1, 0))


@pytest.mark.parametrize("precision", ["single", "double"])
def test_blur_work(monkeypatch, precision):
    work = blur_work(20, 6, precision)
    assert set(work) == {"transforms", "gradient", "product"}
    for call in work.values():
        assert not isinstance(call(), float)  # which would count as seconds
    monkeypatch.setattr(work_times, "BLURRED", 40)
    for low, middle, high in measure_blur(precision, 2).values():
        assert 0 < low <= middle <= high
