"""Probes by name, conditions of section 3, their table on the page, and the search for Table 1."""

import numpy as np
import pytest

from ptyxrf.driver.analysis.dense_hessian import dense_hessian
from ptyxrf.driver.analysis.spectrum import Spectrum
from ptyxrf.driver.simulation.zone_plate import zone_plate_probe
from ptyxrf.experiments import page, perturbation, rank_search, spectrum
from ptyxrf.experiments.conditions import CONVENTIONS, Condition, conditions_of
from ptyxrf.experiments.paper_cases import paper_objective, random_specimen, vector_of
from ptyxrf.experiments.probe_shapes import PROBES, lit_part, probe_field
from ptyxrf.experiments.run_cache import RunCache

# Probes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROBES)
def test_probes_are_scaled_to_their_largest_magnitude(name):
    probe = probe_field(name, 16)
    assert probe.shape == (16, 16) and np.abs(probe).max() == pytest.approx(1)
    assert np.abs(probe[8, 8]) > 0.05


def test_fields_of_probes():
    r = np.hypot(*(np.indices((16, 16)) - 8))
    np.testing.assert_allclose(probe_field("gaussian:0.375", 16), np.exp(-((r / 3) ** 2)))
    np.testing.assert_array_equal(probe_field("disc", 16), r < 8)
    np.testing.assert_array_equal(probe_field("zone-plate", 16), zone_plate_probe(16))


def test_a_wider_probe_lights_more_of_its_window():
    assert lit_part(np.ones((8, 8))) == 1
    assert lit_part(np.eye(4)) == pytest.approx(1 / 4)
    for kind, widths in (("gaussian", (0.2, 0.5, 1, 2)), ("disc", (0.3, 1)), ("zone-plate", (0.4, 0.7, 1))):
        lit = [lit_part(probe_field(f"{kind}:{width}", 32)) for width in widths]
        assert lit == sorted(lit) and lit[0] < lit[-1] / 2


@pytest.mark.parametrize(
    "name", ["", "cone", "disc:", "disc:0", "gaussian:-1", "gaussian:inf", "zone-plate:1.1"]
)
def test_wrong_probes(name):
    with pytest.raises(ValueError, match="probes: expected KIND or KIND:WIDTH"):
        probe_field(name, 16)


# Conditions -----------------------------------------------------------------------------------------------


def test_all_pairs_by_default():
    every = conditions_of()
    assert len(every) == len(set(every)) == len(PROBES) * len(CONVENTIONS)
    assert conditions_of("disc,disc", "printed") == (Condition("disc", "printed"),)
    with pytest.raises(ValueError, match=r"^dft: expected words of unitary, printed, got 'Unitary'"):
        conditions_of(None, "Unitary")


def test_random_specimen():
    z = random_specimen(40, 3).transmission()
    assert 0.5 <= z.real.min() < 0.51 and 0.99 < z.real.max() <= 1
    assert (z.imag.min(), z.imag.max()) == (0, 1)
    # white noise, and a map that changes little from pixel to pixel
    assert np.abs(np.diff(z.real)).mean() > 0.1 > 2 * np.abs(np.diff(z.imag)).mean()


def test_the_convention_is_in_the_weight_alone():
    """Gradients of a DFT that is not normalised are m^2 times larger, as the gradient-norm weight tells."""
    case = Condition("gaussian:1", "unitary").case(small=True, quick=True)
    m = case.settings["m"]
    unitary, printed = (
        paper_objective(case, "joint", **Condition("gaussian:1", word).weight("joint", m))
        for word in CONVENTIONS
    )
    np.testing.assert_allclose(printed.alpha, m**2 * unitary.alpha)
    assert Condition("gaussian:1", "printed").weight("ptychography", m) == {}


def test_sampled_and_dense_spectra_agree(tmp_path):
    cache = RunCache(tmp_path, quick=True, quiet=True, conditions=conditions_of("gaussian:1", "printed"))
    findings = spectrum.under_conditions(cache)
    case = cache.conditions[0].case(small=False, quick=True)
    truth = case.scan.truth["object"], case.scan.truth["elements"]
    values = spectrum.eigenvalues(cache, case, "joint", "truth", *truth, alpha_scale=64.0)
    (row,) = findings.numbers["conditions"]
    assert row["joint, % below 0.05"] == pytest.approx(100 * np.mean(values < 0.05 * values[0]), abs=1)
    alone, maps, both = perturbation.largest_eigenvalues(cache, case, alpha_scale=64.0)
    assert both == pytest.approx(values[0], rel=1e-9)
    assert max(alone, maps) <= both <= alone + maps  # both blocks are positive at the truth


