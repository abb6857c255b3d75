"""Every rank runs the same tests; the first failure on any rank ends all of them, with its report."""

import pytest
from mpi4py import MPI


@pytest.fixture(scope="session")
def comm():
    return MPI.COMM_WORLD


def pytest_exception_interact(node, call, report):
    """Other ranks may be waiting for this one: say what happened and end the job."""
    print(f"\nrank {MPI.COMM_WORLD.Get_rank()}: {node.nodeid}\n{report.longreprtext}", flush=True)
    MPI.COMM_WORLD.Abort(1)
