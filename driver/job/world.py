"""The communicator of all processes."""

from __future__ import annotations

from typing import Any


def world() -> Any:
    """Return the communicator of all processes of this launch; loads MPI."""
    from mpi4py import MPI

    return MPI.COMM_WORLD
