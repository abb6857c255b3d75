"""Patterns become amplitudes, or stay the counts they are: the objective is the same to the last bit."""

import errno
import mmap
import tempfile

import numpy as np
import pytest

from ptyxrf.driver.files.file_errors import UnwritableFile
from ptyxrf.driver.objective.local_data import LocalData
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.objective.patterns import load_amplitudes
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.simulation.simulate import simulate
from ptyxrf.kernels.kept_counts import KeptCounts
from ptyxrf.parallel.reduction import Ranks


def scan_of_counts(m=16, dtype=np.uint16, mask=True):
    rng = np.random.default_rng(2)
    scan = simulate("cells", m=m, per_side=4, overlap=0.63, fractional=True)
    mean = 20 * scan.patterns / scan.patterns.mean()
    good = rng.random((scan.N, m, m)) > 0.1
    return scan.replace(patterns=rng.poisson(mean).astype(dtype), mask=good if mask else None)


def with_count(scan, place, count, *, masked=False):
    """The scan with another count at one place."""
    patterns, mask = scan.patterns.copy(), scan.mask.copy()
    patterns[place], mask[place] = count, not masked
    return scan.replace(patterns=patterns, mask=mask)


def loaded(scan, dtype=np.float32, **options):
    return load_amplitudes(scan, np.arange(scan.N)[::-1], np.dtype(dtype), **options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_kept_as_counts(dtype):
    """Whole numbers of any type that two bytes hold, of which the largest is left for the mask."""
    place = (3, 5, 6)
    for scan in (
        scan_of_counts(), scan_of_counts(dtype=np.float64), scan_of_counts(dtype=np.int32),
        with_count(scan_of_counts(), place, 65534), with_count(scan_of_counts(), place, 65535, masked=True),
        with_count(scan_of_counts(dtype=np.float64), place, np.nan, masked=True),
    ):  # fmt: skip
        (kept, *sums), (expected, *others) = loaded(scan, dtype, memory="low"), loaded(scan, dtype)
        assert isinstance(kept, KeptCounts) and not isinstance(expected, KeptCounts)
        assert kept.values.nbytes == 2 * expected.size
        np.testing.assert_array_equal(kept[:], expected)
        assert sums == others


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("frame", [0, 7, 15])
def test_what_is_not(dtype, frame, monkeypatch):
    """A value that is no such count is met early or late: what was read before it becomes amplitudes."""
    monkeypatch.setattr("ptyxrf.driver.objective.patterns.READ_BYTES", 3 * 8 * 16 * 16)
    for count in (65535, 1e9, 2.5):
        scan = with_count(scan_of_counts(dtype=np.float64), (frame, 1, 2), count)
        (amplitudes, *sums), (expected, *others) = loaded(scan, dtype, memory="low"), loaded(scan, dtype)
        assert not isinstance(amplitudes, KeptCounts)
        np.testing.assert_array_equal(amplitudes, expected)
        assert sums == others


@pytest.mark.parametrize(
    ("m", "precision", "engine", "loss"),
    [
        (16, "single", "vector", "amplitude"),
        (20, "single", "vector", "poisson"),
        (20, "double", "vector", "amplitude"),
        (11, "single", "library", "amplitude"),
        (11, "double", "library", "poisson"),
    ],
)
def test_the_objective_is_the_same(m, precision, engine, loss):
    scan = scan_of_counts(m)
    settings = {
        "method": "ptychography", "memory": "low", "precision": precision, "engine": engine,
        "pattern_loss": loss, "refine_probe": True,
    }  # fmt: skip
    ours = Objective(scan, **settings)
    data = LocalData.read(scan, "ptychography", ours.real, 0, Ranks())
    other = Objective(scan, **settings, data=data)
    assert isinstance(ours.terms.diffraction.amplitudes, KeptCounts)
    assert not isinstance(other.terms.diffraction.amplitudes, KeptCounts)
    assert ours.data.checksums == other.data.checksums
    point = ours.initial * ours.real.type(1.01)
    (value, gradient), (expected, its_gradient) = (o.value_and_gradient(point) for o in (ours, other))
    assert value == expected
    for mine, theirs in (
        (gradient, its_gradient),
        (ours.hessian_product(gradient), other.hessian_product(gradient)),
        (ours.losses_along(gradient, [-0.1, 0.2]), other.losses_along(gradient, [-0.1, 0.2])),
        (ours.pattern_misfit(), other.pattern_misfit()),
    ):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(("m", "engine"), [(16, "vector"), (20, "vector"), (11, "library")])
@pytest.mark.parametrize("dtype", [np.uint16, np.float64])
def test_patterns_on_disk(m, engine, dtype, tmp_path, monkeypatch):
    """In a file that nobody sees, as counts or as amplitudes, ordered in place; the same to the last bit."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    scan = scan_of_counts(m)
    if dtype == np.float64:
        scan = scan.replace(patterns=scan.patterns + 0.5)
    settings = {"method": "ptychography", "precision": "single", "engine": engine}
    ours, other = (Objective(scan, **settings, memory=memory) for memory in ("disk", "low"))
    assert list(tmp_path.iterdir()) == []
    kept = ours.terms.diffraction.amplitudes
    assert isinstance(kept, KeptCounts) == (dtype == np.uint16)
    assert isinstance(owner(kept.values if isinstance(kept, KeptCounts) else kept), mmap.mmap)
    assert ours.terms.positioned.kept is False and other.terms.positioned.kept
    (value, gradient), (expected, its_gradient) = (o.value_and_gradient(o.initial) for o in (ours, other))
    assert value == expected
    np.testing.assert_array_equal(gradient, its_gradient)
    np.testing.assert_array_equal(ours.losses_along(gradient, [0.2]), other.losses_along(gradient, [0.2]))
    np.testing.assert_array_equal(ours.hessian_product(gradient), other.hessian_product(gradient))


def owner(array):
    """Whose memory an array shows."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return getattr(array, "obj", array)


def test_a_disk_without_room(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(UnwritableFile, match=r"no room for 1\.64e-05 GB \(No space left on device\)"):
        loaded(scan_of_counts(), memory="disk")
    assert loaded(scan_of_counts(), memory="low")


def test_a_disk_that_cannot_take_room_beforehand(monkeypatch):
    def unknown(*arguments):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("os.posix_fallocate", unknown)
    (kept, *_), (expected, *_) = (loaded(scan_of_counts(), memory=memory) for memory in ("disk", "low"))
    np.testing.assert_array_equal(kept.values, expected.values)


def test_a_fit_is_the_same(monkeypatch):
    """From counts, and from counts of which one makes all patterns of the scan amplitudes."""
    scan = scan_of_counts()
    results = []
    for widened in (False, True):
        if widened:
            monkeypatch.setattr("ptyxrf.driver.objective.patterns.MASKED", 0)
        results.append(reconstruct(scan, "ptychography", max_iterations=2, noise_stop=False))
    one, other = results
    assert one.settings["memory"] == "low" and one.history[-1].loss == other.history[-1].loss
    np.testing.assert_array_equal(one.object, other.object)
    np.testing.assert_array_equal(one.quality.per_position, other.quality.per_position)
