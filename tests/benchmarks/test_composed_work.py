"""What is timed does what its name says."""

import composed_work
import numpy as np
import pytest
from composed_work import blur_work, pattern_work, take_turns

from ptyxrf.driver.objective.objective import Objective


def test_taking_turns(monkeypatch):
    """In order, without the first two rounds; a call that returns seconds has timed itself."""
    clock = [0.0]
    monkeypatch.setattr(composed_work.time, "process_time", lambda: clock[0])
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


def test_pattern_work_differs_as_named():
    """An unknown probe stands behind the object in the vector; "alone" stores nothing for products."""
    calls, patterns = pattern_work(64, "single")
    assert patterns == 256
    objectives = {
        name: call.args[0] if call.args[0].__class__ is Objective else call.func.__self__
        for name, call in calls.items()
    }
    size = objectives["gradient"].size
    for name, objective in objectives.items():
        assert (objective.size > size) == objective.settings.refine_probe == ("probe" in name)
        assert objective.scan.fractions.any() == ("sub-pixel" in name)
        assert objective.settings.memory == ("low" if name == "alone" else "cached")
        gradients, products = objective.work.gradients, objective.work.products
        calls[name]()
        made = objective.work.gradients - gradients, objective.work.products - products
        assert made == ((0, 1) if "product" in name else (1, 0))


@pytest.mark.parametrize("precision", ["single", "double"])
def test_blur_work(precision):
    """The product is that of the change, and not a float, which would count as seconds."""
    work = blur_work(20, 6, precision)
    assert set(work) == {"transforms", "gradient", "product"}
    for call in work.values():
        assert not isinstance(call(), float)
