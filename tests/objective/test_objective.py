"""The objective against the naive model and Taylor expansions; its weights, its units, wrong arguments."""

import naive
import numpy as np
import pytest
from objective_cases import CASES, DEFAULTS, make_scan, random_point

from ptyxrf.driver.data.geometry import Geometry
from ptyxrf.driver.data.optical_constants import optical_constants
from ptyxrf.driver.objective.links import LinearLink
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.reconstruction.reconstruct import reconstruct


def build(case, precision="double", alpha=0.04, **options):
    """Return the objective of a case, its naive twin, and a random point and direction."""
    scan = make_scan(case)
    objective = Objective(
        scan,
        case["method"],
        alpha,
        case["curvature"],
        precision,
        case["probe"],
        link_offset=case["offset"],
        refine_positions=case["positions"],
        refine_intensities=case["intensities"],
        pattern_loss=case["pattern_loss"],
        refine_pattern_background=case["refine_pattern_background"],
        **{"free": case["free"], "matrix": case["matrix"]} | options,
    )
    weights = np.where(scan.measured, 1.0 if case["method"] == "fluorescence" else alpha, 0.0)
    model = naive.model_of(
        scan,
        alpha=weights,
        method=case["method"],
        link_offset=case["offset"],
        curvature=case["curvature"],
        loss=case["pattern_loss"],
        matrix=case["matrix"],
        phase_free=case["method"] == "joint" and case["free"] != "none",
    )
    if case["refine_pattern_background"]:
        model.known = objective.terms.known_background() + model.faint
    rng = np.random.default_rng(8)
    return objective, model, random_point(objective, rng), random_point(objective, rng)


def close(arrays, expected, tolerance):
    assert list(arrays) == list(expected)
    for name, values in expected.items():
        assert naive.relative(arrays[name], values) < tolerance, name


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request):
    return DEFAULTS | request.param


def moving(case):
    """Whether beam or object are no polynomials along a line, so that `losses_along` only proposes."""
    bent = case["refractive"] and case["method"] == "joint"
    return case["positions"] != "none" or case["intensities"] or bent


# ---------------------------------------------------------------- against the naive model


@pytest.mark.parametrize("memory", ["cached", "low"])
def test_value_gradient_and_product(case, memory):
    objective, model, u, du = build(case, memory=memory)
    value, gradient = objective.value_and_gradient(objective.scatter(**u))
    ptychography, fluorescence = model.losses(u)
    assert value == pytest.approx(ptychography + fluorescence, rel=1e-12)
    if case["method"] == "fluorescence":
        assert np.isnan(objective.losses.ptychography)
    else:
        assert objective.losses.ptychography == pytest.approx(ptychography, rel=1e-12)
    if case["method"] == "ptychography":
        assert np.isnan(objective.losses.fluorescence)
    else:
        assert objective.losses.fluorescence == pytest.approx(fluorescence, rel=1e-12)
    close(objective.gather(gradient), model.gradient(u), 1e-11)
    product = objective.hessian_product(objective.scatter(**du))
    close(objective.gather(product), model.product(u, du), 1e-11)
    assert objective.work.gradients == objective.work.products == 1


def test_single_precision_is_close(case):
    objective, model, u, du = build(case, "single")
    vector = objective.scatter(**u)
    assert vector.dtype == np.float32
    value, gradient = objective.value_and_gradient(vector)
    assert value == pytest.approx(model.value(u), rel=1e-5)
    assert gradient.dtype == np.float32
    close(objective.gather(gradient), model.gradient(u), 1e-5)
    product = objective.hessian_product(objective.scatter(**du))
    close(objective.gather(product), model.product(u, du), 1e-5)
    if moving(case):
        return
    along = objective.losses_along(objective.scatter(**du), [0.5])
    moved = {name: u[name] + 0.5 * du[name] for name in u}
    assert along == pytest.approx([model.value(moved)], rel=1e-4)


def test_the_naive_model_is_consistent(case):
    """The reference itself: its gradient and its full product are derivatives of its value."""
    _, model, u, du = build(case | {"curvature": "full"})
    h = 1e-4
    ahead, behind = ({name: u[name] + t * du[name] for name in u} for t in (h, -h))
    slope = naive.inner(model.gradient(u), du)
    assert (model.value(ahead) - model.value(behind)) / (2 * h) == pytest.approx(slope, rel=1e-5)
    product = model.product(u, du)
    forward, back = model.gradient(ahead), model.gradient(behind)
    for name in u:
        assert naive.relative((forward[name] - back[name]) / (2 * h), product[name]) < 1e-4, name


# ---------------------------------------------------------------- derivatives


def test_taylor_rates(case):
    """Remainders fall with h^2 after the gradient and h^3 after the Hessian, for each unknown and for all."""
    objective, _, u, du = build(case | {"curvature": "full"})
    point = objective.scatter(**u)
    for moved in [(name,) for name in u] + [tuple(u)]:
        direction = objective.scatter(**{name: du[name] if name in moved else 0 * du[name] for name in du})
        direction /= np.linalg.norm(direction)
        value, gradient = objective.value_and_gradient(point)
        slope, bend = gradient @ direction, objective.hessian_product(direction) @ direction
        remainders = []
        for h in (0.004, 0.002):
            values = np.array(
                [objective.value_and_gradient(point + t * direction)[0] - value for t in (h, -h)]
            )
            first = values - np.array([h, -h]) * slope
            remainders.append((np.abs(first).max(), np.abs(first - 0.5 * h * h * bend).max()))
        (second, third), (second_half, third_half) = remainders
        assert np.log2(second / second_half) == pytest.approx(2, abs=0.1), moved
        if third > 1e-12 * abs(value):  # a quadratic function leaves no third order
            # a wrong product would leave 2; above 3 where the cubic terms happen to cancel
            assert 2.8 < np.log2(third / third_half) < 4.1, moved


def test_symmetry(case):
    objective, _, u, du = build(case)
    objective.value_and_gradient(objective.scatter(**u))
    left = objective.scatter(**du)
    right = objective.scatter(**random_point(objective, np.random.default_rng(3)))
    product = objective.hessian_product(left)
    difference = product @ right - objective.hessian_product(right) @ left
    assert abs(difference) <= 1e-12 * np.linalg.norm(product) * np.linalg.norm(right)


