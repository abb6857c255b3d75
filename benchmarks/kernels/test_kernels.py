"""Time every kernel and the work that is composed of them, in turn with the bound.

    python -m pytest benchmarks/kernels            # the table
    python -m pytest benchmarks/kernels --compare  # and ratios to the baseline; those that are too large fail

`-k "product and 128"` times a part, `--save` renews the baseline. Before each timing the bound is timed, and
both count processor time, so that multiples depend little on other work of the machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from composed_work import WORK, blur_work, pattern_work
from kernel_list import PATTERNS, WHOLE, Kernel
from workbench import Workbench

SIZES, PRECISIONS = (64, 128, 256), ("single", "double")

QUANTILE = 0.2

#: Edge of the map whose blur is timed.
MAP = 512

workbench = cache(Workbench)
composed = cache(pattern_work)

pytestmark = [
    pytest.mark.parametrize("m", SIZES),
    pytest.mark.parametrize("precision", PRECISIONS),
    pytest.mark.benchmark(timer=time.process_time, disable_gc=True),
]


def timed(
    benchmark: Any, request: pytest.FixtureRequest, call: Callable[[], Any], unit: Callable[[], float]
) -> float:
    """Return the time of a call in units that are timed before each of its rounds.

    Low quantiles: what disturbs a timing makes it longer.
    """
    units: list[float] = []

    def measure_unit() -> None:
        units.append(unit())

    rounds = request.config.getoption("--rounds")
    benchmark.pedantic(call, setup=measure_unit, rounds=rounds, warmup_rounds=2)
    return float(np.quantile(benchmark.stats.stats.data, QUANTILE) / np.quantile(units[-rounds:], QUANTILE))


@pytest.mark.parametrize("kernel", [*PATTERNS, *WHOLE], ids=lambda kernel: kernel.name)
def test_kernel(
    benchmark: Any, request: Any, bound: Any, multiples: Any, kernel: Kernel, m: int, precision: str
) -> None:
    """A kernel, over all patterns of the workbench."""
    bench, pair = workbench(m, precision), bound(m, precision).pair
    if kernel in PATTERNS:
        batches = list(bench.batches())
        calls, count = [kernel.on(batch) for batch in batches], len(batches) * bench.fourier.batch
    else:
        calls, count = [kernel.on(bench)], bench.count

    def call() -> None:
        for one in calls:
            one()

    def unit() -> float:
        bench.reset()
        return pair.seconds()

    multiples[f"kernel: {kernel.name}", m, precision] = timed(benchmark, request, call, unit) / count


@pytest.mark.parametrize("name", WORK)
def test_composed(
    benchmark: Any, request: Any, bound: Any, multiples: Any, name: str, m: int, precision: str
) -> None:
    """Gradient or product of an objective."""
    unit = bound(m, precision).pair.seconds  # first: what it plans serves the others
    calls, count = composed(m, precision)
    multiples[f"composed: {name}", m, precision] = timed(benchmark, request, calls[name], unit) / count


@pytest.mark.parametrize("name", ["gradient", "product"])
def test_blur(benchmark: Any, request: Any, multiples: Any, name: str, m: int, precision: str) -> None:
    """Gradient or product of one map on the grid."""
    calls = blur_work(MAP, m, precision)

    def unit() -> float:
        began = time.process_time()
        calls["transforms"]()
        return time.process_time() - began

    multiples[f"blur: {name}", m, precision] = timed(benchmark, request, calls[name], unit)
