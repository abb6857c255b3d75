"""The Hessian as a matrix against the product, over all options; invalid arguments."""

import naive
import numpy as np
import pytest
from objective_cases import CASES as OBJECTIVE_CASES
from objective_cases import DEFAULTS, make_scan, random_point

from ptyxrf import dense_hessian
from ptyxrf.driver.analysis import dense_hessian as module
from ptyxrf.driver.objective.links import LinearLink, Link
from ptyxrf.driver.objective.objective import Objective

#: The cases of the objective with the probe known and amplitudes alone, and what these leave out.
CASES = {
    name: case | {"probe": False}
    for name, case in OBJECTIVE_CASES.items()
    if not case.get("pattern_background")
    and case.get("pattern_loss") != "poisson"
    and (not case.get("refractive") or case.get("method", "joint") != "joint")
} | {
    "joint correlation, odd": {"blur": "correlation", "K": 2, "curvature": "gauss-newton"},
    "joint scan, positive": {"sampling": "scan", "N_e": 3, "missing": True, "curvature": "positive"},
    "ptychography, odd": {"method": "ptychography", "m": 9, "curvature": "gauss-newton"},
}


def build(case, precision="double", alpha=(0.04, 0.3, 0.01), scan=None, **options):
    """Return an objective of a case, with different weights for its elements, and a random point."""
    case = DEFAULTS | case
    scan = make_scan(case) if scan is None else scan
    weights = alpha[: scan.N_e] if scan.N_e else 1.0
    options = {"link_offset": case["offset"]} | options
    objective = Objective(scan, case["method"], weights, case["curvature"], precision, **options)
    return objective, objective.scatter(**random_point(objective, np.random.default_rng(8)))


def largest_difference(objective, point, matrix, count=5):
    """Of products with random vectors, relative."""
    objective.value_and_gradient(point)
    rng = np.random.default_rng(3)
    differences = []
    for _ in range(count):
        direction = rng.normal(size=objective.size).astype(objective.real)
        differences.append(naive.relative(objective.hessian_product(direction), matrix @ direction))
    return max(differences)


@pytest.mark.parametrize(
    ("name", "pixels"),
    [*((name, 20) for name in CASES), *(("joint scan, positive", pixels) for pixels in (1, 512))],
)
def test_equals_the_product(name, pixels, monkeypatch):
    monkeypatch.setattr(module, "PIXELS", pixels)  # detector rows at once: one, some with a rest, all
    monkeypatch.setattr(module, "SQUARE", 50)
    objective, point = build(CASES[name])
    matrix = dense_hessian(objective, point)
    assert matrix.shape == (objective.size, objective.size) and matrix.dtype == np.float64
    np.testing.assert_array_equal(matrix, matrix.T)
    assert largest_difference(objective, point, matrix) < 1e-12


def test_every_entry():
    objective, point = build(CASES["joint grid, everything"])
    matrix = dense_hessian(objective, point)
    objective.value_and_gradient(point)
    columns = np.array([objective.hessian_product(unit) for unit in np.eye(objective.size)])
    assert naive.relative(matrix, columns) < 1e-12


@pytest.mark.parametrize("curvature", ["full", "gauss-newton", "positive"])
def test_dark_pixels(curvature):
    """Where no light arrives q and c are 0: half of the object is, and all of one pattern."""
    case = DEFAULTS | {"method": "ptychography", "curvature": curvature}
    objective, _ = build(case)
    z = naive.random_complex(np.random.default_rng(1), objective.scan.shape)
    row, column = objective.scan.corners[2]
    z[row : row + 7, column : column + 7] = 0
    point = objective.scatter(real_part=z.real, imaginary_part=z.imag)
    assert largest_difference(objective, point, dense_hessian(objective, point)) < 1e-12


def test_the_start_has_the_probe_and_the_point_is_left_alone():
    """The probe of the start and not that of the scan; a matrix elsewhere changes no product."""
    case = DEFAULTS | CASES["joint scan, everything"]
    scan = make_scan(case)
    probe = naive.random_complex(np.random.default_rng(4), scan.probe.shape)
    objective, point = build(case, scan=scan, start={"probe": probe})
    objective.value_and_gradient(point)
    before = objective.hessian_product(point).copy()
    dense_hessian(objective, 2 * point + 1)
    np.testing.assert_array_equal(objective.hessian_product(point), before)
    assert largest_difference(objective, point, dense_hessian(objective, point)) < 1e-12