def test_products_refer_to_the_point_last_evaluated(case):
    objective, _, u, du = build(case)
    point, direction = objective.scatter(**u), objective.scatter(**du)
    objective.value_and_gradient(point)
    product = objective.hessian_product(direction).copy()
    point[:] = 0  # the caller may do what he likes with his vector
    objective.losses_along(direction, [0.1, 2.0])
    np.testing.assert_array_equal(objective.hessian_product(direction), product)
    objective.value_and_gradient(objective.scatter(**du))
    if case["method"] != "fluorescence" or case["probe"]:  # elsewhere the Hessian is constant
        assert naive.relative(objective.hessian_product(direction), product) > 1e-3


def test_losses_along(case):
    objective, model, u, du = build(case)
    if moving(case):  # right to first order: what a proposal needs
        at = objective.at(objective.scatter(**u))
        direction = objective.scatter(**du)
        along = at.losses_along(direction, [0.0, 1e-6])
        assert along[0] == pytest.approx(at.value, rel=1e-12)
        assert (along[1] - along[0]) / 1e-6 == pytest.approx(at.gradient @ direction, rel=1e-3)
        return
    objective.value_and_gradient(objective.scatter(**u))
    steps = [0.0, 0.3, 1.0, -2.0]
    direct = [model.value({name: u[name] + t * du[name] for name in u}) for t in steps]
    assert naive.relative(objective.losses_along(objective.scatter(**du), steps), direct) < 1e-12
    assert objective.work.gradients == 1


def test_product_with_dots(case):
    objective, _, u, du = build(case)
    objective.value_and_gradient(objective.scatter(**u))
    direction = objective.scatter(**du)
    residual = objective.scatter(**random_point(objective, np.random.default_rng(4)))
    product, sums = objective.product_with_dots(direction, residual)
    np.testing.assert_array_equal(product, objective.hessian_product(direction))
    np.testing.assert_allclose(
        sums, [residual @ direction, product @ direction, residual @ residual], rtol=1e-12
    )
    assert objective.dot(direction, residual) == pytest.approx(direction @ residual, rel=1e-12)


def test_scatter_and_gather(case):
    objective, _, u, _ = build(case)
    vector = objective.scatter(**u)
    assert vector.shape == (objective.size,)
    close(objective.gather(vector), u, 1e-15)
    np.testing.assert_array_equal(objective.scatter(**objective.gather(vector)), vector)
    bounded = np.zeros(objective.size, bool)
    bounded[objective.nonnegative] = True
    flags = objective.gather(bounded.astype(float))
    for name, values in flags.items():
        assert values.all() if name in ("matrix", "elements") else not values.any()


def test_preconditioner_is_symmetric_and_positive(case):
    objective, _, u, _ = build(case | {"curvature": "positive"})
    objective.value_and_gradient(objective.scatter(**u))
    rng = np.random.default_rng(2)
    left, right = rng.normal(size=(2, objective.size))
    free = np.ones(objective.size, bool)
    free[objective.nonnegative] = rng.random(free[objective.nonnegative].shape) > 0.3
    for held in (None, free):
        a, b = (objective.precondition(v if held is None else v * held, held) for v in (left, right))
        assert a @ (right if held is None else right * held) == pytest.approx(b @ left, rel=1e-10)
        assert a @ left > 0
        if held is not None:
            assert not a[~held].any()


# ---------------------------------------------------------------- background and loss of the patterns


def test_poisson_agrees_with_amplitudes_at_many_counts():
    case = DEFAULTS | {"method": "ptychography", "probe": True, "m": 8}
    scan = make_scan(case)
    rng = np.random.default_rng(5)
    intensity = naive.model_of(scan, method="ptychography").intensities(np.ones(scan.shape), scan.probe)
    scan = scan.replace(patterns=intensity * (1 + 1e-4 * rng.standard_normal(intensity.shape)))
    found = []
    for loss in ("amplitude", "poisson"):
        objective = Objective(scan, "ptychography", refine_probe=True, curvature="full", pattern_loss=loss)
        value, gradient = objective.value_and_gradient(objective.initial)
        found.append((value, gradient, objective.hessian_product(gradient)))
    (value, gradient, product), (other, other_gradient, other_product) = found
    assert other == pytest.approx(value, rel=1e-3)
    assert naive.relative(other_gradient, gradient) < 1e-3
    assert naive.relative(other_product, product) < 1e-3


def test_background_at_the_start():
    """Given or in the darkest pixels, it is there from the start, and little is added to it."""
    case = DEFAULTS | {"method": "ptychography", "m": 16}
    scan = make_scan(case, N=40)
    rng = np.random.default_rng(6)
    patterns = rng.poisson(50 + 40 * np.sin(np.arange(40))[:, None, None] * np.ones((16, 16)))
    patterns[:, :3] = rng.poisson(2.0, (40, 3, 16))
    scan = scan.replace(patterns=patterns.astype(float), count_scale=1)
    objective = Objective(scan, "ptychography", refine_pattern_background=True)
    assert objective.beam.background(objective.initial) == pytest.approx(np.full((16, 16), 1.9), rel=0.3)
    given = np.linspace(0, 3, 256).reshape(16, 16)
    objective = Objective(
        scan.replace(pattern_background=given), "ptychography", refine_pattern_background=True
    )
    found = objective.beam.background(objective.initial)
    np.testing.assert_allclose(found - given, (found - given)[0, 0], rtol=1e-9)
    assert 0 < (found - given)[0, 0] <= 0.1 * 1.5 + 1e-9
    known = Objective(scan, "ptychography")
    assert known.beam.background(known.initial) is None