def test_tenths():
    found = Spectrum(np.array([[-0.1, 0.0, 5.0, 9.5, 10.0]]), np.full((1, 5), 0.2), 10)
    np.testing.assert_allclose(spectrum.tenths_of(found), [4, 0, 0, 0, 2, 0, 0, 0, 0, 4], atol=1e-12)


def test_gap():
    assert spectrum.gap_in(np.array([1.0, 0.3, 0.01, 0.0, -0.2])) == (0.01, 0.3)


# The page -------------------------------------------------------------------------------------------------


def record(name, *claims):
    keys = ("text", "holds", "condition", "figures")
    claims = [dict(zip(keys, claim, strict=True)) for claim in claims]
    for claim in claims:
        claim["verdict"] = "holds" if claim["holds"] else "does not hold"
    return {"name": name, "claims": claims}


def test_claims_under_conditions_are_one_table():
    records = [
        record("rank", ("higher", True, "a", "1/2"), ("higher", True, "b", "2/3"), ("plain", False, "", "0")),
        record(
            "spectrum", ("near", False, "a", "9 %"), ("near", True, "b", "99 %"), ("never", False, "b", "-")
        ),
    ]
    heading, table = page.conditions_text(records)
    assert heading.startswith("### Section 3")
    assert table.splitlines() == [
        "| experiment | claim | a | b |",
        "| --- | --- | --- | --- |",
        "| rank | higher | holds: 1/2 | holds: 2/3 |",
        "| spectrum | near | does not hold: 9 % | holds: 99 % |",
        "| spectrum | never |  | does not hold: - |",
    ]
    assert page.verdicts_text(records).count("\n") == 2 and "plain" in page.verdicts_text(records)
    answer = page.answer_text(records)
    assert answer.startswith("Is the paper right? 0 of the 1 claims")
    assert "Of the 3 claims of section 3" in answer and "1 hold for all, 1 for none and 1 for some" in answer


def test_without_conditions_the_page_has_no_such_table():
    records = [record("rank", ("plain", True, "", "1"))]
    assert page.conditions_text(records) == []
    assert page.answer_text(records) == "Is the paper right? 1 of the 1 claims of the table of verdicts hold."


# The search for Table 1 -----------------------------------------------------------------------------------


def test_ranks_of_a_sampled_spectrum():
    """Singular values of at least tau count, with either sign."""
    values = np.array([[-1e-3, -1e-4, -5e-5, 0.0, 9e-5, 1e-4, 1.0]])
    found = Spectrum(values, np.full(values.shape, 1 / 7), 7)
    for factor, expected in ((1.0, 4), (1.2, 5), (1e-1, 2), (1e-2, 1)):
        assert 7 * rank_search.rank_fractions(found, np.array([factor]))[0] == pytest.approx(expected), factor
    assert np.isnan(rank_search.rank_fractions(Spectrum(values[:, :2], values[:, :2], 7), np.ones(1)))


def test_the_best_factor_of_a_candidate():
    """Ranks that are those of Table 1 for Hessians 10 times larger."""

    def made(wanted):
        values = np.concatenate([np.full(wanted, 2e-5), np.zeros(rank_search.UNKNOWNS - wanted)])[None]
        return Spectrum(values, np.full(values.shape, 1 / values.size), values.size)

    spectra = {
        (method, k): made(pair[i])
        for k, pair in rank_search.TABLE.items()
        for i, method in enumerate(rank_search.METHODS)
    }
    match = rank_search.matched(None, spectra)
    assert match.worst < 1e-9 and match.factor >= 5
    np.testing.assert_allclose(match.ranks, list(rank_search.TABLE.values()))


def test_the_formula_as_printed_is_that_of_squared_patterns():
    """Patterns d^2 at the same point give the Hessian with d in the place of sqrt(d)."""
    case = Condition("gaussian:1", "unitary").case(small=True, quick=True)
    objective = paper_objective(case, "ptychography")
    at = vector_of(objective, case.scan.truth["object"] * 1.1, case.scan.truth["elements"])
    printed = dense_hessian(objective, at, printed_data=True)
    squared = paper_objective(rank_search.with_squared_patterns(case, 1.0), "ptychography")
    np.testing.assert_allclose(dense_hessian(squared, at), printed, atol=1e-12 * np.abs(printed).max())
