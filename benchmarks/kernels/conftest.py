"""Options, the bound that each timing takes turns with, and the tables at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from baseline_table import BASELINE, Multiples, compared, read, table, write
from fft_bound import Bound, fft_bound

from ptyxrf.driver.files.wisdom_file import load_wisdom, save_wisdom

#: What is timed, and what its multiples are of.
UNITS = {
    "kernel": "the bound, per pattern",
    "composed": "the bound, per pattern",
    "blur": "its own four real transforms",
}

#: Multiples of this session.
found: Multiples = {}
bounds: dict[tuple[int, str], Bound] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add options beside those of pytest-benchmark."""
    group = parser.getgroup("multiples of the FFT bound")
    group.addoption(
        "--compare", nargs="?", const=BASELINE, type=Path, metavar="FILE",
        help="show ratios to a baseline (default: that of the repository)",
    )  # fmt: skip
    group.addoption(
        "--threshold", type=float, default=1.25, help="mark ratios above this, and fail (default 1.25)"
    )
    group.addoption(
        "--save",
        nargs="?",
        const=BASELINE,
        type=Path,
        metavar="FILE",
        help="write what was found to a baseline",
    )
    group.addoption("--rounds", type=int, default=25, help="timings of each (default 25)")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Time, which the project's options leave out elsewhere; seconds are of no interest beside multiples."""
    config.option.benchmark_disable = False
    config.option.benchmark_quiet = True


@pytest.fixture(scope="session", autouse=True)
def _wisdom() -> Iterator[None]:
    """Plan with what is known of this machine, and keep what is learned."""
    load_wisdom(None)
    yield
    save_wisdom()


@pytest.fixture
def bound() -> Any:
    """Return a function that finds the bound of a size and precision, once."""

    def find(m: int, precision: str) -> Bound:
        if (m, precision) not in bounds:
            bounds[m, precision] = fft_bound(m, precision, 7)
        return bounds[m, precision]

    return find


@pytest.fixture
def multiples() -> Multiples:
    """Return the multiples of this session, to be added to."""
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print bounds, multiples and, where asked for, ratios to the baseline."""
    if not found:
        return
    write_line = terminalreporter.write_line
    terminalreporter.section("multiples of the FFT bound")
    for (m, precision), bound in bounds.items():
        write_line(f"{m:4d} {precision}: {1e6 * bound.seconds:.1f} us by {bound.library}")
    for line in table(found, UNITS):
        write_line(line)
    if config.getoption("--save"):
        write(config.getoption("--save"), found)
        write_line(f"written: {config.getoption('--save')}")
    if config.getoption("--compare"):
        terminalreporter.section("ratios to the baseline")
        for line in config.stash[LINES]:
            write_line(line)


#: Lines of the comparison.
LINES = pytest.StashKey[list[str]]()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where something has become slower than the threshold."""
    path = session.config.getoption("--compare")
    if path is None or not found:
        return
    lines, grown = compared(found, read(path), session.config.getoption("--threshold"))
    session.config.stash[LINES] = lines
    if grown and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
