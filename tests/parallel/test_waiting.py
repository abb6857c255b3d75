"""Notes of waits."""

import pytest

from ptyxrf.parallel import waiting
from ptyxrf.parallel.waiting import Wait, Waits

SUM, HALO, READING = Wait("a sum", in_step=True), Wait("a halo", in_step=True, within_work=True), Wait("all")


@pytest.fixture
def clock(monkeypatch):
    """Replace the clock by one that the test sets."""
    now = [0.0]
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(waiting, "WAITS", Waits())
    return now


def test_a_wait_is_noted_while_it_lasts(clock):
    notes = waiting.WAITS
    assert notes.current is None
    with pytest.raises(KeyError), SUM:
        assert notes.current is SUM
        raise KeyError
    assert notes.current is None and notes.count == 1
    with HALO:
        assert notes.current is HALO and notes.count == 2


def test_the_longest_work_is_that_between_two_sums(clock):
    """Waits for a halo are not work and do not divide it; what one rank does for all does not count."""
    notes = waiting.WAITS
    for wait, work, waited in ((READING, 500, 70), (HALO, 3, 30), (HALO, 4, 50), (SUM, 5, 200), (SUM, 2, 0)):
        clock[0] += work
        with wait:
            clock[0] += waited
    assert notes.longest == 12
    clock[0] += 100
    with READING:
        pass
    with SUM:
        pass
    assert notes.longest == 12
