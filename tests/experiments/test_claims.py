"""The measures behind the verdicts, on made-up histories, surfaces and spectra; and the page with them."""

import json
from dataclasses import FrozenInstanceError
from functools import cache

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.ndimage import shift as spline_shift

from ptyxrf.driver.analysis.spectrum import Spectrum
from ptyxrf.driver.data.history import IterationRecord
from ptyxrf.driver.simulation.simulate import simulate
from ptyxrf.experiments import catalogue, figures, landscape, page, rank, run, spectrum
from ptyxrf.experiments import extra_comparisons as beyond
from ptyxrf.experiments import sequential_practice as today
from ptyxrf.experiments.claims import (
    LEVELS,
    MOST,
    RISE,
    Claim,
    below,
    errors_at_losses,
    lower_at_the_same_loss,
    rise,
    semi_convergence,
)
from ptyxrf.experiments.findings import Outcome, Picture, Table
from ptyxrf.experiments.paper_cases import low_overlap_case, paper_case


def history(losses, errors, name="mse"):
    return [
        IterationRecord(i, loss, ptychography_loss=loss, errors={name: error})
        for i, (loss, error) in enumerate(zip(losses, errors, strict=True))
    ]


# Claims ---------------------------------------------------------------------------------------------------


def test_a_claim_has_a_verdict():
    assert Claim("key", "text", True, "1").verdict == "holds"
    assert Claim("key", "text", False, "1").verdict == "does not hold"
    with pytest.raises(FrozenInstanceError):
        Claim("key", "text", True, "1").holds = False


@pytest.mark.parametrize(
    ("ours", "theirs", "most", "holds"),
    [
        (1.0, 2.0, 1.0, True),
        (2.0, 1.0, 1.0, False),
        (1.0, 1.0, 1.0, True),
        (1.02, 1.0, 1.02, True),
        (1.03, 1.0, 1.02, False),
        (0.0, 0.0, 1.0, True),
        (1e-9, 0.0, 1.0, False),
        (0.0, 1.0, 1.0, True),
        (np.nan, 1.0, 1.0, False),
        (1.0, np.nan, 1.0, False),
        (np.float32(0.5), np.float64(1), 1.0, True),
    ],
)
def test_below(ours, theirs, most, holds):
    claim = below("key", "text", ours, theirs, at_most=most)
    assert claim.holds is holds
    assert (claim.key, claim.text) == ("key", "text")
    assert f"{ours:.3g} against {theirs:.3g}" in claim.figures
    json.dumps(claim.holds)


def test_errors_at_losses():
    """The first iterate at or below each level counts, also where the loss rises again."""
    losses, errors = [8.0, 4.0, 6.0, 1.0], [80.0, 40.0, 60.0, 10.0]
    found = errors_at_losses(losses, errors, [9, 8, 7, 4, 3.9, 1, 0.5])
    np.testing.assert_array_equal(found, [80, 80, 40, 40, 10, 10, np.nan])
    assert errors_at_losses(losses, errors, []).shape == (0,)
    assert np.isnan(errors_at_losses([np.nan], [1.0], [1.0])).all()


def curves(factors):
    """Return two histories with one loss, the first with errors that are multiples of the other's."""
    losses = np.geomspace(1, 1e-4, LEVELS + 1)
    errors = np.geomspace(1, 0.1, LEVELS + 1)
    return history(losses, errors * np.concatenate([[1.0], factors])), history(losses, errors)


@pytest.mark.parametrize(("worse", "holds"), [(0, True), (4, True), (5, False), (20, False), (LEVELS, False)])
def test_lower_at_the_same_loss(worse, holds):
    """36 of 40 losses are enough, wherever they are."""
    assert MOST * LEVELS == 36
    factors = np.full(LEVELS, 0.5)
    # the levels lie on the losses but for rounding: in one piece at the end they cannot be told wrongly
    factors[LEVELS - worse :] = 2.0
    claim = lower_at_the_same_loss("key", "text", *curves(factors))
    assert bool(claim.holds) is holds
    assert f"lower at {100 * (1 - worse / LEVELS):.0f} % of the losses" in claim.figures
    assert f"median ratio {2 if worse > 20 else 1.25 if worse == 20 else 0.5:.3g}" in claim.figures


