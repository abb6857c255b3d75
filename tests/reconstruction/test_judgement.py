"""What is wrong or suspicious about data is said before a reconstruction, and stops it."""

import warnings

import numpy as np
import pytest
from scan_examples import GEOMETRY

import ptyxrf
from ptyxrf.driver.reconstruction.judgement import SuspiciousScan
from ptyxrf.driver.reconstruction.reconstruct import DoubtfulFit


def plain_scan(**changes):
    rng = np.random.default_rng(3)
    m, positions = 16, np.array([(3.0 * i, 3.0 * j) for i in range(4) for j in range(4)])
    y, x = np.indices((m, m)) - m // 2
    probe = 40 * np.exp(-(x**2 + y**2) / 12 + 0.05j * (x**2 + y**2))
    z = np.exp(1j * rng.random((25, 25)))
    patches = [z[int(r) : int(r) + m, int(c) : int(c) + m] * probe for r, c in positions]
    patterns = rng.poisson(np.abs(np.fft.fftshift(np.fft.fft2(patches, norm="ortho"), axes=(1, 2))) ** 2)
    arguments = {"patterns": patterns.astype(np.uint16), "positions": positions, "probe": probe}
    return ptyxrf.Scan(**arguments | changes)


def said_of(scan, **settings):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        ptyxrf.reconstruct(scan, "ptychography", max_iterations=1, **settings)
    return " ".join(str(one.message) for one in said if issubclass(one.category, SuspiciousScan))


def test_nothing_is_said_of_good_data():
    assert said_of(plain_scan()) == ""


def wrong_scans():
    scan = plain_scan()
    gap = scan.patterns.copy()
    gap[:, 3] = 65535
    return [
        (scan.replace(patterns=np.fft.ifftshift(scan.patterns, axes=(1, 2))), "centred at the corner"),
        (scan.replace(patterns=gap), "hold 65535, the largest uint16"),
        (scan.replace(positions=1e-8 * scan.positions, shape=None), "are they in metres"),
    ]


@pytest.mark.parametrize("case", range(3))
def test_wrong_data_are_refused_unless_forced(case):
    scan, text = wrong_scans()[case]
    with pytest.raises(ValueError, match=rf"scan: .*{text}.*force"):
        ptyxrf.reconstruct(scan, "ptychography", max_iterations=1)
    assert text in said_of(scan, force=True)
    assert [finding.level for finding in ptyxrf.inspect_scan(scan).findings if text in finding.text] == [
        "wrong"
    ]


def test_positions_that_no_memory_holds_are_refused_before_it_is_taken():
    scan = plain_scan()
    far = scan.positions.copy()
    far[5] += 4e6
    for positions in (scan.positions + 3e6, far):
        with pytest.raises(ValueError, match=r"positions: the object grid of \d+ x \d+ pixels takes .* GB"):
            ptyxrf.reconstruct(scan.replace(positions=positions, shape=None), "ptychography")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"mask": np.arange(256).reshape(16, 16) < 20}, "of the other polarity"),
        ({"exposure": 0.02}, "exposure has mean 0.02"),
        ({"probe": np.ones((16, 16)) / 16}, "its scale is a guess"),
        ({"geometry": ptyxrf.Geometry(GEOMETRY.energy * 1e3, 1.95, 75e-6)}, "photon energy is 8800 keV"),
        ({"geometry": ptyxrf.Geometry(GEOMETRY.energy, 1.0, 3e-6)}, "near field"),
    ],
)
def test_suspicious_data(changes, text):
    scan = plain_scan(**changes)
    assert text in said_of(scan)
    if "probe" in changes:
        assert text not in said_of(scan, refine_probe=True)


def test_dropped_frames_are_named_and_can_be_left_out():
    scan = plain_scan()
    patterns = scan.patterns.copy()
    patterns[[2, 9]] = 0
    scan = scan.replace(patterns=patterns)
    assert "2 of 16 patterns are empty" in said_of(scan)
    assert said_of(scan.select(np.setdiff1d(np.arange(16), [2, 9]))) == ""


def test_a_scan_without_a_probe_begins_with_a_search():
    scan = plain_scan(probe=None)
    result = ptyxrf.reconstruct(scan, "ptychography", max_iterations=2)
    assert result.settings["probe_start"] == "zone-plate" and result.settings["refine_probe"]
    assert result.settings["probe_ranking"]


def test_a_doubtful_fit_is_said_in_python_too():
    scan = plain_scan()
    wrong = scan.replace(probe=np.roll(scan.probe, 3, axis=1) ** 2 / 40)
    with pytest.warns(DoubtfulFit, match="Poor fit"):
        ptyxrf.reconstruct(wrong, "ptychography", max_iterations=3)
