"""Fixtures that several test files use."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ptyxrf.driver.job.ranks import LAUNCHERS

#: Tests of several ranks run under a launcher, from test_ranks.py.
LAUNCHED = any(size in os.environ for size, _ in LAUNCHERS)
collect_ignore = [] if LAUNCHED else ["ranks"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the runs of several ranks, which take longest, begin first."""
    items.sort(key=lambda item: item.path.name != "test_ranks.py")


@pytest.fixture(scope="session", autouse=True)
def _own_wisdom(request: pytest.FixtureRequest) -> None:
    """Keep what tests plan out of this user's cache; processes that they start inherit it."""
    if LAUNCHED:  # ranks would race for a folder
        os.environ["PTYXRF_WISDOM"] = "off"
    else:
        factory = request.getfixturevalue("tmp_path_factory")
        os.environ["PTYXRF_WISDOM"] = str(factory.mktemp("wisdom"))


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """Return a function that finds a measured data set, or skips the test where it is absent.

    The folder is that of the environment variable PTYXRF_DATA, or ../shared/data beside the repository.
    """
    folder = Path(os.environ.get("PTYXRF_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"no {path}: set PTYXRF_DATA to the folder that has {name}")
        return path

    return find