def test_single_precision_and_the_unit_of_the_data():
    """The matrix comes from the scan in double precision, whatever the objective computes in."""
    scan = make_scan(DEFAULTS)
    scan = scan.replace(patterns=1e9 * scan.patterns, probe=10**4.5 * scan.probe)
    double, point = build({}, scan=scan)
    single, _ = build({}, "single", scan=scan)
    point = point.astype(np.float32)
    matrix = dense_hessian(single, point)
    assert naive.relative(matrix, dense_hessian(double, point)) < 1e-6
    assert largest_difference(double, point, dense_hessian(double, point)) < 1e-12
    assert largest_difference(single, point, matrix) < 1e-5


def test_a_combination_of_complex_weights():
    """A link with real and imaginary parts in each weight uses all parts of the blocks."""
    scan = make_scan(DEFAULTS | {"N_e": 3})
    link = LinearLink(scan.attenuation, 0.3)
    link.weights = np.array([0.9 + 0.2j, 0.3 + 0.7j, -0.1 + 0.4j, 1.1 - 0.6j])
    objective, point = build({}, scan=scan, link=link)
    matrix = dense_hessian(objective, point)
    np.testing.assert_array_equal(matrix, matrix.T)
    assert largest_difference(objective, point, matrix) < 1e-12


def test_printed_data():
    """With d for sqrt(d): the Hessian of the same scan with the squares of the data."""
    case = CASES["joint grid, everything"]
    scan = make_scan(DEFAULTS | case)
    objective, point = build(case, scan=scan)
    squared, _ = build(case, scan=scan.replace(patterns=scan.patterns**2))
    printed = dense_hessian(objective, point, printed_data=True)
    assert naive.relative(printed, dense_hessian(squared, point)) < 1e-14
    assert naive.relative(printed, dense_hessian(objective, point)) > 1e-2


# ---------------------------------------------------------------- invalid arguments


class Bent(Link):
    unknowns = ("real_part", "elements")
    linear = False
    weights = np.array([1.0, 0.5j])

    def forward(self, fields, at, z):
        z[...] = 0

    derivative = adjoint = forward


def test_refused():
    objective, point = build({})
    for wrong in (None, objective.scan):
        with pytest.raises(ValueError, match=r"^objective: expected an Objective, got"):
            dense_hessian(wrong, point)
    with pytest.raises(ValueError, match=r"^vector: expected shape"):
        dense_hessian(objective, point[:-1])
    with pytest.raises(ValueError, match=r"^vector: expected finite numbers"):
        dense_hessian(objective, np.where(np.arange(point.size) == 3, np.nan, point))
    with pytest.raises(ValueError, match=rf"at most 100 unknowns .* got {point.size}, .* `spectrum`"):
        dense_hessian(objective, point, most=100)
    for wrong in (0, 1.5, True, "many"):
        with pytest.raises(ValueError, match=r"^most: expected an integer of at least 1"):
            dense_hessian(objective, point, most=wrong)
    assert dense_hessian(objective, point, most=point.size).shape == (point.size,) * 2

    refined, point = build({}, refine_probe=True)
    with pytest.raises(ValueError, match=r"^objective: expected a known probe"):
        dense_hessian(refined, point)
    for settings, message in (
        ({"pattern_loss": "poisson"}, "amplitudes without a background"),
        ({"refine_pattern_background": True}, "known positions, .* got background_amplitude"),
        ({"refine_positions": "both"}, "known positions, .* got displacement, distortion"),
        ({"refine_intensities": True}, "known positions, .* got log_amplitude"),
        ({"fluorescence_prior": 2.0}, "uniform weights and no prior"),
    ):
        other, point = build({}, **settings)
        with pytest.raises(ValueError, match=rf"^objective: expected {message}"):
            dense_hessian(other, point)
    for curvature in ("positive", "gauss-newton"):
        held, point = build({"curvature": curvature})
        with pytest.raises(ValueError, match=r"^printed_data: expected .* 'full', got"):
            dense_hessian(held, point, printed_data=True)
    bent, point = build({}, link=Bent())
    with pytest.raises(ValueError, match=r"^objective: expected a linear link, got Bent"):
        dense_hessian(bent, point)


def test_several_ranks_are_refused():
    objective, point = build({})
    objective.ranks.size = 3
    with pytest.raises(ValueError, match=r"^objective: expected one on a single rank, got 3 ranks"):
        dense_hessian(objective, point)