def test_a_refined_background_explains_the_patterns():
    case = DEFAULTS | {"method": "ptychography", "m": 8, "fraction": True, "exposure": True}
    scan = make_scan(case, N=30)
    rng = np.random.default_rng(7)
    truth = 0.2 + rng.random((8, 8))
    z = np.exp(0.3j * rng.standard_normal(scan.shape))
    patterns = naive.model_of(scan, method="ptychography").intensities(z, scan.probe) + truth
    scan = scan.replace(patterns=patterns, count_scale=0)
    start = {"real_part": z.real, "imaginary_part": z.imag}
    options = {"max_iterations": 60, "loss_tolerance": 0, "start": start}
    without = reconstruct(scan, "ptychography", **options)
    # none of it is known
    scan = scan.replace(pattern_background=0)
    result = reconstruct(scan, "ptychography", refine_pattern_background=True, **options)
    assert without.pattern_background is None
    assert result.loss < 1e-3 * without.loss
    assert naive.relative(result.pattern_background, truth) < 0.05


# ---------------------------------------------------------------- curvatures


def dense_hessian(objective, u):
    objective.value_and_gradient(objective.scatter(**u))
    return np.array([objective.hessian_product(row) for row in np.eye(objective.size)])


@pytest.mark.parametrize(
    "name",
    [
        "joint grid",
        "joint scan, everything",
        "fluorescence grid, probe",
        "ptychography, probe",
        "joint grid, positions",
        "joint scan, intensities",
    ],
)
def test_held_curvatures_are_positive_semidefinite(name):
    case = DEFAULTS | CASES[name] | {"m": 6, "K": 1, "N_e": CASES[name].get("N_e", 1)}
    lowest = {}
    for curvature in ("full", "gauss-newton", "positive"):
        objective, _, u, _ = build(case | {"curvature": curvature})
        values = np.linalg.eigvalsh(dense_hessian(objective, u))
        lowest[curvature] = values[0] / values[-1]
    assert lowest["full"] < -1e-6
    assert lowest["gauss-newton"] > -1e-12
    assert lowest["positive"] > -1e-12


def test_positive_equals_full_where_the_field_is_bright():
    case = DEFAULTS | CASES["joint grid"] | {"m": 6}
    products = {}
    for factor in (1e-9, 1.0):  # counts far below |psi|^2, and comparable ones
        for curvature in ("full", "positive"):
            scan = make_scan(case)
            scan = scan.replace(patterns=scan.patterns * factor)
            objective = Objective(scan, "joint", 0.04, curvature)
            rng = np.random.default_rng(8)
            u, du = random_point(objective, rng), random_point(objective, rng)
            objective.value_and_gradient(objective.scatter(**u))
            products[factor, curvature] = objective.hessian_product(objective.scatter(**du))
    np.testing.assert_allclose(products[1e-9, "positive"], products[1e-9, "full"], rtol=1e-12, atol=1e-12)
    assert naive.relative(products[1.0, "positive"], products[1.0, "full"]) > 1e-3


# ---------------------------------------------------------------- units


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("factor", [1e-12, 1e12])
@pytest.mark.parametrize(
    ("method", "refine"), [("joint", False), ("ptychography", True), ("joint", True), ("fluorescence", False)]
)
def test_the_unit_of_the_data_does_not_matter(method, refine, factor, precision):
    case = DEFAULTS | {"method": method, "N_e": 3, "background": True, "m": 8}
    scan = make_scan(case)
    scaled = scan.replace(
        patterns=scan.patterns * factor,
        probe=scan.probe * np.sqrt(factor),
        fluorescence=scan.fluorescence * factor,
        background=scan.background * factor,
        count_scale=factor,
        fluorescence_count_scale=factor,
    )
    # a few inner steps: many of them amplify rounding, whatever the unit
    options = {"max_iterations": 4, "precision": precision, "refine_probe": refine, "inner_limit": 5}
    unit = 1.0 if method == "fluorescence" else factor  # a negative log likelihood has no unit
    one, other = (reconstruct(s, method, **options) for s in (scan, scaled))
    tolerance = 1e-6 if precision == "double" else 2e-2
    assert len(one.history) == len(other.history) > 3
    for a, b in zip(one.history, other.history, strict=True):
        assert b.loss == pytest.approx(unit * a.loss, rel=tolerance)
        if precision == "double":
            assert b.inner_steps == a.inner_steps
            assert b.step == pytest.approx(a.step, rel=1e-5)
    assert naive.relative(other.object, one.object) < 10 * tolerance
    if len(one.elements):
        assert naive.relative(other.elements, one.elements) < 10 * tolerance
    assert naive.relative(other.probe / np.sqrt(factor), one.probe) < 10 * tolerance


# ---------------------------------------------------------------- weights


def weights_scan(**changes):
    case = DEFAULTS | {
        "N_e": 3,
        "missing": True,
        "mask": 3,
        "background": True,
        "exposure": True,
        "fraction": True,
    }
    return make_scan(case).replace(**changes)


def test_statistical_weights():
    """alpha_e = (N_e / N) (mean eta / 4) / (eta_e mean D_e)."""
    eta = np.array([0.5, 1.0, 2.0, 0.7, 0.3])
    scan = weights_scan(count_scale=eta, fluorescence_count_scale=[2.0, 1.0, 0.5])
    means = scan.fluorescence.reshape(3, -1).mean(axis=1)
    expected = [3 / 5 * eta.mean() / 4 / (2.0 * means[0]), 0.0, 3 / 5 * eta.mean() / 4 / (0.5 * means[2])]
    np.testing.assert_allclose(Objective(scan).alpha, expected, rtol=1e-12)
    np.testing.assert_allclose(Objective(scan, alpha_scale=7).alpha, 7 * np.array(expected), rtol=1e-12)


def test_noiseless_weights():
    """alpha_e = N_e mean(d) / (4 N mean(D_e)^2)."""
    scan = weights_scan(count_scale=0)
    good = np.broadcast_to(scan.mask, scan.patterns.shape)
    means = scan.fluorescence.reshape(3, -1).mean(axis=1)
    expected = 3 * scan.patterns[good].mean() / (4 * 5 * means**2)
    expected[1] = 0
    np.testing.assert_allclose(Objective(scan).alpha, expected, rtol=1e-12)


