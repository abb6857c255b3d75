import json

import numpy as np
import pytest

from ptyxrf.driver.analysis.file_facts import result_facts
from ptyxrf.driver.analysis.inspection import inspect_scan
from ptyxrf.driver.command.info_text import result_text, scan_text
from ptyxrf.driver.data.history import IterationRecord, Reason
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.data.scan_measures import median_step, probe_width
from ptyxrf.driver.simulation.simulate import simulate
from ptyxrf.kernels.simd.emitter import VECTOR_BYTES


class Lazy:
    """Patterns that note how many are read at once."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.most = array, array.shape, array.dtype, 0

    def __getitem__(self, key):
        block = self.array[key]
        self.most = max(self.most, len(block))
        return block


@pytest.fixture(scope="module")
def clean():
    return simulate(
        n=56, m=24, per_side=9, elements=2, photons=400.0, noise="counting", sampling="scan", title="cells"
    )


def findings(scan):
    return [(finding.level, finding.text) for finding in inspect_scan(scan).findings]


def only(scan, word, level):
    """Return the one finding, which has the word in it."""
    found = findings(scan)
    assert [level] == [kind for kind, text in found if word in text], found
    return next(text for _, text in found if word in text)


def test_nothing_is_wrong_with_a_good_scan(clean):
    assert findings(clean) == []
    assert scan_text(inspect_scan(clean)).endswith("nothing wrong or suspicious was found")


def test_facts(clean):
    facts = inspect_scan(clean).facts
    assert facts["patterns"] == 81
    assert facts["object_pixels"] == [56, 56]
    assert facts["energy_keV"] == pytest.approx(8.8)
    assert facts["pixel_size"] == pytest.approx(25e-9)
    assert facts["step_pixels"] == 4.0
    assert facts["overlap_window"] == pytest.approx(1 - 4 / 24)
    assert facts["overlap_probe"] == pytest.approx(1 - 4 / facts["probe_width_pixels"])
    assert facts["counts_per_pixel_mean"] == pytest.approx(400, rel=0.01)
    assert facts["counts_most_in_a_pixel"] == clean.patterns.max()
    assert [element["name"] for element in facts["elements"]] == clean.element_names
    json.dumps(facts)


def test_text_has_units(clean):
    text = scan_text(inspect_scan(clean))
    for words in (
        "8.8 keV",
        "25 nm",
        "56 x 56 pixels = 1.4 µm x 1.4 µm",
        "4 pixels = 100 nm",
        "83.3 % of the window",
    ):
        assert words in text


def test_patterns_are_read_in_blocks(clean, monkeypatch):
    monkeypatch.setattr("ptyxrf.driver.data.scan_measures.BLOCK_BYTES", 8 * 24 * 24 * 10)
    lazy = Lazy(clean.patterns)
    blocks = inspect_scan(clean.replace(patterns=lazy)).facts
    assert lazy.most == 10
    assert blocks == inspect_scan(clean).facts


def test_corner_centred(clean):
    rolled = np.fft.ifftshift(clean.patterns, axes=(1, 2))
    assert "roll them by 12 pixels" in only(clean.replace(patterns=rolled), "centred at the corner", "wrong")


def test_off_centre(clean):
    only(clean.replace(patterns=np.roll(clean.patterns, 3, axis=2)), "centre of mass", "suspicious")


def test_counts_that_are_no_integers(clean):
    scan = clean.replace(patterns=clean.patterns * 1.37, count_scale=None)
    only(scan, "counts are not integers", "suspicious")
    assert not [text for _, text in findings(scan.replace(count_scale=1.37)) if "integers" in text]


def test_nan_and_negative_values_of_a_lazy_source(clean):
    patterns = clean.patterns.copy()
    patterns[3, 2, 2:4] = np.nan
    patterns[5, 2, 2] = -1
    scan = clean.replace(patterns=Lazy(patterns))
    assert only(scan, "NaN", "wrong").startswith("2 pattern values")
    assert only(scan, "negative", "wrong").startswith("1 pattern values")
    mask = np.ones((24, 24), dtype=bool)
    mask[2, 2:4] = False
    assert not [text for level, text in findings(scan.replace(mask=mask)) if level == "wrong"]


def test_empty_and_weak_patterns(clean):
    patterns = clean.patterns.copy()
    patterns[:3] = 0
    only(clean.replace(patterns=patterns), "3 of 81 patterns are empty", "suspicious")
    patterns[:3] = clean.patterns[:3] // 10
    only(clean.replace(patterns=patterns), "a fifth of the median", "suspicious")


def test_saturated(clean):
    only(clean.replace(patterns=np.minimum(clean.patterns, 1500)), "same maximum 1500", "suspicious")


def test_dead_pixel(clean):
    patterns = clean.patterns.copy()
    patterns[:, 12, 10] = 0
    assert "the first at (12, 10)" in only(clean.replace(patterns=patterns), "dead?", "suspicious")
    mask = np.ones((24, 24), dtype=bool)
    mask[12, 10] = False
    assert findings(clean.replace(patterns=patterns, mask=mask)) == []


def test_little_overlap():
    sparse = simulate(n=112, m=24, per_side=5, photons=400.0, noise="counting")
    only(sparse, "below 40 %", "suspicious")


def test_repeated_positions(clean):
    positions = clean.positions.copy()
    positions[1] = positions[0]
    only(clean.replace(positions=positions), "1 positions occur more than once", "suspicious")


def test_one_position_only(clean):
    scan = Scan(clean.patterns[:1], [[0, 0]], clean.probe)
    assert inspect_scan(scan).facts["step_pixels"] is None
    assert "nothing overlaps" in scan_text(inspect_scan(scan))


def test_exposure(clean):
    only(clean.replace(exposure=np.full(81, 3.0)), "exposure has mean 3", "suspicious")


def test_probe_of_another_scale(clean):
    only(clean.replace(probe=clean.probe * 0.01), "its scale is a guess", "suspicious")


def test_probe_that_fills_its_window(clean):
    only(clean.replace(probe=np.full((24, 24), 20.0)), "fills its window", "suspicious")


def test_fluorescence(clean):
    maps = clean.fluorescence.copy()
    maps[0] = np.nan
    only(clean.replace(fluorescence=maps), f"without fluorescence data: {clean.element_names[0]}", "note")
    maps[0] = 0
    only(clean.replace(fluorescence=maps), "zero everywhere", "suspicious")
    maps[0] = -1
    only(clean.replace(fluorescence=maps), "are negative", "suspicious")
    maps = clean.fluorescence * 0.3
    only(clean.replace(fluorescence=maps[:1]), "not in integer counts", "suspicious")
    only(clean.replace(fluorescence=None), "no fluorescence", "note")
    only(clean.replace(truth=None), "weak contrast", "note")


def test_lost_counts(clean):
    """The others are described, and it is said how many are lost."""
    maps = np.array(clean.fluorescence, dtype=float)
    expected = maps[1, 2:].mean()
    maps[1, :2] = np.nan
    inspection = inspect_scan(clean.replace(fluorescence=maps))
    first, second = inspection.facts["elements"]
    assert (first["counts_lost"], second["counts_lost"]) == (0, 2)
    assert second["counts_mean"] == pytest.approx(expected, rel=1e-12)
    text = scan_text(inspection)
    assert text.count("; 2 lost") == 1 and "nan" not in text


def test_lost_points_of_the_fluorescence():
    rng = np.random.default_rng(1)
    counts = rng.poisson(30.0, (1, 9)).astype(float)
    positions = [(3.0 * i, 3.0 * j) for i in range(3) for j in range(3)]
    patterns, probe = rng.poisson(9.0, (9, 12, 12)), 3 * np.ones((12, 12))
    whole = Scan(patterns, positions, probe, fluorescence=counts, count_scale=1.0)
    lost = counts.copy()
    lost[0, [2, 7]] = np.nan
    part = inspect_scan(whole.replace(fluorescence=lost))
    assert part.facts["elements"][0]["counts_mean"] == pytest.approx(np.nanmean(lost))
    assert [one.text for one in part.findings] == [one.text for one in inspect_scan(whole).findings]


def test_the_worst_comes_first(clean):
    rolled = np.fft.ifftshift(clean.patterns, axes=(1, 2))
    scan = clean.replace(patterns=rolled, probe=clean.probe * 0.01, fluorescence=None)
    assert [level for level, _ in findings(scan)] == ["wrong", "suspicious", "note"]


def test_median_step():
    rows, columns = np.indices((40, 50))
    grid = np.stack([rows.ravel() * 3.0, columns.ravel() * 5.0], axis=1)
    assert median_step(grid) == 3.0
    assert median_step(np.concatenate([grid, grid])) == 3.0
    assert median_step(grid[:1]) is None


def test_median_step_of_many_positions():
    rng = np.random.default_rng(0)
    points = rng.random((3000, 2)) * 100
    squares = ((points[:, None] - points) ** 2).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    exact = np.sqrt(np.median(squares.min(axis=1)))
    assert median_step(points) == pytest.approx(exact, rel=1e-6)


def test_probe_width():
    rows, columns = np.indices((200, 200)) - 100
    radius = np.hypot(rows, columns + 7)
    assert probe_width((radius < 50).astype(complex)[None]) == pytest.approx(100 * np.sqrt(0.8), abs=1.5)
    sigma = 15.0
    gaussian = np.exp(-(radius**2) / (4 * sigma**2))[None]
    assert probe_width(gaussian) == pytest.approx(2 * sigma * np.sqrt(-2 * np.log(0.2)), abs=1.5)
    assert probe_width(np.concatenate([gaussian, 2 * gaussian])) == probe_width(gaussian)


def test_memory_grows_with_what_it_is_for(clean):
    facts = inspect_scan(clean).facts
    single, double = facts["memory_single"], facts["memory_double"]
    # amplitudes in rows of whole vectors
    for found, number in ((single, 4), (double, 8)):
        lanes = VECTOR_BYTES // number
        assert found["patterns"] == 81 * 24 * (-(-24 // lanes) * lanes) * number
    assert single["total"] == sum(value for key, value in single.items() if key != "total")


def test_result():
    history = [IterationRecord(0, 9.0), IterationRecord(4, 2.0, sweeps=12.5, errors={"mse": 0.5})]
    result = Result(
        np.ones((5, 6), complex),
        np.zeros((0, 5, 6)),
        np.ones((1, 2, 2)),
        history,
        Reason.SWEEPS,
        "ptychography",
        {"alpha": [1.0], "mean_count": 4.0},
    )
    facts = result_facts(result)
    json.dumps(facts)
    text = result_text(facts)
    for words in ("ptychography", "5 x 6 pixels", "12.5 sweeps", Reason.SWEEPS.value, "mse", "mean_count"):
        assert words in text
