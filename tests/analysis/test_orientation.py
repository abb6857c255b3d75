import numpy as np
import pytest

from ptyxrf.driver.analysis.orientation import (
    ORIENTATIONS,
    Orientation,
    probe_scale_is_rough,
    rank_orientations,
)
from ptyxrf.driver.command.info_text import ranking_text
from ptyxrf.driver.files.scan_file import translation_from_positions
from ptyxrf.driver.files.scan_of_measured import positions_in_pixels
from ptyxrf.driver.simulation.simulate import simulate


@pytest.fixture(scope="module")
def scan():
    # not square and with fractions, so that all orientations differ
    return simulate(
        shape=(72, 84),
        m=24,
        per_side=(8, 9),
        photons=500.0,
        noise="counting",
        sampling=None,
        jitter=0.2,
        fractional=True,
    )


def misread(scan, orientation):
    """Return the scan as a file of another mind has it: read with the flags it comes out right."""
    positions = scan.positions * np.where([orientation.flip_rows, orientation.flip_columns], -1.0, 1.0)
    positions = positions[:, ::-1] if orientation.swap else positions
    shape = scan.shape[::-1] if orientation.swap else scan.shape
    return scan.replace(positions=positions - positions.min(axis=0), shape=shape, truth=None)


def test_orientations_are_all_different_and_read_as_files_are():
    positions = np.array([[0.0, 0.0], [1.0, 5.0], [3.0, 2.0]])
    seen = set()
    for orientation in ORIENTATIONS:
        flags = {key: getattr(orientation, key) for key in ("swap", "flip_rows", "flip_columns")}
        turned = orientation.apply(positions)
        x, y, _ = translation_from_positions(positions, 1.0).T
        read = positions_in_pixels(y, x, (1.0, 1.0), **flags)
        np.testing.assert_allclose(turned, read, atol=1e-12)
        seen.add(turned.tobytes())
    assert len(seen) == 8


def test_names_are_flags():
    assert Orientation(False, False, False).name == "as it is"
    assert Orientation(True, False, True).name == "--swap --flip-columns"


@pytest.mark.parametrize("orientation", [Orientation(False, False, False), Orientation(True, False, True)])
def test_the_right_orientation_is_found(scan, orientation):
    ranking = rank_orientations(misread(scan, orientation), patterns=40, max_sweeps=25)
    assert ranking[0][0] == orientation
    assert len(ranking) == 8
    losses = [loss for _, loss in ranking]
    assert losses == sorted(losses)
    assert losses[1] > 1.2 * losses[0]
    assert f"best: {orientation.name}; the next has" in ranking_text(ranking)


def test_a_rough_probe_is_rescaled_and_refined(scan):
    lines = []
    rough = scan.replace(probe=scan.probe * 1e-3)
    assert probe_scale_is_rough(rough, np.arange(10))
    assert not probe_scale_is_rough(scan, np.arange(10))
    ranking = rank_orientations(rough, patterns=40, max_sweeps=25, report=lines.append)
    assert ranking[0][0].name == "as it is"
    assert len(lines) == 8


def test_masks_are_cut_with_the_patterns(scan):
    mask = np.ones((scan.N, 24, 24), dtype=bool)
    mask[:, 3, 3] = False
    ranking = rank_orientations(scan.replace(mask=mask), patterns=9, max_sweeps=2)
    assert len(ranking) == 8


def test_a_narrow_margin_is_said():
    ranking = [(orientation, 1.0 + 0.01 * k) for k, orientation in enumerate(ORIENTATIONS)]
    assert "do not tell them apart" in " ".join(ranking_text(ranking).split())


def test_too_few_patterns(scan):
    with pytest.raises(ValueError, match="patterns: expected at least 2, got 1"):
        rank_orientations(scan, patterns=1)