def test_equal_errors_are_not_lower():
    assert not lower_at_the_same_loss("key", "text", *curves(np.ones(LEVELS))).holds


def test_only_losses_that_both_reach_are_compared():
    """From the lower of the first losses to the higher of the lowest ones."""
    ours = history([10.0, 1.0, 0.1], [5.0, 1.0, 0.5])
    theirs = history([1.0, 0.1, 1e-6], [2.0, 2.0, 1e-9])
    assert lower_at_the_same_loss("key", "text", ours, theirs).holds
    assert not lower_at_the_same_loss("key", "text", theirs, ours).holds
    # a history without any step has one loss
    alone = lower_at_the_same_loss("key", "text", ours[1:], theirs[:1])
    assert alone.holds and "100 %" in alone.figures


def test_other_losses_and_errors():
    first, second = (
        [
            IterationRecord(i, 1.0, fluorescence_loss=loss, errors={"mse": 9.0, "mse_Fe": error})
            for i, (loss, error) in enumerate(zip((1.0, 0.1), errors, strict=True))
        ]
        for errors in ((1.0, 0.1), (1.0, 0.9))
    )
    names = {"error": "mse_Fe", "loss": "fluorescence_loss"}
    assert lower_at_the_same_loss("key", "text", first, second, **names).holds
    assert not lower_at_the_same_loss("key", "text", second, first, **names).holds
    with pytest.raises(KeyError):
        lower_at_the_same_loss("key", "text", first, second, "mse_Cu")


def test_rise():
    assert rise(history([3, 2, 1], [4.0, 2.0, 3.0]), "mse") == 1.5
    assert rise(history([3, 2, 1], [4.0, 2.0, 1.0]), "mse") == 1.0
    assert rise(history([3], [4.0]), "mse") == 1.0


@pytest.mark.parametrize(
    ("joint", "fluorescence", "holds", "kind"),
    [
        ([4, 2, 1], [4, 1, 2], True, "not"),
        ([4, 1, RISE], [4, 1, 2], True, "not"),
        ([4, 1, 1.5], [4, 1, 2], True, "less"),
        ([4, 1, 2], [4, 1, 2], False, "more"),
        ([4, 1, 3], [4, 1, 2], False, "more"),
        ([4, 2, 1], [4, 2, 1], False, "not"),  # neither does
        ([4, 2, 1], [4, 1, RISE], False, "not"),
    ],
)
def test_semi_convergence(joint, fluorescence, holds, kind):
    first, second = (history(range(3, 0, -1), np.array(errors, float)) for errors in (joint, fluorescence))
    claim = semi_convergence("key", "text", first, second, "mse")
    assert bool(claim.holds) is holds
    assert claim.figures.endswith(f"({kind})")


# Beyond ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.03, 0.1])
def test_sampled_scans_have_the_noise_or_the_counts_of_the_grid(level):
    """A map of s samples at the level l holds s / l^2 counts, each worth its count scale."""
    case = paper_case("", n=40, per_side=5, m=16, elements=2, fluorescence_noise=level)

    def counts(scan):
        scales = scan.fluorescence_count_scale.reshape(-1, *[1] * (scan.fluorescence.ndim - 1))
        return (scan.fluorescence / scales).reshape(scan.N_e, -1).sum(axis=1)

    assert case.map_noise == level
    grid = counts(case.scan)
    np.testing.assert_allclose(grid, 40 * 40 / level**2, rtol=0.01)
    (name, same_noise), (other_name, same_counts) = beyond.scan_sampled(case)
    assert (name, other_name) == ("scan", "scan, grid's counts")
    for scanned in (same_noise, same_counts):
        assert scanned.scan.sampling == "scan"
        assert scanned.scan.fluorescence.shape == (2, 25)
        np.testing.assert_array_equal(scanned.scan.patterns, case.scan.patterns)
        np.testing.assert_array_equal(scanned.scan.truth["elements"], case.scan.truth["elements"])
    np.testing.assert_allclose(counts(same_noise.scan), 25 / level**2, rtol=0.05)
    np.testing.assert_allclose(counts(same_counts.scan), grid, rtol=0.01)
    assert len({case.label, same_noise.label, same_counts.label}) == 3
    assert same_noise.identity != same_counts.identity != case.identity


