"""The constants are put together from the times of calls."""

import pytest

from ptyxrf.driver.planning import machine_timing
from ptyxrf.driver.planning.machine_timing import (
    PatternTime,
    measure_machine,
    measure_patterns,
    processor_seconds,
)


def test_the_median_of_the_rounds_after_the_warm_up(monkeypatch):
    clock, spent = [0.0], iter([100.0, 100.0, 3.0, 1.0, 8.0])
    monkeypatch.setattr(machine_timing.time, "process_time", lambda: clock[0])

    def call():
        clock[0] += next(spent)

    assert processor_seconds(call, 3) == 3
    assert next(spent, None) is None


def test_a_product_is_timed(monkeypatch):
    """256 patterns of 64 x 64 pixels, 16 pixels apart, share two fields of 304 x 304 pixels."""
    timed = []

    def seconds(call, rounds):
        timed.append((call(), rounds))
        return 512.0

    monkeypatch.setattr(machine_timing, "processor_seconds", seconds)
    found = measure_patterns(64, "double", 7)
    assert found == PatternTime(64, "double", 2.0, 2 * 304**2 / 256)
    [(product, rounds)] = timed
    assert rounds == 7 and product.shape == (2 * 304**2,) and product.any()


def test_pixels_are_taken_off_the_patterns(monkeypatch):
    monkeypatch.setattr(machine_timing, "PER_SIDE", {64: 16, 128: 10})
    monkeypatch.setattr(machine_timing, "measure_pixels", lambda precision, rounds: 1e-9)
    monkeypatch.setattr(
        machine_timing,
        "measure_patterns",
        lambda m, precision, rounds: PatternTime(m, precision, 1e-6 * m, 10.0 * m),
    )
    reported = []
    machine = measure_machine(None, 5, reported.append)
    assert [(found.m, found.precision) for found in reported] == [
        (64, "single"),
        (128, "single"),
        (64, "double"),
        (128, "double"),
    ]
    for precision in ("single", "double"):
        assert machine.pixel_seconds[precision] == 1e-9
        for m in (64, 128):
            assert machine.pattern_seconds[precision][m] == pytest.approx(1e-6 * m - 1e-8 * m)
    assert "one rank; messages: typical values" in machine.name
