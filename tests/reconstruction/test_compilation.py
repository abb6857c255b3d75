"""Kernels are compiled before the clock of a reconstruction starts."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.reconstruction import compilation
from ptyxrf.driver.reconstruction.rehearsal import Kind
from ptyxrf.kernels.compiled import compiled

KIND = Kind(
    Model(method="joint", precision="single", engine="vector", fluorescence_prior=1.0, link="refractive"),
    "scan",
    fractional=True,
    products=False,
)

#: Both halves know all that the whole uses, and the whole all that a reconstruction uses.
HALVES_AND_WHOLE = """
import sys
import ptyxrf
from numba.core.dispatcher import Dispatcher
from ptyxrf.driver.reconstruction import compilation, rehearsal

known = set()

def signatures():
    modules = [module for name, module in sys.modules.items() if name.startswith("ptyxrf.kernels")]
    kernels = [each for module in modules for each in vars(module).values() if isinstance(each, Dispatcher)]
    return {(str(each), key) for each in kernels for key in each.overloads}

def compile_kernels(scan, model, comm, *, products):
    kind = compilation._kind(scan, model, products=products)
    if kind.model.method == "joint":
        rehearsal.rehearse_rest(kind)
        rehearsal.rehearse_patterns(kind)
    both = signatures()
    rehearsal.rehearse(kind)
    assert kind.model.method != "joint" or signatures() == both, signatures() - both
    known.update(signatures())

scan = ptyxrf.simulate(
    n=48, m=16, per_side=4, elements=2, dtype="float32", link="refractive", sampling="scan", fractional=True,
    photons=100.0, noise="counting",
)
ptyxrf.reconstruct
sys.modules["ptyxrf.driver.reconstruction.reconstruct"].compile_kernels = compile_kernels
ptyxrf.reconstruct(scan, max_sweeps=12, refine_probe=True, refine_positions="each")
assert known and signatures() == known, signatures() - known
"""


def test_a_kind_for_another_process():
    assert Kind.of_text(KIND.as_text()) == KIND
    assert Kind.of_text(replace(KIND, sampling=None, products=True).as_text()) != KIND


def test_nothing_is_compiled_later():
    done = subprocess.run([sys.executable, "-c", HALVES_AND_WHOLE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("known", [True, False])
def test_cold(monkeypatch, known):
    """It is found out without compiling."""
    kernel = compiled(twice)
    kernel.disable_compile(False)
    kernel._cache.load_overload = lambda *_: None
    if known:
        kernel(np.ones(2))
    monkeypatch.setattr(compilation, "rehearse", lambda kind: kernel(np.ones(2)))
    assert compilation._is_cold(KIND) != known
    assert len(kernel.signatures) == known


def twice(values):
    values *= 2


@pytest.mark.parametrize("executable", [sys.executable, "/no/such/file"])
def test_a_helper_that_does_not_work(monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(compilation, "cores", lambda: 2)
    with compilation._helper(replace(KIND, sampling="nowhere")):
        pass


def test_no_helper_outlives_an_error(monkeypatch):
    begun = []
    monkeypatch.setattr(compilation, "cores", lambda: 2)
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: begun.append(popen(*a, **k)) or begun[0])
    with pytest.raises(RuntimeError), compilation._helper(KIND):
        raise RuntimeError
    assert begun[0].returncode is not None