def test_noiseless_scans_have_one_way_to_be_sampled():
    case = paper_case("", n=40, per_side=5, m=16, noise=0.0)
    ((name, scanned),) = beyond.scan_sampled(case)
    assert name == "scan"
    assert not scanned.scan.fluorescence_count_scale.any()


@cache
def noiseless(sampling, elements):
    more = {}
    if elements == 3:
        more = {"attenuation": [0.5, 0.3, 1.1], "sensitivity": [1.0, 4.0, 0.3], "background": [0.0, 2.0, 0.5]}
    return simulate(
        "cells", m=16, per_side=6, overlap=0.6, elements=elements, sampling=sampling, noise=0.0, **more
    )


@pytest.mark.parametrize("angle", [1.234, -2.9, 0.0, 3.1, 6.2])
@pytest.mark.parametrize("elements", [1, 3])
@pytest.mark.parametrize("sampling", ["grid", "scan"])
def test_the_phase_is_found_from_the_fluorescence(sampling, elements, angle):
    scan = noiseless(sampling, elements)
    truth = scan.truth["object"]
    turned = beyond.turned_to_fluorescence(truth * np.exp(1j * angle), scan)
    assert turned.dtype == np.complex128
    np.testing.assert_allclose(turned, truth, atol=1e-5)
    single = beyond.turned_to_fluorescence((truth * np.exp(1j * angle)).astype(np.complex64), scan)
    np.testing.assert_allclose(single, truth, atol=1e-5)


def test_the_phase_needs_no_truth_and_changes_nothing():
    scan = noiseless("grid", 3)
    given = scan.truth["object"] * 1j
    before = given.copy()
    without = beyond.turned_to_fluorescence(given, scan.replace(truth=None))
    np.testing.assert_array_equal(given, before)
    np.testing.assert_array_equal(without, beyond.turned_to_fluorescence(given, scan))
    np.testing.assert_allclose(np.abs(without), np.abs(given), rtol=1e-12)


def test_named_errors():
    errors = {"mse": 1.0, "mse_aligned": 2.0, "mse_imaginary_illuminated": 3.0, "mse_real": 9.0}
    one, three = noiseless("grid", 1), noiseless("grid", 3)
    names = [f"mse_{name}_illuminated" for name in three.element_names]
    found = beyond.named_errors(errors | dict(zip(names, (4.0, 5.0, 9.0), strict=True)), three)
    assert found == {"raw": 1.0, "aligned": 2.0, "y": 3.0, "maps": 6.0}
    assert list(found) == list(beyond.METRICS)
    # ptychography has no maps: y stands for a single one, in its units, but not for three
    halved = one.replace(attenuation=[0.5])
    assert beyond.named_errors(errors, halved)["maps"] == pytest.approx(3.0 / 0.25)
    assert np.isnan(beyond.named_errors(errors, three)["maps"])
    with_map = errors | {f"mse_{one.element_names[0]}_illuminated": 7.0}
    assert beyond.named_errors(with_map, halved)["maps"] == 7.0


class Runs:
    """Stands in for a study: gives results whose errors are made up."""

    quick = True

    def __init__(self, ends):
        self.ends = ends
        self.asked = []

    def tuned(self, case, method, **settings):
        self.asked.append((case.settings["seed"], method, settings))
        record = IterationRecord(0, 1.0, errors=self.ends(case.settings["seed"], method))
        return type("Run", (), {"history": [record], "method": method})()