@pytest.mark.parametrize("start", [None, {"real_part": 0.5, "elements": 0.3}])
@pytest.mark.parametrize("sampling", ["grid", "scan"])
def test_gradnorm_weights(sampling, start):
    """alpha = alpha_scale ||grad_z Phi_p(z0)|| / ||grad_w Phi_f(w0)||, from the naive gradients."""
    case = DEFAULTS | {
        "N_e": 3,
        "missing": True,
        "sampling": sampling,
        "exposure": True,
        "fraction": True,
        "mask": 2,
    }
    scan = make_scan(case)
    model = naive.model_of(scan, alpha=scan.measured.astype(float), method="fluorescence")
    given = start or {"real_part": 1.0, "elements": 0.0}
    x, w = np.full(scan.shape, given["real_part"]), np.full((3, *scan.shape), given["elements"])
    g_w = model.gradient({"elements": w})["elements"]
    model.method = "ptychography"
    g = model.gradient({"real_part": x, "imaginary_part": model.combination({"elements": w}).imag})
    ratio = np.sqrt((g["real_part"] ** 2 + g["imaginary_part"] ** 2).sum()) / np.linalg.norm(g_w)
    objective = Objective(scan, alpha="gradnorm", alpha_scale=0.2, start=start)
    np.testing.assert_allclose(objective.alpha, 0.2 * ratio * np.array([1, 0, 1]), rtol=1e-11)
    assert objective.work.sweeps == 0


def test_given_weights():
    scan = weights_scan()
    np.testing.assert_array_equal(Objective(scan, alpha=0.3).alpha, [0.3, 0, 0.3])
    np.testing.assert_array_equal(Objective(scan, alpha=[0.3, 5, 0.0]).alpha, [0.3, 0, 0.0])
    np.testing.assert_array_equal(Objective(scan, alpha=0).alpha, [0, 0, 0])
    np.testing.assert_array_equal(Objective(scan, "fluorescence", alpha=0.3).alpha, [1, 0, 1])


def test_data_that_are_no_counts_need_a_count_scale():
    scan = weights_scan(count_scale=None, fluorescence_count_scale=None)
    whole = scan.replace(patterns=np.floor(scan.patterns), fluorescence=np.floor(scan.fluorescence))
    with pytest.warns(UserWarning, match="count_scale") as caught:
        Objective(scan)
    assert len(caught) == 2  # one for each modality
    with pytest.warns(UserWarning, match="patterns") as caught:
        Objective(whole.replace(patterns=scan.patterns))
    assert len(caught) == 1
    with pytest.warns(UserWarning, match="fluorescence_count_scale") as caught:
        Objective(whole.replace(fluorescence=scan.fluorescence))
    assert len(caught) == 1
    Objective(whole)  # warnings are errors here
    Objective(scan, alpha=1.0)
    Objective(scan, "ptychography")


def test_an_element_of_weight_zero_has_no_influence_of_its_own_data():
    scan = weights_scan()
    other = scan.fluorescence.copy()
    other[2] += 1000
    results = []
    for maps in (scan.fluorescence, other):
        objective = Objective(scan.replace(fluorescence=maps), alpha=[0.3, 0.3, 0.0])
        vector = objective.scatter(real_part=1.0, elements=0.2)
        results.append(objective.value_and_gradient(vector))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])
    gradient = objective.gather(results[0][1])["elements"]
    assert gradient[2].any()  # it still enters the object


# ---------------------------------------------------------------- what else it tells


def test_starts():
    scan = weights_scan()
    joint = Objective(scan, link_offset=-1.0)
    assert joint.unknowns == ("real_part", "elements")
    z = joint.complex_object(joint.initial)
    np.testing.assert_array_equal(z, np.full(scan.shape, 1 - 1j))
    single = Objective(scan, "ptychography", link_offset=0.25, refine_probe=True)
    assert single.unknowns == ("real_part", "imaginary_part", "probe")
    np.testing.assert_array_equal(single.complex_object(single.initial), np.full(scan.shape, 1 + 0.25j))
    np.testing.assert_allclose(single.probe_of(single.initial), scan.probe, rtol=1e-15)
    paper = Objective(
        scan, "ptychography", start={"real_part": 0.5, "imaginary_part": np.full(scan.shape, 0.5)}
    )
    assert (paper.initial == 0.5).all()
    maps = Objective(scan, "fluorescence", start={"elements": 2.0})
    assert maps.unknowns == ("elements",)
    assert (maps.elements_of(maps.initial) == 2).all()


def test_rescaled_probe_explains_the_mean_count():
    """Of positions with exposure 1 and without a mask: the mean pattern of z = 1 is the mean of the data."""
    scan = make_scan(DEFAULTS | {"K": 3, "fraction": True})
    objective = Objective(scan, "ptychography", refine_probe=True, rescale_probe=True)
    probe = objective.gather(objective.initial)["probe"]
    model = naive.Model(scan.patterns, scan.positions, probe, scan.shape, method="ptychography")
    predicted = model.intensities(np.ones(scan.shape, complex), probe)
    assert predicted.mean() == pytest.approx(scan.patterns.mean(), rel=1e-12)
    assert objective.mean_count == pytest.approx(scan.patterns.mean(), rel=1e-14)
    ratio = probe / scan.probe
    np.testing.assert_allclose(ratio, ratio[0, 0, 0], rtol=1e-12)
    given = Objective(
        scan, "ptychography", refine_probe=True, rescale_probe=True, start={"probe": scan.probe}
    )
    np.testing.assert_allclose(given.gather(given.initial)["probe"], scan.probe, rtol=1e-14)


def test_predictions_and_misfits(case):
    objective, model, u, _ = build(case)
    vector = objective.scatter(**u)
    objective.value_and_gradient(vector)
    if case["method"] == "ptychography":
        assert objective.predicted_fluorescence(vector) is None
    else:
        expected = model.counts(u)
        assert naive.relative(objective.predicted_fluorescence(vector), expected) < 1e-12
    if case["method"] == "fluorescence":
        assert objective.pattern_misfit() is None
    else:
        np.testing.assert_allclose(objective.pattern_misfit().mean(), model.losses(u)[0], rtol=1e-12)
        assert naive.relative(objective.complex_object(vector), model.object(u)) < 1e-14


