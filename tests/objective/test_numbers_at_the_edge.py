"""Whole reconstructions of tiny scans whose numbers are at the edge of what may come."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ptyxrf
from ptyxrf.driver.data.scan import Scan

METHODS = ("joint", "ptychography", "fluorescence")
SOLVERS = ("quasi-newton", "newton")
M, N = 16, 9
ITERATIONS = 4


def simulated(sampling: str = "scan", **changes) -> Scan:
    arguments = {"m": M, "per_side": 3, "overlap": 0.6, "elements": 2, "photons": 50.0, "noise": "counting"}
    return ptyxrf.simulate("cells", sampling=sampling, **(arguments | changes))


def with_patterns(scan: Scan, change: Callable[[np.ndarray], None]) -> Scan:
    patterns = np.array(scan.patterns)
    change(patterns)
    return scan.replace(patterns=patterns)


def with_mask(scan: Scan, bad: object) -> Scan:
    mask = np.ones((scan.N, M, M), bool)
    mask[bad] = False
    return scan.replace(mask=mask)


def put(place: object, value: object) -> Callable[[np.ndarray], None]:
    return lambda array: array.__setitem__(place, value)


#: What a reconstruction has to end well with: a scan made of a whole one, or of settings of the simulation.
CASES: dict[str, Callable[[str], Scan]] = {
    "a pattern without a count": lambda kind: with_patterns(simulated(kind), put(3, 0)),
    "no counts at all": lambda kind: with_patterns(simulated(kind), put(..., 0)),
    "saturated pixels": lambda kind: with_patterns(simulated(kind), lambda a: np.minimum(a, 20, out=a)),
    "a pattern all masked": lambda kind: with_mask(simulated(kind), 3),
    "one good pixel": lambda kind: with_mask(simulated(kind), np.s_[:, 1:]),
    "one position, n = m": lambda kind: simulated(kind, per_side=1, overlap=None),
    "one pixel of overlap": lambda kind: simulated(kind, step=M - 1, overlap=None),
    "no overlap": lambda kind: simulated(kind, step=M, overlap=None),
    "gaps": lambda kind: simulated(kind, step=M + 3, overlap=None),
    "maps without a count": lambda kind: scaled(simulated(kind), maps=0.0),
    "a map without a count": lambda kind: one_dark_map(simulated(kind)),
    "maps of 1e-12": lambda kind: scaled(simulated(kind), maps=1e-12),
    "maps of 1e12": lambda kind: scaled(simulated(kind), maps=1e12),
    "sensitivity of 1e-12": lambda kind: simulated(kind).replace(sensitivity=1e-12),
    "sensitivity of 1e12": lambda kind: simulated(kind).replace(sensitivity=1e12),
    "exposure of 1e-12": lambda kind: simulated(kind).replace(exposure=np.full(N, 1e-12)),
    "exposure of 1e12": lambda kind: simulated(kind).replace(exposure=np.full(N, 1e12)),
    "attenuation of 1e-12": lambda kind: simulated(kind).replace(attenuation=[1e-12, 1e-12]),
    "attenuation of 1e12": lambda kind: simulated(kind).replace(attenuation=[1e12, 1e12]),
    "background of 1e12": lambda kind: simulated(kind).replace(background=1e12),
    "counts of noiseless data": lambda kind: simulated(kind).replace(
        count_scale=0.0, fluorescence_count_scale=0.0
    ),
    "a photon of 1e12 counts": lambda kind: simulated(kind).replace(
        count_scale=1e12, fluorescence_count_scale=1e12
    ),
}


def scaled(scan: Scan, *, patterns: float = 1.0, maps: float = 1.0) -> Scan:
    """Return a scan with its counts in another unit."""
    return scan.replace(
        patterns=scan.patterns * patterns,
        probe=scan.probe * np.sqrt(patterns),
        fluorescence=scan.fluorescence * maps,
        count_scale=scan.count_scale * patterns,
        fluorescence_count_scale=scan.fluorescence_count_scale * (maps or 1.0),
    )


def one_dark_map(scan: Scan) -> Scan:
    maps = np.array(scan.fluorescence)
    maps[1] = 0
    return scan.replace(fluorescence=maps)


def run(
    scan: Scan, method: str, solver: str, precision: str, refine_probe: bool = False, **settings: Any
) -> ptyxrf.Result:
    return ptyxrf.reconstruct(
        scan,
        method,
        solver=solver,
        precision=precision,
        refine_probe=refine_probe,
        max_iterations=ITERATIONS,
        **settings,
    )


def assert_good(result: ptyxrf.Result) -> None:
    for array in (result.object, result.elements, result.probe):
        assert np.isfinite(array).all()
    losses = [record.loss for record in result.history]
    assert np.isfinite(losses).all() and losses[-1] <= losses[0]
    if result.method != "ptychography":
        assert np.isfinite(result.predicted_fluorescence).all() and (result.elements >= 0).all()
    if result.method != "fluorescence":
        assert np.isfinite(result.pattern_misfit).all()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:The window of:UserWarning")
def test_quick(name):
    assert_good(run(CASES[name]("scan"), "joint", "quasi-newton", "single"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:The window of:UserWarning")
def test_every_method_and_solver(name):
    for kind, precision in (("grid", "single"), ("scan", "double")):
        scan = CASES[name](kind)
        for method, solver, refine_probe in itertools.product(METHODS, SOLVERS, (False, True)):
            assert_good(run(scan, method, solver, precision, refine_probe))


def like(one: np.ndarray, other: np.ndarray, tolerance: float) -> bool:
    return bool((np.abs(one - other) <= tolerance * np.abs(one).max(initial=0.0)).all())


@pytest.mark.parametrize("factor", [1e-12, 1e12])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("solver", "precision"),
    [
        ("quasi-newton", "single"),
        pytest.param("quasi-newton", "double", marks=pytest.mark.slow),
        pytest.param("newton", "single", marks=pytest.mark.slow),
        pytest.param("newton", "double", marks=pytest.mark.slow),
    ],
)
def test_the_unit_of_all_counts_does_not_matter(factor, method, solver, precision):
    """Patterns, probe and maps in a unit that is 1e12 times larger or smaller: the same specimen."""
    scan = simulated("scan")
    other = scaled(scan, patterns=factor, maps=factor)
    for refine_probe in (False, True):
        # rounding may flip decisions, on the strengths of a prior or the most frequent modulus; batches of a
        # scan with as many unknowns as numbers amplify it from stage to stage
        settings = {"fluorescence_prior": "none", "scale_from": "probe"}
        if method == "joint" and refine_probe:
            settings["batch_sweeps"] = 0
        one, two = (run(each, method, solver, precision, refine_probe, **settings) for each in (scan, other))
        assert [record.iteration for record in one.history] == [record.iteration for record in two.history]
        tolerance = 2e-3 if precision == "single" else 1e-6
        assert like(one.object, two.object, tolerance)
        assert like(one.elements, two.elements, tolerance)
        assert like(one.probe, two.probe / np.sqrt(factor), tolerance)


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_the_scale_of_a_probe_that_is_refined_does_not_matter(factor):
    """A probe in another unit than the patterns is scaled to them, before the first maps are made with it."""
    scan = simulated("grid")
    one = run(scan, "joint", "quasi-newton", "single", refine_probe=True)
    two = run(scan.replace(probe=scan.probe * factor), "joint", "quasi-newton", "single", refine_probe=True)
    assert like(one.object, two.object, 1e-2) and like(one.elements, two.elements, 1e-2)
    assert two.loss == pytest.approx(one.loss, rel=1e-2)


@pytest.mark.parametrize("sampling", ["grid", "scan"])
def test_maps_beyond_single_precision_are_refused(sampling):
    for factor in (1e-12, 1e12):
        scan = simulated(sampling)
        scan = scan.replace(probe=scan.probe * factor)
        with pytest.raises(
            ValueError, match=r"^fluorescence: expected counts .* \(precision float32\), got a map"
        ):
            run(scan, "fluorescence", "quasi-newton", "single")
        assert_good(run(scan, "fluorescence", "quasi-newton", "double"))


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1.0])
def test_a_bad_count_is_named(tmp_path, lazy, value):
    message = r"expected finite non-negative intensities .* got .* in pattern 4 at pixel \(2, 1\)"
    scan = simulated()
    if not lazy:
        with pytest.raises(ValueError, match=rf"^patterns: {message}"):
            with_patterns(scan, put((4, 2, 1), value))
        return
    scan.patterns[4, 2, 1] = value
    ptyxrf.write_scan(tmp_path / "scan.h5", scan)
    with pytest.raises(ValueError, match=rf"scan\.h5: \S+: patterns: {message}"):
        ptyxrf.reconstruct(ptyxrf.read_scan(tmp_path / "scan.h5"))


@pytest.mark.parametrize("sampling", ["grid", "scan"])
def test_a_bad_count_of_a_map_is_named(tmp_path, sampling):
    scan = simulated(sampling)
    place, where = ((1, 2, 5), r"pixel \(2, 5\)") if sampling == "grid" else ((1, 5), "position 5")
    maps = np.array(scan.fluorescence)
    maps[place] = np.inf
    message = rf"fluorescence: .* got 1 infinite values for element 1, the first at {where}$"
    with pytest.raises(ValueError, match=f"^{message}"):
        scan.replace(fluorescence=maps)
    scan.fluorescence[place] = np.inf
    ptyxrf.write_scan(tmp_path / "scan.h5", scan)
    with pytest.raises(ValueError, match=rf"scan\.h5: {message}"):
        ptyxrf.read_scan(tmp_path / "scan.h5")
    with pytest.raises(ValueError, match=f"^{message}"):
        ptyxrf.reconstruct(ptyxrf.read_scan(tmp_path / "scan.h5", check=False))


def test_a_mask_without_a_good_pixel_is_named():
    with pytest.raises(ValueError, match=r"^mask: expected some good pixels"):
        with_mask(simulated(), ...)