@pytest.mark.parametrize(
    ("joint", "holds"),
    [
        ({}, True),
        ({"mse": 0.1}, True),
        ({"mse": 1.02, "mse_aligned": 1.02}, True),
        ({"mse": 1.03}, False),
        ({"mse_aligned": 1.03}, False),
        ({"mse_imaginary_illuminated": 0.6}, False),  # fluorescence has 0.5, ptychography 1
        ({"mse_P_illuminated": 0.6}, False),
        ({"mse": np.nan}, False),
    ],
    ids=str,
)
def test_the_goal_is_to_beat_both_in_every_error_for_every_seed(joint, holds):
    case = paper_case("a label", n=40, per_side=5, m=16)

    def ends(seed, method):
        errors = {"mse": 1.0, "mse_aligned": 1.0, "mse_imaginary_illuminated": 1.0}
        if method != "ptychography":
            errors |= {"mse_imaginary_illuminated": 0.5, "mse_P_illuminated": 0.5}
        # the object of fluorescence alone is none, however close it is
        if method == "fluorescence":
            errors |= {"mse": 1e-9, "mse_aligned": 1e-9}
        return errors | (joint if method == "joint" and seed == 4 else {})

    assert case.scan.element_names[0] == "P"
    study = Runs(ends)
    claim = beyond.goal_claim(study, "key", case, (3, 4), {"max_sweeps": 7.0})
    assert claim.key == "key: goal" and "a label" in claim.text
    assert claim.holds is holds
    assert all(f"{metric} 1, " in claim.figures for metric in beyond.METRICS)
    assert {seed for seed, *_ in study.asked} == {3, 4}
    assert all(settings == {"max_sweeps": 7.0} for *_, settings in study.asked)


# Landscape ------------------------------------------------------------------------------------------------

ONE, OTHER = np.meshgrid(landscape.STEPS, landscape.STEPS, indexing="ij")


@pytest.mark.parametrize(
    ("surface", "part"),
    [
        (ONE**2 + OTHER**2, 1.0),
        (3 * ONE**2 + 0.1 * OTHER**2 + 0.5 * ONE * OTHER + ONE - 7, 1.0),
        (ONE**2 - OTHER**2, 0.0),
        (ONE * OTHER, 0.0),
        (
            ONE**2 + OTHER**2 + 3 * ONE * OTHER,
            0.0,
        ),  # both second differences are positive, and it is a saddle
        (-(ONE**2) - OTHER**2, 0.0),
        (np.zeros_like(ONE), 0.0),
        (ONE**2, 0.0),  # a valley is not strictly convex
        (np.where(ONE > 1e-9, ONE**4 + OTHER**2, -(ONE**4) + OTHER**2), 19 / 39),
    ],
    ids=["bowl", "tilted bowl", "saddle", "turned saddle", "steep saddle", "hill", "flat", "valley", "half"],
)
def test_convex_part(surface, part):
    found = landscape.convex_part(surface)
    assert found == pytest.approx(part, abs=1e-12)
    assert landscape.convex_part(surface.T) == pytest.approx(part, abs=1e-12)


def test_measures_of_a_paraboloid():
    surface = 2 + 3 * (ONE**2 + OTHER**2)
    near = 2 + 3 * landscape.NEAR**2 * (ONE**2 + OTHER**2)
    found = landscape.measure(surface, near)
    assert found["loss at the centre"] == 2
    assert found["rise at radius 1"] == pytest.approx(3, rel=0.05)
    assert found["largest loss"] == surface.max() == 152
    assert found["convex part"] == found["convex part, +-0.5"] == 1
    assert found["distance from a paraboloid"] < 1e-12
    twice = landscape.measure(2 * surface, near)
    assert twice["rise at radius 1"] == pytest.approx(2 * found["rise at radius 1"])