def test_sums_for_the_preconditioner():
    case = DEFAULTS | CASES["joint scan, everything"]
    objective, model, u, _ = build(case)
    vector = objective.scatter(**u)
    objective.value_and_gradient(vector)
    light, intensity, z = np.zeros(model.shape), np.zeros((model.m, model.m)), model.object(u)
    for j in range(model.N):
        power = (np.abs(naive.shift(u["probe"], model.fractions[j])) ** 2).sum(axis=0)
        naive.add_patch(light, model.corners[j], model.exposure[j] * power / model.N)
        intensity += model.exposure[j] * np.abs(naive.patch(z, model.corners[j], model.m)) ** 2 / model.N
    assert naive.relative(objective.diagonals.illumination(), light) < 1e-12
    of_probe = objective.diagonals.object_intensity(objective.complex_object(vector))
    assert naive.relative(of_probe, intensity) < 1e-12
    beams = model.beams(u)
    k = model.kernels(beams, beams)
    lumped = model.bilinear.maps_adjoint(k, model.bilinear.apply(k, np.ones(model.shape)))
    factors = model.alpha / model.N_e * model.sensitivity**2
    assert naive.relative(objective.diagonals.fluorescence(), factors[:, None, None] * lumped) < 1e-12


# ---------------------------------------------------------------- positions and intensities

BEAM = ("displacement", "distortion", "log_amplitude")
EVERYTHING = DEFAULTS | CASES["joint scan, positions and everything"]


@pytest.mark.parametrize("name", ["joint scan, positions and everything", "ptychography, vector size"])
def test_constant_and_linear_parts_have_no_effect(name):
    """Neither on the value nor in gradients and products."""
    objective, model, u, du = build(DEFAULTS | CASES[name])
    columns = naive.linear_columns(model.positions)
    rng = np.random.default_rng(6)
    other = u | {name: u[name] + columns @ rng.normal(size=(3, u[name].shape[1])) for name in BEAM[::2]}
    values = []
    for point in (u, other):
        value, gradient = objective.value_and_gradient(objective.scatter(**point))
        values.append(value)
        for vector in (gradient, objective.hessian_product(objective.scatter(**du))):
            parts = objective.gather(vector)
            for unknown in BEAM[::2]:
                left = columns.T @ parts[unknown]
                assert np.abs(left).max() < 1e-12 * np.abs(columns).max() * np.abs(parts[unknown]).sum()
    assert values[1] == pytest.approx(values[0], rel=1e-12)


def test_a_linear_log_amplitude_belongs_to_object_and_probe():
    """exp(a.s_j) P z is exp(a.x) P times exp(-a.x) z up to a factor: why the linear part of v is left out.

    At whole positions and for a probe that is 0 at the edge this is exact.
    """
    m = 8
    scan = make_scan(DEFAULTS | {"method": "ptychography", "m": m})
    rng = np.random.default_rng(4)
    probe, z = scan.probe.copy(), 1 + 0.3 * naive.random_complex(rng, scan.shape)
    slope = np.array([0.1, -0.07])

    def ramp(shape, sign):
        return np.exp(sign * (slope[0] * np.arange(shape[0])[:, None] + slope[1] * np.arange(shape[1])))

    model = naive.Model(scan.patterns, scan.positions, probe, scan.shape, method="ptychography")
    gains = np.exp(2 * scan.positions @ slope)
    given = naive.Model(
        scan.patterns, scan.positions, probe, scan.shape, exposure=gains, method="ptychography"
    )
    expected = given.intensities(z, probe)
    found = model.intensities(z * ramp(scan.shape, 1), probe * ramp((m, m), -1))
    assert naive.relative(found, expected) < 1e-12


def test_positions_and_intensities_of_a_vector():
    objective, model, u, _ = build(EVERYTHING)
    moves, vector = model.moves(u), objective.scatter(**u)
    assert naive.relative(objective.beam.positions(vector), model.positions + moves[:, :2]) < 1e-13
    intensities = model.exposure * np.exp(2 * moves[:, 2])
    found = objective.beam.intensities(vector)
    assert naive.relative(found, intensities * model.exposure.mean() / intensities.mean()) < 1e-13
    assert found.mean() == pytest.approx(model.exposure.mean(), rel=1e-13)


def test_an_unmoved_beam_changes_nothing():
    """At displacements of 0 the objective is the one without them, whatever else is unknown."""
    still, _, u, du = build(DEFAULTS | CASES["joint scan, everything"])
    moving, _, _, _ = build(DEFAULTS | CASES["joint scan, everything"] | {"positions": "both"})
    zeros = {"displacement": np.zeros((5, 2)), "distortion": np.zeros((2, 2))}
    (value, gradient), (expected, expected_gradient) = (
        o.value_and_gradient(o.scatter(**point)) for o, point in ((moving, u | zeros), (still, u))
    )
    assert value == pytest.approx(expected, rel=1e-13)
    product = moving.gather(moving.hessian_product(moving.scatter(**du, **zeros)))
    expected_product = still.gather(still.hessian_product(still.scatter(**du)))
    for name, values in still.gather(expected_gradient).items():
        assert naive.relative(moving.gather(gradient)[name], values) < 1e-12, name
        assert naive.relative(product[name], expected_product[name]) < 1e-12, name


@pytest.mark.parametrize("names", [*((name,) for name in BEAM), BEAM, ("probe", *BEAM)])
def test_held_unknowns_of_the_beam(names):
    objective, model, u, du = build(EVERYTHING)
    objective.held = frozenset(names)
    _, gradient = objective.value_and_gradient(objective.scatter(**u))
    moved = {name: 0 * values if name in names else values for name, values in du.items()}
    # what a direction says of held unknowns is 0, as the solvers keep it
    product = objective.hessian_product(objective.scatter(**moved))
    step = objective.precondition(gradient)
    expected, expected_product = model.gradient(u), model.product(u, moved)
    for vector, right in ((gradient, expected), (product, expected_product)):
        for name, values in objective.gather(vector).items():
            if name in names:
                assert not values.any(), name
            else:
                assert naive.relative(values, right[name]) < 1e-11, name
    for name, values in objective.gather(step).items():
        assert values.any() == (name not in names), name


