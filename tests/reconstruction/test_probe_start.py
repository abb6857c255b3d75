"""The probe from which a reconstruction starts."""

import logging

import numpy as np
import pytest

from ptyxrf.driver.command.reconstruct import summary
from ptyxrf.driver.reconstruction.probe_candidates import (
    ProbeCandidate,
    defoci,
    defocus_distance,
    defocused,
    finer_ratios,
    mean_pattern,
    neighbours,
    probe_candidates,
    pupil_of,
)
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.simulation.simulate import simulate
from ptyxrf.driver.simulation.zone_plate import zone_plate_probe

DEFOCUS = 80e-6
PLATE = {"pixel_size": 10e-9, "outermost_zone_width": 25e-9}


@pytest.fixture(scope="module")
def scan():
    """A scan whose probe has the wrong sign of the defocus, by the word of the file."""
    made = simulate(
        "cells",
        m=32,
        shape=(80, 80),
        probe=zone_plate_probe(32, defocus=DEFOCUS / 2, **PLATE),
        pixel_size=10e-9,
        path="snake",
        per_side=9,
        photons=300.0,
        noise="counting",
        sampling="scan",
        jitter=0.2,
        fractional=True,
    )
    return made.replace(probe=zone_plate_probe(32, defocus=-DEFOCUS / 2, **PLATE), truth=None)


def loss(result):
    return result.history[-1].ptychography_loss / result.settings["mean_count"]


OPTIONS = {"refine_probe": True, "max_sweeps": 40}


@pytest.mark.parametrize("method", ["ptychography", "joint"])
def test_a_search_finds_the_sign_of_the_defocus(scan, method, caplog):
    given = reconstruct(scan, method, **OPTIONS)
    with caplog.at_level(logging.INFO, "ptyxrf"):
        found = reconstruct(scan, method, probe_start="search", **OPTIONS)
    assert loss(found) < 0.6 * loss(given)
    ranking = found.settings["probe_ranking"]
    assert "defocus +" in ranking[0]["probe"] and "um)" in ranking[0]["probe"]
    assert [one["loss"] for one in ranking] == sorted(one["loss"] for one in ranking)
    assert ranking[0]["probe"] in found.history[0].note
    assert "trying" in caplog.text and f"starting from {ranking[0]['probe']}: loss" in caplog.text
    assert given.settings["probe_ranking"] == []
    assert f"start: {ranking[0]['probe']} (loss " in summary(found, scan)
    assert "start:" not in summary(given, scan)


def test_a_good_guess_wins_and_stays_as_it_is(scan):
    right = scan.replace(probe=zone_plate_probe(32, defocus=DEFOCUS / 2, **PLATE))
    found = reconstruct(right, "ptychography", probe_start="search", **OPTIONS)
    given = reconstruct(right, "ptychography", **OPTIONS)
    assert found.settings["probe_ranking"][0]["probe"] == "given probe"
    np.testing.assert_array_equal(found.object, given.object)


def test_other_starts(scan):
    pupil = reconstruct(scan, "ptychography", probe_start="zone-plate", **OPTIONS)
    assert all(one["probe"].startswith("mean pattern") for one in pupil.settings["probe_ranking"])
    assert "defocus +" in pupil.settings["probe_ranking"][0]["probe"]
    flat = reconstruct(scan, "ptychography", probe_start="mean-pattern", **OPTIONS)
    assert flat.settings["probe_ranking"] == []
    assert loss(pupil) < loss(flat)


def test_a_search_grows_modes_and_reads_a_lazy_source(scan):
    class Lazy:
        shape, dtype = scan.patterns.shape, scan.patterns.dtype

        def __getitem__(self, key):
            return scan.patterns[key]

    options = OPTIONS | {"probe_start": "search", "modes": 2, "max_sweeps": 10}
    one = reconstruct(scan, "ptychography", **options)
    assert one.probe.shape == (2, 32, 32)
    lazy = reconstruct(scan.replace(patterns=Lazy()), "ptychography", **options)
    np.testing.assert_array_equal(lazy.object, one.object)