def test_measures_of_a_saddle_and_of_a_quartic():
    saddle = landscape.measure(ONE**2 - OTHER**2, ONE**2 + OTHER**2)
    assert saddle["rise at radius 1"] == pytest.approx(0, abs=1e-12)
    assert (saddle["convex part"], saddle["convex part, +-0.5"]) == (0, 1)
    assert saddle["distance from a paraboloid"] < 1e-12
    quartic = landscape.measure(ONE**4 + OTHER**4, ONE**4 + OTHER**4)
    assert 0.01 < quartic["distance from a paraboloid"] < 0.2


class Filters:
    """Stands in for an objective: its unknowns are filters of four pixels."""

    class fields:
        @staticmethod
        def view(vector):
            return vector.reshape(-1, 2, 2)


def test_directions_have_the_norms_of_the_point():
    """In each filter alone."""
    centre = np.repeat([3.0, 0.5, 0.0], 4)
    direction = np.concatenate([np.arange(1.0, 5), -np.ones(4), np.ones(4)])
    before = direction.copy()
    found = landscape.normalised(Filters, direction, centre)
    np.testing.assert_array_equal(direction, before)
    norms = np.linalg.norm(found.reshape(3, 4), axis=1)
    np.testing.assert_allclose(norms, [6.0, 1.0, 0.0])
    np.testing.assert_allclose(found[:4] / found[0], direction[:4])


def test_a_direction_without_one_of_the_filters_stays_so():
    found = landscape.normalised(Filters, np.repeat([1.0, 0.0], 4), np.full(8, 3.0))
    np.testing.assert_array_equal(found[4:], 0)


# Spectrum and rank ----------------------------------------------------------------------------------------


def test_transport():
    """The mean way from each eigenvalue to its place in the other spectrum."""
    exact = np.array([4.0, 1.0, 3.0, 0.0])
    same = Spectrum(exact[None], np.full((1, 4), 0.25), 4)
    assert spectrum.transport(same, exact) == pytest.approx(0, abs=1e-15)
    moved = Spectrum(exact[None] + 0.5, np.full((1, 4), 0.25), 4)
    assert spectrum.transport(moved, exact) == pytest.approx(0.5)
    one_moved = Spectrum(np.array([[0.0, 1.0, 3.0, 10.0]]), np.full((1, 4), 0.25), 4)
    assert spectrum.transport(one_moved, exact) == pytest.approx(6 / 4)
    # two vectors whose mean is right have nothing to move; a quadrature has fewer nodes than eigenvalues
    halves = Spectrum(np.array([[0.0, 1.0], [3.0, 4.0]]), np.full((2, 2), 0.5), 4)
    assert spectrum.transport(halves, exact) == pytest.approx(0, abs=1e-15)
    single = Spectrum(np.array([[2.0]]), np.ones((1, 1)), 4)
    assert spectrum.transport(single, exact) == pytest.approx((2 + 1 + 1 + 2) / 4)


def spread(alone, both):
    return {
        claim.key.split(":")[1].split(",")[0].strip(): claim.holds
        for claim in spectrum.spread_claims("truth", np.sort(alone)[::-1], np.sort(both)[::-1])
    }


def test_claims_of_the_spectrum():
    wide = np.linspace(0, 7, 1000)
    gap = np.concatenate([np.linspace(0, 0.02, 990), np.linspace(0.5, 1, 10)])
    assert spread(wide, gap) == {"spread": True, "near zero": True, "gap": True}
    assert spread(gap, wide) == {"spread": False, "near zero": False, "gap": False}
    # too many and too few outliers, and a bulk that reaches them
    assert not spread(wide, np.concatenate([np.zeros(900), np.ones(100)]))["near zero"]
    assert not spread(wide, np.concatenate([np.zeros(9999), np.ones(1)]))["near zero"]
    reaching = np.concatenate([np.linspace(0, 0.049, 990), np.linspace(0.06, 1, 10)])
    assert spread(wide, reaching) == {"spread": True, "near zero": True, "gap": False}
    json.dumps([claim.holds for claim in spectrum.spread_claims("truth", wide[::-1], gap[::-1])])