def test_diagonals_of_positions_and_intensities():
    """t_j/N sum |P|^2 of |dz/ds|^2, Re(conj(dz/dr) dz/dc) and |z|^2, at the whole pixels of the scan."""
    objective, model, u, _ = build(EVERYTHING)
    objective.value_and_gradient(objective.scatter(**u))
    z, light = model.object(u), (np.abs(u["probe"]) ** 2).sum(axis=0)
    rows, columns = np.gradient(z)
    slopes = [np.abs(rows) ** 2, np.abs(columns) ** 2, (rows.conj() * columns).real]
    places, powers = np.zeros((model.N, 3)), np.zeros(model.N)
    for j in range(model.N):
        t = model.exposure[j] / model.N
        for places_of, slope in zip(places.T, slopes, strict=True):
            places_of[j] = t * (light * naive.patch(slope, model.corners[j], model.m)).sum()
        powers[j] = t * (light * np.abs(naive.patch(z, model.corners[j], model.m)) ** 2).sum()
    order = objective.tile.positions
    assert naive.relative(objective.diagonals.positions(z), places[order]) < 1e-12
    assert naive.relative(objective.diagonals.intensities(z), powers[order]) < 1e-12


def test_positions_are_preconditioned_in_blocks():
    """Each with the curvatures along rows and columns and between them, a fifth of the mean added."""
    objective, model, u, du = build(EVERYTHING)
    objective.value_and_gradient(objective.scatter(**u))
    along_rows, along_columns, between = objective.diagonals.positions(model.object(u)).T
    floor = (along_rows + along_columns).mean() / 10
    blocks = np.moveaxis(np.array([[along_rows + floor, between], [between, along_columns + floor]]), 2, 0)
    assert (np.abs(between) > 0.01 * floor).any()  # they are not diagonal
    step = objective.gather(objective.precondition(objective.scatter(**du)))["displacement"]
    order = objective.tile.positions
    expected = np.linalg.solve(blocks, du["displacement"][order][..., None])[..., 0]
    assert naive.relative(step[order], expected) < 1e-12


@pytest.mark.parametrize("m", [7, 8, 11])
def test_a_search_in_vain_leaves_the_point(m):
    """Losses, far fields and products are those of before; nothing has to be evaluated again."""
    scan = make_scan(DEFAULTS | {"method": "ptychography", "m": m})
    corner = scan.positions[2].astype(int)
    real = np.ones(scan.shape)
    real[corner[0] : corner[0] + m, corner[1] : corner[1] + m] = 3.0  # the brightest place there is
    patterns = np.array(scan.patterns)
    patterns[2] *= 1e6
    objective = Objective(
        scan.replace(patterns=patterns), "ptychography", refine_positions="each", refine_probe=True
    )
    vector = objective.scatter(**objective.gather(objective.initial) | {"real_part": real})
    direction = objective.scatter(**random_point(objective, np.random.default_rng(2)))
    objective.value_and_gradient(vector)
    misfit, product = objective.pattern_misfit().copy(), objective.hessian_product(direction)
    assert objective.beam.followed(vector, search=True) is None
    assert naive.relative(objective.pattern_misfit(), misfit) < 1e-14
    assert naive.relative(objective.hessian_product(direction), product) < 1e-13


def test_a_start_of_the_beam():
    scan = make_scan(EVERYTHING)
    start = {
        "displacement": np.linspace(-1, 1, 10).reshape(5, 2) ** 2,
        "distortion": [[0.01, 0.0], [0.02, -0.01]],
        "log_amplitude": np.linspace(0, 1, 5)[:, None] ** 2,
    }
    options = {"refine_positions": "both", "refine_intensities": True, "alpha": 1.0}
    objective = Objective(scan, start=start, **options)
    for name, values in objective.gather(objective.initial).items():
        if name in start:
            np.testing.assert_array_equal(values, start[name])
    assert naive.relative(objective.beam.positions(objective.initial), scan.positions) > 1e-3
    plain = Objective(scan, **options)
    np.testing.assert_array_equal(plain.beam.positions(plain.initial), scan.positions)
    for name, shape in (("displacement", (5, 2)), ("distortion", (2, 2)), ("log_amplitude", (5, 1))):
        with pytest.raises(ValueError, match=rf"^{name}: expected .* got "):
            Objective(scan, start={name: np.zeros((3, 3))}, **options)
        with pytest.raises(ValueError, match=rf"^{name}: expected finite"):
            Objective(scan, start={name: np.full(shape, np.nan)}, **options)


def test_a_frozen_probe_does_not_move():
    case = DEFAULTS | CASES["joint grid, everything"]
    objective, model, u, du = build(case)
    objective.held = frozenset({"probe"})
    _, gradient = objective.value_and_gradient(objective.scatter(**u))
    expected = model.gradient(u)
    gathered = objective.gather(gradient)
    assert not gathered["probe"].any()
    assert naive.relative(gathered["elements"], expected["elements"]) < 1e-11
    product = objective.gather(objective.hessian_product(objective.scatter(**du)))
    assert not product["probe"].any()
    still = model.product(u, du | {"probe": 0 * du["probe"]})
    assert naive.relative(product["real_part"], still["real_part"]) < 1e-11


def test_sweeps():
    objective, _, u, du = build(DEFAULTS | CASES["joint scan"])
    objective.value_and_gradient(objective.scatter(**u))
    for _ in range(3):
        objective.hessian_product(objective.scatter(**du))
    objective.losses_along(objective.scatter(**du), [0.1, 0.2, 0.3])
    assert objective.work.sweeps == 1 + 3 + 0.5


def test_one_rank_needs_no_messages():
    class Alone:
        def Get_size(self):
            return 1

        def Get_rank(self):
            return 0

        def Is_inter(self):
            return False

    case = DEFAULTS | CASES["joint scan"]
    objective, _, u, _ = build(case, comm=Alone())
    other, _, _, _ = build(case)
    assert (
        objective.value_and_gradient(objective.scatter(**u))[0]
        == other.value_and_gradient(other.scatter(**u))[0]
    )


def test_links_may_be_objects():
    case = DEFAULTS | CASES["joint scan"]
    scan = make_scan(case)
    by_name = Objective(scan, alpha=1.0, link_offset=-1.0)
    by_object = Objective(scan, alpha=1.0, link=LinearLink(scan.attenuation, -1.0))
    u = random_point(by_name, np.random.default_rng(0))
    first, second = (o.value_and_gradient(o.scatter(**u)) for o in (by_name, by_object))
    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1], second[1])


