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


#: The files that take longest, so that no worker is left with one at the end.
LONG = ("test_ranks.py", "test_slurm.py", "test_paper.py", "test_damaged_files.py", "test_checkpoint.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let long files begin first, those of several ranks before all."""
    order = dict(zip(LONG, range(-len(LONG), 0), strict=True))
    items.sort(key=lambda item: order.get(item.path.name, 0))


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