def test_rank_of():
    sigma = np.array([0.0, 1e-5, 1e-4, 1e-3, 1.0])
    assert rank.TAU == 1e-4
    assert rank.rank_of(sigma) == 3
    assert rank.rank_of(sigma, 1e-6) == 4
    assert rank.rank_of(sigma, 2.0) == 0
    assert isinstance(rank.rank_of(sigma), int)


# Today ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moved", [(0, 0), (2, -1), (0.4, 1.3)])
def test_registered(moved):
    """Maps that are moved together come back; what a single map does is not their common shift."""
    rows, columns = np.indices((40, 36))
    truth = np.stack(
        [
            np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / (2 * w**2))
            for r, c, w in ((18, 17, 4), (22, 14, 3))
        ]
    )
    area = np.zeros((40, 36), bool)
    area[6:-6, 6:-6] = True
    given = np.stack([spline_shift(map_, moved, order=5) for map_ in truth]).astype(np.float32)
    before = given.copy()
    found = today.registered(given, truth, area)
    np.testing.assert_array_equal(given, before)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found[:, area], truth[:, area], atol=2e-3)


# Page, figures and records --------------------------------------------------------------------------------


def test_tables():
    text = page.table_text(("a|b", "n"), [("x | y", 1 / 3), (None, 2), (True, 1e-20), ("", 123456.0)])
    assert text.splitlines() == [
        "| a\\|b | n |",
        "| --- | --- |",
        "| x \\| y | 0.333 |",
        "|  | 2 |",
        "| True | 1e-20 |",
        "|  | 1.23e+05 |",
    ]
    assert page.table_text(("a",), []) == "| a |\n| --- |"


def record(**changes):
    plain = {
        "name": "noise",
        "title": "Noise & more",
        "paper": "Fig. 1",
        "about": "About it.",
        "quick": False,
        "claims": [
            {"key": "k", "text": "a < b | c", "holds": False, "figures": "1", "verdict": "does not hold"}
        ],
        "tables": [{"title": "A table", "head": ["x", "y"], "rows": [[None, 0.123456], ["a|b", 3]]}],
        "pictures": [{"file": "noise-a.png", "caption": "The caption"}],
        "notes": ["A sentence."],
        "cost": {"reconstructions": 3, "sweeps": 10.4, "seconds": 2.6, "elapsed": 3.0},
        "numbers": {},
    }
    return plain | changes


def test_page(tmp_path):
    records = [record(), record(name="size", title="Size", quick=True, claims=[], tables=[], pictures=[])]
    page.write_page(tmp_path, records)
    text = (tmp_path / "paper.md").read_text("utf-8")
    assert text == page.page_text(records)
    assert text.startswith("# The paper, checked (smaller versions)\n")
    assert page.page_text(records[:1]).startswith("# The paper, checked\n")
    assert "| [noise](#noise) | Fig. 1 | 3 | 10 | 3 |" in text
    assert "| noise | a < b \\| c | does not hold | 1 |" in text
    assert '<a id="noise"></a>' in text and "![The caption](noise-a.png)" in text
    assert "| 0.123 |" in text and "a\\|b" in text and "A sentence." in text and "Size" in text
    assert {path.name for path in tmp_path.iterdir()} == {"paper.md"}
    page.write_page(tmp_path, [])
    assert "Verdicts" in (tmp_path / "paper.md").read_text("utf-8")


def test_plain():
    value = {
        1: (np.float32(0.5), np.int64(3), np.bool_(True)),
        "a": np.array([[1.0, np.nan], [np.inf, -np.inf]]),
        "b": [None, "text", 2, True, float("nan")],
        "c": {"d": np.zeros((0, 2)), "e": np.array(2.5)},
    }
    assert run.plain(value) == {
        "1": [0.5, 3, True],
        "a": [[1.0, None], [None, None]],
        "b": [None, "text", 2, True, None],
        "c": {"d": [], "e": 2.5},
    }
    json.dumps(run.plain(value), allow_nan=False)
    assert run.plain(np.float64("nan")) is None
    assert run.plain(np.float32("inf")) is None