# ---------------------------------------------------------------- wrong arguments


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"method": "tomography"}, "method"),
        ({"curvature": "exact"}, "curvature"),
        ({"precision": "half"}, "precision"),
        ({"memory": "none"}, "memory"),
        ({"refine_positions": "all"}, "refine_positions"),
        ({"refine_positions": True}, "refine_positions"),
        ({"refine_intensities": "yes"}, "refine_intensities"),
        ({"refine_intensities": 1}, "refine_intensities"),
        ({"position_margin": -1}, "position_margin"),
        ({"position_margin": 2.5}, "position_margin"),
        ({"link": "phase"}, "link"),
        ({"link_offset": np.nan}, "link_offset"),
        ({"link_offset": [1.0, 2.0]}, "link_offset"),
        ({"alpha": "best"}, "alpha"),
        ({"alpha": -1.0}, "alpha"),
        ({"alpha": np.inf}, "alpha"),
        ({"alpha": [1.0, 2.0]}, "alpha"),
        ({"alpha": [[1.0, 2.0, 3.0]]}, "alpha"),
        ({"alpha": {"Fe": 1}}, "alpha"),
        ({"alpha_scale": -1.0}, "alpha_scale"),
        ({"alpha_scale": np.nan}, "alpha_scale"),
        ({"start": {"phases": 0.0}}, "start"),
        ({"free": "all"}, "free"),
        ({"matrix": (1.0, 2.0, 3.0)}, "matrix"),
        ({"link": "refractive"}, "link"),
        ({"start": {"real_part": np.ones((3, 3))}}, "real_part"),
        ({"start": {"real_part": np.nan}}, "real_part"),
        ({"start": {"elements": np.ones((2, 11, 10))}}, "elements"),
        ({"start": {"probe": np.ones((2, 7, 7))}, "refine_probe": True}, "start"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_arguments(arguments, name):
    with pytest.raises(ValueError, match=rf"^{name}: expected .* got "):
        Objective(weights_scan(), **arguments)


@pytest.mark.parametrize("method", ["joint", "fluorescence"])
def test_methods_that_need_fluorescence(method):
    scan = weights_scan()
    for bare in (
        scan.replace(fluorescence=None),
        scan.replace(fluorescence=np.full((2, *scan.shape), np.nan)),
    ):
        with pytest.raises(ValueError, match=r"^method: "):
            Objective(bare, method)
        Objective(bare, "ptychography")


def test_wrong_vectors():
    objective = Objective(weights_scan(), alpha=1.0, refine_probe=True)
    good = objective.gather(objective.initial)
    wrong = [
        ({name: good[name] for name in ("real_part", "probe")}, "elements"),
        (good | {"phase": 0.0}, "phase"),
        (good | {"elements": np.zeros((3, 2, 2))}, "elements"),
        (good | {"real_part": np.inf}, "real_part"),
        (good | {"probe": good["probe"][0]}, "probe"),
        (good | {"probe": np.nan * good["probe"]}, "probe"),
    ]
    for arrays, name in wrong:
        with pytest.raises(ValueError, match=name):
            objective.scatter(**arrays)
    for call in (objective.value_and_gradient, objective.hessian_product, objective.gather):
        with pytest.raises(ValueError, match="vector"):
            call(np.zeros(objective.size + 1))


def test_damaged_patterns_are_named():
    """A lazy source is only read here: NaN outside the mask must not pass."""

    class Lazy:
        def __init__(self, array):
            self.array, self.shape, self.dtype = array, array.shape, array.dtype

        def __getitem__(self, key):
            return self.array[key]

    scan = make_scan(DEFAULTS)
    for value in (np.nan, -1.0, np.inf):
        patterns = scan.patterns.copy()
        patterns[3, 2, 5] = value
        with pytest.raises(ValueError, match=r"^patterns: .*pattern 3 at pixel \(2, 5\)"):
            Objective(scan.replace(patterns=Lazy(patterns)), "ptychography")
        mask = np.ones((7, 7), bool)
        mask[2, 5] = False
        objective = Objective(scan.replace(patterns=Lazy(patterns), mask=mask), "ptychography")
        assert np.isfinite(objective.value_and_gradient(objective.initial)[0])


def test_a_known_probe_is_shifted_once(monkeypatch):
    """With fractions each new probe costs a transform per position; the same one again must not."""
    scan = make_scan(DEFAULTS | {"fraction": True, "sampling": "scan"})
    objective = Objective(scan, "joint", alpha=1.0)
    calls = []
    monkeypatch.setattr(objective.terms.positioned, "set", calls.append)
    for _ in range(2):
        objective.value_and_gradient(objective.initial)
    objective.predicted_fluorescence(objective.initial)
    assert not calls


# ---------------------------------------------------------------- the refractive link


def test_the_link_follows_the_scan():
    """The scan's constants, or those of the tables, make the link refractive; a word decides otherwise."""
    scan = make_scan(DEFAULTS)
    known = make_scan(DEFAULTS | {"refractive": True})
    geometry = Geometry.from_keV(8.0, 1.0, 1e-4)
    named = scan.replace(element_names=["Fe"], geometry=geometry, attenuation=None)
    assert Objective(scan).unknowns == ("real_part", "elements")
    assert Objective(known).unknowns == Objective(named).unknowns == ("phase", "elements")
    assert Objective(known).settings.link == "refractive"
    assert Objective(known, link="linear").unknowns == ("real_part", "elements")
    assert Objective(known, "ptychography").unknowns == ("real_part", "imaginary_part")
    constants = optical_constants(["Fe"], geometry.energy)
    np.testing.assert_array_equal(
        Objective(named, free="none").link.weights, -(constants[0] + 1j * constants[1])
    )
    # a free phase is that of the whole: maps beside it absorb alone
    np.testing.assert_array_equal(Objective(named).link.weights, [1j, *-constants[0]])

    matrix = Objective(named, free="none", matrix="C5H8O2")
    assert matrix.unknowns == ("matrix", "elements")
    (a,), (p,) = optical_constants("C5H8O2", geometry.energy)
    assert matrix.link.weights[0] == -(a + 1j * p)
    with pytest.raises(
        ValueError, match=r"^matrix: expected the refractive link beside it, got link 'linear'"
    ):
        Objective(scan, matrix=(0.1, 1.0))
    with pytest.raises(ValueError, match=r"^matrix: expected symbols .* got 'tissue'"):
        Objective(named, matrix="tissue")
    with pytest.raises(ValueError, match=r"^matrix: expected two numbers .* got 'H2O'"):
        Objective(known, matrix="H2O")


def test_the_refractive_object_of_the_fluorescence_alone():
    """The phase is that of the start, and the maps absorb and delay."""
    case = DEFAULTS | {"refractive": True, "method": "fluorescence", "N_e": 3}
    objective, _, u, _ = build(case, start={"phase": 0.7})
    z = objective.complex_object(objective.scatter(**u))
    weights = -(objective.scan.attenuation + 1j * objective.scan.phase_shift)
    np.testing.assert_allclose(z, np.exp(0.7j + np.tensordot(weights, u["elements"], axes=1)), rtol=1e-12)


@pytest.mark.parametrize("name", ["refractive grid", "refractive scan, everything", "refractive, one map"])
def test_the_preconditioner_inverts_the_blocks(name):
    """At vacuum, with a floor, M has at each pixel a Re(k k^H) + f, f the part of the field alone."""
    objective, _, u, _ = build(DEFAULTS | CASES[name], object_floor=0.1)
    objective.value_and_gradient(objective.scatter(**u))
    k = objective.link.weights
    light = objective.diagonals.illumination()
    of_maps = objective.diagonals.fluorescence().reshape(objective.scan.N_e, -1)
    own = np.zeros((len(k), light.size))
    own[objective.fields.elements] = of_maps
    largest = np.zeros(len(k))
    largest[objective.fields.elements] = of_maps.max(axis=1)
    floor = 0.1 * (largest + abs(k) ** 2 * light.max())
    own += np.where(floor > 0, floor, 1.0)[:, None]
    vector = np.random.default_rng(0).standard_normal(objective.size)
    fields = objective.fields.view(vector).reshape(len(k), -1)
    expected = np.empty_like(fields)
    for p, a in enumerate(light.reshape(-1)):
        expected[:, p] = np.linalg.solve(a * np.outer(k, k.conj()).real + np.diag(own[:, p]), fields[:, p])
    found = objective.fields.view(objective.precondition(vector)).reshape(len(k), -1)
    assert naive.relative(found, expected) < 1e-9


def test_held_maps_stay_where_a_field_is_coupled_to_them():
    objective, _, u, _ = build(DEFAULTS | {"refractive": True})
    objective.held = frozenset({"elements"})
    _, gradient = objective.value_and_gradient(objective.scatter(**u))
    step = objective.gather(objective.precondition(gradient))
    assert step["phase"].any() and not step["elements"].any()


@pytest.mark.parametrize("name", ["joint grid, everything", "joint scan, positions and everything"])
def test_a_probe_whose_scale_is_held(name):
    """Its part along the start stays; gradient and product are those of what is left of it."""
    objective, _, u, du = build(DEFAULTS | CASES[name])
    point, direction = objective.scatter(**u), objective.scatter(**du)
    objective.beam.pin(point)
    start = objective.probe_of(point)
    moved = objective.probe_of(point + 0.3 * direction)
    assert np.vdot(start, moved - start).real == pytest.approx(0, abs=1e-9 * np.vdot(start, start).real)
    assert naive.relative(moved, start) > 0.01
    if "log_amplitude" in u:  # slopes of the intensities are not the object's then
        positions = objective.scan.positions
        lever = 0.01 * (positions - positions.mean(axis=0))[:, :1]
        sloping = objective.beam.moves(objective.scatter(**u | {"log_amplitude": lever + 1.0}))[:, 2:]
        np.testing.assert_allclose(sloping, lever, atol=1e-12)
    point = point + 0.1 * direction
    gradient = objective.value_and_gradient(point)[1]
    product = objective.hessian_product(direction)
    h = 1e-4
    (ahead, after), (behind, before) = (objective.value_and_gradient(point + t * direction) for t in (h, -h))
    assert (ahead - behind) / (2 * h) == pytest.approx(gradient @ direction, rel=1e-5)
    assert naive.relative((after - before) / (2 * h), product) < 1e-4
    objective.value_and_gradient(point)
    other = objective.scatter(**random_point(objective, np.random.default_rng(3)))
    left, right = product @ other, objective.hessian_product(other) @ direction
    assert left == pytest.approx(right, rel=1e-10)


@pytest.mark.parametrize("refractive", [True, False])
@pytest.mark.parametrize("name", ["joint grid, everything", "joint scan, positions and everything"])
def test_what_patterns_do_not_tell_of_a_probe_is_held_with_its_scale(name, refractive):
    """A factor, ramps of a free phase, shifts where the maps do not tell them, and mixtures of the modes."""
    objective, _, u, _ = build(DEFAULTS | CASES[name] | {"refractive": refractive})
    point, x = objective.scatter(**u), np.arange(objective.scan.m)
    objective.beam.pin(point)
    probe = objective.probe_of(point)
    slope = np.fft.ifft(2j * np.pi * np.fft.fftfreq(len(x)) * np.fft.fft(probe))
    held, ramps = [probe, 1j * probe], [1j * x * probe, 1j * x[:, None] * probe]
    held += [np.stack([1j * probe[0], *probe[1:] * 0])]
    held += [np.stack([probe[1], -probe[0], *probe[2:] * 0])] if len(probe) > 1 else []
    free = [probe * x, 1j * slope]
    (held if objective.scan.sampling == "scan" else free).append(slope)
    (held if "phase" in objective.unknowns else free).extend(ramps)
    for change in held:
        moved = objective.probe_of(objective.scatter(**u | {"probe": u["probe"] + 0.1 * change}))
        assert naive.relative(moved, probe) < 1e-12
    for change in free:
        moved = objective.probe_of(objective.scatter(**u | {"probe": u["probe"] + 0.1 * change}))
        assert np.linalg.norm(moved - probe) > 0.05 * np.linalg.norm(change)
