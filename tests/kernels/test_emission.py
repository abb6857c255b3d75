"""Vector code that cannot be emitted: the library's transforms take its place."""

import pytest

from ptyxrf.kernels.implementation import resolve_engine
from ptyxrf.kernels.simd import emission
from ptyxrf.kernels.simd.fourier import can_transform

pytestmark = pytest.mark.skipif(not can_transform(8), reason="vector code is there only when compiled")


@pytest.fixture(autouse=True)
def forget():
    emission.can_emit.cache_clear()
    yield
    emission.can_emit.cache_clear()


def test_it_can_here():
    assert emission.can_emit()


def changed(*_):
    raise AttributeError("module 'numba.core.cgutils' has no attribute 'x'\nmore")


@pytest.mark.parametrize(
    ("kernel", "fault"),
    [(changed, r"AttributeError: .* attribute 'x'\)"), (lambda *_: None, "it computes")],
)
def test_it_cannot(monkeypatch, kernel, fault):
    monkeypatch.setattr(emission, "_sum_and_difference", kernel)
    with pytest.warns(UserWarning, match=rf"vector code cannot be emitted with Numba .* \({fault}"):
        assert resolve_engine("auto", 16) == "library"
    assert resolve_engine("auto", 16) == "library"  # said once
    with pytest.raises(ValueError, match="engine: expected 'auto' or 'library' with this version"):
        resolve_engine("vector", 16)
