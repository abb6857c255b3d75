"""Kernels run where their machine code cannot be kept."""

import numpy as np
import pytest
from numba.core.caching import CompileResultCacheImpl

from ptyxrf.kernels.compiled import CACHE_FAULTS, allocation_free, compiled

pytestmark = pytest.mark.usefixtures("faults")


@pytest.fixture
def faults():
    known = list(CACHE_FAULTS)
    CACHE_FAULTS.clear()
    yield CACHE_FAULTS
    CACHE_FAULTS[:] = known


def twice(values):
    for l in range(len(values)):  # noqa: E741
        values[l] *= 2


@pytest.mark.parametrize("decorate", [compiled, allocation_free])
def test_no_folder_for_the_cache(monkeypatch, faults, decorate):
    monkeypatch.setattr(CompileResultCacheImpl, "_locator_classes", [])
    kernel, values = decorate(twice), np.ones(3)
    kernel(values)
    assert (values == 2).all()
    assert len(faults) == 1 and "twice" in faults[0]


def test_a_full_disk(monkeypatch, faults):
    kernel, values = compiled(twice), np.ones(3)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kernel._cache._cache_file, "save", full)
    kernel(values)
    assert (values == 2).all()
    assert faults == ["[Errno 28] No space left on device"]
