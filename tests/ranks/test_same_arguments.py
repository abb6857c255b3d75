"""Ranks compare scan and settings before they compute: a difference is an error that names it, on all."""

import numpy as np
import pytest

import ptyxrf

pytestmark = pytest.mark.ranks(at_least=2)

SETTINGS = {
    "max_iterations": (2, 4),
    "max_sweeps": (10.0, 20.0),
    "max_seconds": (None, 1e6),
    "loss_tolerance": (0.0, 1e-6),
    "precision": ("single", "double"),
    "alpha": (0.5, 0.25),
    "solver": ("quasi-newton", "newton"),
    "refine_probe": (False, True),
    "refine_positions": ("none", "each"),
    "checkpoint": (None, "checkpoint.h5"),
    "noise_stop": (True, False),
}


def flipped(array):
    return np.asarray(array)[::-1].copy()


SCAN = {
    "positions": lambda scan: scan.replace(positions=flipped(scan.positions)),
    "probe": lambda scan: scan.replace(probe=1.001 * scan.probe),
    "patterns": lambda scan: scan.replace(patterns=np.asarray(scan.patterns) + 1),
    "fluorescence": lambda scan: scan.replace(fluorescence=np.asarray(scan.fluorescence) + 1),
    "attenuation": lambda scan: scan.replace(attenuation=2 * scan.attenuation),
    "exposure": lambda scan: scan.replace(exposure=np.linspace(0.5, 1, scan.N)),
    "mask": lambda scan: scan.replace(mask=np.eye(scan.m) == 0),
    "element_names": lambda scan: scan.replace(element_names=["Fe", "Cu"]),
    "shape": lambda scan: scan.replace(
        shape=(scan.shape[0] + 1, scan.shape[1]), truth={}, fluorescence=scan.fluorescence
    ),
}


@pytest.fixture(scope="module")
def scan():
    return ptyxrf.simulate(n=48, m=16, per_side=5, elements=2, sampling="scan")


def is_last(comm):
    return comm.Get_rank() == comm.Get_size() - 1


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(comm, scan, name):
    value = SETTINGS[name][is_last(comm)]
    with pytest.raises(ValueError, match=rf"{name}.*same on every rank.* on rank {comm.Get_size() - 1} than"):
        ptyxrf.reconstruct(scan, comm=comm, **{"max_iterations": 3} | {name: value})


@pytest.mark.parametrize("name", SCAN)
@pytest.mark.parametrize("entry", [ptyxrf.reconstruct, ptyxrf.Objective])
def test_scans(comm, scan, name, entry):
    mine = SCAN[name](scan) if is_last(comm) else scan
    with pytest.raises(ValueError, match=rf"scan\.{name}.*same on every rank"):
        entry(mine, comm=comm)


def test_starts(comm, scan):
    start = {"real_part": 0.5 if is_last(comm) else 0.6}
    with pytest.raises(ValueError, match="start real_part: expected the same on every rank"):
        ptyxrf.reconstruct(scan, comm=comm, start=start)


def test_a_wrong_argument_on_one_rank(comm, scan):
    """The others get the error of that rank instead of waiting for it."""
    with pytest.raises(ValueError, match="max_iterations: expected"):
        ptyxrf.reconstruct(scan, comm=comm, max_iterations=-1 if is_last(comm) else 2)
    with pytest.raises(ValueError, match="scan: expected a Scan"):
        ptyxrf.reconstruct("scan.h5" if is_last(comm) else scan, comm=comm)


def test_a_callback_that_raises_on_one_rank(comm, scan):
    def callback(record, view):
        if is_last(comm) and record.iteration == 1:
            raise RuntimeError("of the callback")

    with pytest.raises(RuntimeError, match="of the callback"):
        ptyxrf.reconstruct(scan, comm=comm, max_iterations=3, callback=callback)


def test_two_groups_of_ranks(comm, scan):
    own = comm.Split(comm.Get_rank() % 2, comm.Get_rank())
    other = 1 - comm.Get_rank() % 2
    between = own.Create_intercomm(0, comm, other, 5)
    try:
        with pytest.raises(ValueError, match="comm: expected a communicator of one group"):
            ptyxrf.reconstruct(scan, comm=between)
    finally:
        between.Free()
        own.Free()


def test_what_is_the_same_passes(comm, scan):
    """Copies are compared by value."""
    copy = scan.replace(positions=scan.positions.copy(), probe=scan.probe.copy())
    mine = copy if is_last(comm) else scan
    ptyxrf.reconstruct(mine, comm=comm, max_iterations=1, alpha=np.array([0.5, 0.25]))