def test_candidates(scan):
    names = [candidate.name for candidate in probe_candidates(scan, "search")]
    assert names[0] == "given probe" and set(names[1:]) == {"given pupil", "mean pattern"}
    total = mean_pattern(scan).sum()
    for kind in ("zone-plate", "mean-pattern", "search"):
        for candidate in probe_candidates(scan, kind):
            if candidate.defocus is not None:
                assert np.sum(np.abs(candidate.probe) ** 2) == pytest.approx(total)
    assert [candidate.defocus for candidate in probe_candidates(scan, "mean-pattern")] == [0.0]


def test_defocus_of_a_pupil_is_that_of_a_zone_plate(scan):
    """With the sign and the unit of `zone_plate_probe`."""
    flat, far = (zone_plate_probe(32, defocus=z, **PLATE) for z in (0.0, DEFOCUS / 2))
    pupil = pupil_of(flat[None])
    c = DEFOCUS / 2 / defocus_distance(scan, 1.0)
    made = defocused(pupil, c)[0]
    overlap = abs(np.vdot(made, far)) / np.linalg.norm(made) / np.linalg.norm(far)
    assert overlap > 0.97
    assert defocus_distance(scan.replace(geometry=None), c) is None
    np.testing.assert_allclose(pupil_of(made[None]), pupil, atol=1e-12)


def test_defoci_fill_the_window():
    m = 64
    axis = np.arange(m) - m // 2
    pupil = (np.hypot(axis[:, None], axis) < 11).astype(float)
    values = np.array(defoci(pupil))
    np.testing.assert_allclose(values, -values[::-1])
    assert 0 in values and len(values) % 2 == 1
    # the edge of the pupil reaches the edge of the window: c q m / pi = m / 2
    assert values.max() * 10.4 * m / np.pi == pytest.approx(m / 2, rel=0.05)


def test_many_waves_of_defocus_need_finer_steps():
    axis = np.arange(64) - 32
    pupil = (np.hypot(axis[:, None], axis) < 11).astype(float)
    few, many = (ProbeCandidate("", defocused(pupil, c), c) for c in (0.01, 0.14))
    assert finer_ratios(few) == [] and len(finer_ratios(many)) == 2
    less, more = neighbours(many, 0.8)
    assert less.defocus == pytest.approx(0.8 * 0.14) and more.defocus == pytest.approx(0.14 / 0.8)
    assert neighbours(ProbeCandidate("", many.probe), 0.8) == []


def test_the_mean_pattern_is_filled_under_the_mask(scan):
    mask = np.ones((32, 32), dtype=bool)
    mask[14:18, 14:18] = False
    mask[20] = False
    patterns = np.where(mask, scan.patterns, np.nan)
    whole, filled = mean_pattern(scan), mean_pattern(scan.replace(patterns=patterns, mask=mask))
    np.testing.assert_allclose(filled[mask], whole[mask])
    assert (filled[~mask] > 0).all() and filled[~mask].max() <= whole.max()
    # a pixel that some patterns have is their mean
    masks = np.broadcast_to(mask, scan.patterns.shape).copy()
    masks[0] = True
    of_one = mean_pattern(scan.replace(mask=masks))
    np.testing.assert_allclose(of_one[~mask], scan.patterns[0][~mask] / scan.exposure[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"probe_start": "best"}, "probe_start: expected one of given, search, zone-plate, mean-pattern"),
        ({"refine_probe": False}, "probe_start: expected refine_probe = true beside 'search'"),
        ({"method": "fluorescence"}, "probe_start: expected a method with patterns beside 'search'"),
        ({"start": {"probe": np.ones((1, 32, 32))}}, "start: expected no probe beside probe_start 'search'"),
    ],
)
def test_wrong_arguments(scan, settings, message):
    with pytest.raises(ValueError, match=message):
        reconstruct(scan, **({"probe_start": "search", "refine_probe": True} | settings))


def test_dark_patterns_show_no_probe(scan):
    dark = scan.replace(patterns=np.zeros_like(scan.patterns))
    with pytest.raises(ValueError, match="probe_start: expected patterns with counts for 'search'"):
        reconstruct(dark, "ptychography", probe_start="search", **OPTIONS)
