"""Every rank runs the same tests; the first failure on any rank ends all of them, with its report.

A test marked ``ranks(at_least=2, at_most=3)`` runs on so many ranks, and is deselected on others.
"""

import shutil
import tempfile
import time
from pathlib import Path

import pytest
from mpi4py import MPI


def pytest_collection_modifyitems(config, items):
    size = MPI.COMM_WORLD.Get_size()
    others = [
        item for item in items if not all(_runs_on(size, **m.kwargs) for m in item.iter_markers("ranks"))
    ]
    items[:] = [item for item in items if item not in others]
    config.hook.pytest_deselected(items=others)


def _runs_on(size, *, at_least=1, at_most=None):
    return at_least <= size and (at_most is None or size <= at_most)


@pytest.fixture(scope="session")
def comm():
    return MPI.COMM_WORLD


@pytest.fixture(scope="session")
def from_one_rank(comm):
    """A function that calls another on the first rank alone, and returns to all what it gives.

    The others sleep meanwhile. Without that each would compute the same, on cores that they share.
    """

    def call(function):
        result = function() if comm.Get_rank() == 0 else None
        reached = comm.Ibarrier()
        while not reached.Test():
            time.sleep(0.005)
        return comm.bcast(result)

    return call


@pytest.fixture
def folder(comm):
    """A folder of all ranks, which ends with the test."""
    path = comm.bcast(tempfile.mkdtemp() if comm.Get_rank() == 0 else None)
    yield Path(path)
    comm.Barrier()
    if comm.Get_rank() == 0:
        shutil.rmtree(path)


def pytest_exception_interact(node, call, report):
    """Other ranks may be waiting for this one: say what happened and end the job."""
    print(f"\nrank {MPI.COMM_WORLD.Get_rank()}: {node.nodeid}\n{report.longreprtext}", flush=True)
    MPI.COMM_WORLD.Abort(1)