def test_outcomes_add_up():
    claim, table = Claim("a", "", True, ""), Table("t", (), ())
    first, second = Outcome([claim], [table], [], {"a": 1}, ["n"]), Outcome(numbers={"b": 2}, notes=["m"])
    picture = Picture("p", "", Figure)
    second.pictures.append(picture)
    first.extend(second)
    assert first == Outcome([claim], [table], [picture], {"a": 1, "b": 2}, ["n", "m"])
    assert Outcome().claims is not Outcome().claims


def test_catalogue():
    """Every experiment has a title, a place in the paper, a sentence about it, and a function."""
    assert len(set(catalogue.NAMES)) == len(catalogue.NAMES)
    titles = set()
    for name in catalogue.NAMES:
        module = catalogue.experiment(name)
        assert callable(module.run) and module.PAPER
        assert module.__doc__.strip().splitlines()[0].endswith((".", ","))
        titles.add(module.TITLE)
    assert len(titles) == len(catalogue.NAMES)
    for name in ("nonsense", "all", "", "claims", "../noise"):
        with pytest.raises(ValueError, match=r"^NAME: expected one of .* or all, got "):
            catalogue.experiment(name)


def test_figures(tmp_path):
    """Rows of images with a place left empty, and curves; each is written as a PNG."""
    rng = np.random.default_rng(0)
    image = rng.random((5, 6))
    rows = [
        ("one", {"truth": image, "other": None, "third": image}),
        ("two", {"truth": image, "only": image}),
    ]
    drawn = figures.image_rows("a title", rows)
    assert len([axis for axis in drawn.axes if axis.images]) == 4
    histories = {"joint": history([3.0, 2.0, 1.0], [1.0, 0.5, 0.2]), "unnamed": history([3.0], [1.0])}
    panels = [[("errors", "mse", histories), ("loss", "ptychography_loss", histories)]]
    curves_drawn = figures.curve_panels("a title", panels, dotted="mse_aligned")
    for axis, lines in zip(curves_drawn.axes, (4, 2), strict=True):
        assert len(axis.lines) == lines
        assert axis.get_xscale() == axis.get_yscale() == "log"
    for name, figure in (("rows.png", drawn), ("curves.png", curves_drawn)):
        figures.write_figure(tmp_path / name, figure)
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


# Setting --------------------------------------------------------------------------------------------------


def test_cases_are_the_papers():
    case = low_overlap_case(quick=False)
    scan = case.scan
    assert (scan.shape, scan.N, scan.m, scan.N_e) == ((62, 62), 16, 16, 1)
    assert 2 * scan.shape[0] * scan.shape[1] == landscape.UNKNOWNS
    step = np.diff(np.unique(scan.positions[:, 0]))
    assert 1 - step.mean() / 16 == pytest.approx(0.0625, abs=0.03)
    assert not scan.count_scale.any()
    small = low_overlap_case(quick=True).scan
    assert (small.shape, small.N, small.m) == ((31, 31), 4, 16)
    assert case.start == {"real_part": 0.5, "imaginary_part": 0.5, "elements": 0.5}


def test_elements_share_the_start_of_y():
    case = paper_case("", n=80, per_side=3, m=32, quick=True, elements=3, attenuation=[0.5, 0.3, 1.2])
    assert case.scan.shape == (40, 40) and case.scan.m == 16
    assert case.start["elements"] * case.scan.attenuation.sum() == pytest.approx(0.5)
    blind = paper_case("", n=40, per_side=3, m=16, sampling=None)
    assert blind.start["elements"] == 0.5


def test_cases_are_named_by_what_makes_them():
    case = paper_case("label", n=40, per_side=3, m=16)
    assert case.scan is case.scan
    assert case.but("other").identity == case.identity
    assert case.but("other").label == "other" and case.but(seed=1).label == case.label
    assert case.but(seed=1).identity != case.identity
    json.dumps(case.identity)
