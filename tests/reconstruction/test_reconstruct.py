"""Noiseless scans, made with the naive model, are reconstructed."""

import itertools
from functools import cache

import naive
import numpy as np
import pytest

from ptyxrf.driver.data.history import History, Reason
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.reconstruction.alignment import align
from ptyxrf.driver.reconstruction.reconstruct import reconstruct

M, SHAPE = 16, (44, 41)


def smooth(rng, shape, width):
    """A random field without fine detail, between 0 and 1."""
    rows, columns = (np.fft.fftfreq(n) for n in shape)
    spectrum = np.exp(-2 * (np.pi * width) ** 2 * (rows[:, None] ** 2 + columns**2))
    field = np.fft.ifft2(np.fft.fft2(rng.normal(size=shape)) * spectrum).real
    return (field - field.min()) / (field.max() - field.min())


def beam(modes):
    """A defocused spot; further modes are weaker and orthogonal to the first by symmetry."""
    rows, columns = np.indices((M, M)) - (M - 1) / 2
    r2 = rows**2 + columns**2
    spot = np.exp(-r2 / 18 + 0.09j * r2)
    return 10 * np.array([spot, 0.3 * rows * spot, 0.2 * columns * spot])[:modes]


@cache
def example(sampling="grid", modes=1, fractional=True, blur="convolution"):
    """A scan on a jittered raster of 81 positions with the truth it was made from; no noise."""
    rng = np.random.default_rng(11)
    places = [np.linspace(0, n - M, 9) for n in SHAPE]
    positions = np.array([(r, c) for r in places[0] for c in places[1]])
    positions = np.clip(positions + rng.uniform(-0.6, 0.6, positions.shape), 0, [n - M for n in SHAPE])
    if not fractional:
        positions = np.round(positions)
    x = 1 - 0.3 * smooth(rng, SHAPE, 1.2)
    w = np.stack([np.maximum(smooth(rng, SHAPE, 2.5) - 0.4, 0), 0.5 * smooth(rng, SHAPE, 2.0)])
    attenuation = np.array([0.8, 0.4])
    probe = beam(modes)
    exposure = rng.uniform(0.8, 1.2, len(positions))
    model = naive.Model(
        np.zeros((len(positions), M, M)),
        positions,
        probe,
        SHAPE,
        exposure=exposure,
        blur=blur,
        fluorescence=np.zeros((2, *SHAPE) if sampling == "grid" else (2, len(positions))),
        attenuation=attenuation,
        sensitivity=np.array([0.02, 0.05]),
        background=np.array([1.0, 0.0]),
    )
    z = model.object({"real_part": x, "elements": w})
    return Scan(
        model.intensities(z, probe),
        positions,
        probe,
        shape=SHAPE,
        fluorescence=model.counts({"elements": w}),
        attenuation=attenuation,
        sensitivity=model.sensitivity,
        background=model.background,
        exposure=exposure,
        count_scale=0,
        blur=blur,
        truth={"object": z, "elements": w, "probe": probe},
        element_names=["Fe", "Cu"],
    )


def inner_area(scan):
    """Well inside the scan, where every pixel is lit from several positions."""
    area = np.zeros(scan.shape, bool)
    area[8:-8, 8:-8] = True
    return area


def error(result, scan, *, blind=False):
    area = inner_area(scan)
    truth = scan.truth["object"]
    return np.sqrt((np.abs(align(result.object, truth, area, blind=blind) - truth)[area] ** 2).mean())


def map_error(result, scan, e):
    area = inner_area(scan)
    difference = (result.elements[e] - scan.truth["elements"][e])[area]
    return np.sqrt((difference**2).mean()) / scan.truth["elements"][e][area].std()


LONG = {"precision": "double", "max_iterations": 60, "gradient_tolerance": 1e-8, "loss_tolerance": 1e-9}


@pytest.mark.parametrize(("modes", "fractional"), [(3, True), (1, False)])
def test_ptychography(modes, fractional):
    scan = example(modes=modes, fractional=fractional)
    result = reconstruct(scan, "ptychography", **LONG)
    assert result.loss < 1e-6 * result.history[0].loss
    assert error(result, scan) < 1e-3
    assert result.history[0].errors["mse_aligned"] > 0.01
    assert result.history[-1].errors["mse_aligned"] < 1e-5
    assert result.elements.shape == (0, *SHAPE)
    assert result.predicted_fluorescence is None
    np.testing.assert_allclose(result.probe, scan.probe, rtol=1e-12)


@pytest.mark.parametrize("sampling", ["grid", "scan"])
def test_joint(sampling):
    """x and both maps, although the object shows only a sum of them: without any phase to remove."""
    scan = example(sampling)
    result = reconstruct(scan, **LONG)
    area = inner_area(scan)
    assert result.loss < 1e-5 * result.history[0].loss
    assert np.abs(result.object - scan.truth["object"])[area].max() < 0.02
    assert (result.elements >= 0).all()
    y = np.tensordot(scan.attenuation, result.elements, axes=1)
    np.testing.assert_allclose(result.object.imag, y, atol=1e-12)
    # 81 counts and an object say less of each map than a value at every pixel does
    assert map_error(result, scan, 0) < (0.1 if sampling == "grid" else 0.4)
    if sampling == "grid":
        assert map_error(result, scan, 1) < 0.7
    assert naive.relative(result.predicted_fluorescence, scan.fluorescence) < 0.01


@pytest.mark.parametrize("blur", ["convolution", "correlation"])
def test_fluorescence(blur):
    scan = example("grid", blur=blur)
    result = reconstruct(scan, "fluorescence", **LONG)
    assert result.loss < 1e-6 * result.history[0].loss
    for e in range(2):
        assert map_error(result, scan, e) < 0.03
    predicted = result.predicted_fluorescence
    assert naive.relative(predicted, scan.fluorescence) < 0.01
    assert result.pattern_misfit is None
    assert np.isnan(result.history[-1].ptychography_loss)


@pytest.mark.parametrize("first", [pytest.param(0, marks=pytest.mark.slow), 3])
def test_refined_probe(first):
    """From a probe of wrong scale and phase curvature; compared without the scale, ramp, shift and phase."""
    scan = example()
    rows, columns = np.indices((M, M)) - (M - 1) / 2
    wrong = 0.7 * scan.probe * np.exp(0.02j * (rows**2 + columns**2))
    given = scan.replace(probe=wrong)
    held = reconstruct(given, "ptychography", **LONG | {"max_iterations": 30})
    result = reconstruct(given, "ptychography", refine_probe=True, probe_from_iteration=first, **LONG)
    assert result.loss < 1e-3 * held.loss
    assert error(result, scan, blind=True) < 5e-3
    assert error(held, scan, blind=True) > 0.03
    overlap = np.abs(np.vdot(result.probe, scan.probe)) ** 2
    powers = np.vdot(result.probe, result.probe).real * np.vdot(scan.probe, scan.probe).real
    assert overlap > 0.99 * powers
    assert result.settings["probe_from_iteration"] == first


def test_the_probe_waits_for_its_iteration():
    scan = example()
    given = scan.replace(probe=scan.probe * 1.1)
    options = {
        "refine_probe": True, "probe_from_iteration": 3, "rescale_probe": False, "precision": "double",
        "scale_from": "probe",
    }  # fmt: skip
    before = reconstruct(given, "ptychography", max_iterations=3, **options)
    np.testing.assert_allclose(before.probe, given.probe, rtol=1e-14)
    after = reconstruct(given, "ptychography", max_iterations=4, **options)
    assert naive.relative(after.probe, given.probe) > 1e-4
    for one, other in zip(before.history, after.history[:4], strict=True):
        assert one.loss == other.loss


def test_the_probe_is_freed_even_where_the_rest_has_converged():
    """A wrong probe that is held ends the descent early; that must not end the reconstruction."""
    scan = example()
    given = scan.replace(probe=scan.probe * np.exp(0.3j * np.indices((M, M))[0] ** 2 / M))
    options = {"loss_tolerance": 1e-2, "max_iterations": 45}
    held = reconstruct(given, "ptychography", **options)
    assert held.history[-1].iteration < 40
    result = reconstruct(given, "ptychography", refine_probe=True, probe_from_iteration=40, **options)
    assert naive.relative(result.probe, given.probe) > 1e-3
    assert result.loss < 0.9 * held.loss


def test_a_refined_probe_counts_from_the_start():
    """With refine_probe=True the first gradient norm is that of all unknowns, and nothing is done twice."""
    scan = example()
    result = reconstruct(scan, "ptychography", refine_probe=True, max_iterations=2, solver="newton")
    assert result.history[0].gradients == 1
    assert result.history[1].gradients == 2


@pytest.mark.parametrize("nonnegative", [True, False])
def test_nonnegative(nonnegative):
    """Counts below the background ask for negative maps."""
    scan = example("scan")
    counts = scan.fluorescence.copy()
    counts[0] = 0.5
    lowered = scan.replace(fluorescence=counts, background=[1.0, 0.0])
    result = reconstruct(lowered, nonnegative=nonnegative, max_iterations=15, alpha=1.0)
    assert (result.elements[0] < 0).any() != nonnegative
    assert result.settings["nonnegative"] is nonnegative


def test_callback():
    """It sees the iterations of all stages; a true answer ends them all."""
    records = {"ptychography": [], "fluorescence": [], "joint": []}
    shape = example().shape

    def stop(record, view):
        maps = {"ptychography": 0}.get(view.stage, 2)
        assert view.number == record.iteration and view.object.shape == shape
        assert view.elements.shape == (maps, *shape) and view.probe.shape == example().probe.shape
        records[view.stage].append(record)
        return view.stage == "joint" and record.iteration >= 2

    result = reconstruct(example(), callback=stop)
    assert result.reason is Reason.CALLBACK
    assert [record.iteration for record in records["joint"]] == [0, 1, 2]
    assert records["ptychography"]
    floor = result.quality.noise_floor  # which is known at the end
    assert result.history == History(records["joint"]).with_floor(floor)
    quiet = reconstruct(example(), callback=lambda record, view: None, max_iterations=3)
    assert quiet.reason is Reason.ITERATIONS


def test_paper_solver():
    scan = example()
    start = {"real_part": 0.5, "elements": 0.5}
    result = reconstruct(
        scan, solver="paper", alpha="gradnorm", start=start, max_iterations=12, precision="double"
    )
    assert result.settings["curvature"] == "full"
    assert result.settings["preconditioner"] is False
    assert result.settings["inner_limit"] == 50
    losses = [record.loss for record in result.history]
    assert all(after < before for before, after in itertools.pairwise(losses))
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("options", [{}, {"method": "ptychography", "refine_probe": True, "memory": "low"}])
def test_the_same_again(options):
    first, second = (
        reconstruct(example("scan"), max_iterations=6, sequential_first=False, **options) for _ in range(2)
    )
    np.testing.assert_array_equal(first.object, second.object)
    np.testing.assert_array_equal(first.elements, second.elements)
    np.testing.assert_array_equal(first.probe, second.probe)
    assert [record.loss for record in first.history] == [record.loss for record in second.history]


def test_low_memory_follows_the_same_path():
    cached, low = (
        reconstruct(example(), max_iterations=5, precision="double", memory=m, sequential_first=False)
        for m in ("cached", "low")
    )
    assert naive.relative(low.object, cached.object) < 1e-9
    assert [r.inner_steps for r in low.history] == [r.inner_steps for r in cached.history]


def test_precisions_agree():
    single, double = (
        reconstruct(example(), precision=p, max_iterations=4, sequential_first=False)
        for p in ("single", "double")
    )
    assert single.object.dtype == np.complex64
    assert double.object.dtype == np.complex128
    for one, other in zip(single.history[:2], double.history[:2], strict=True):
        assert one.loss == pytest.approx(other.loss, rel=0.02)
    assert naive.relative(single.object, double.object) < 0.05


@pytest.mark.parametrize("solver", ["quasi-newton", "newton"])
def test_records_and_result(solver):
    scan = example()
    result = reconstruct(scan, max_iterations=6, precision="double", solver=solver)
    assert result.settings["solver"] == solver
    for number, record in enumerate(result.history):
        assert record.iteration == number
        assert record.loss == pytest.approx(record.ptychography_loss + record.fluorescence_loss, rel=1e-12)
        assert set(record.errors) >= {"mse", "mse_aligned", "mse_real", "mse_imaginary", "mse_Fe", "mse_Cu"}
        assert record.sweeps >= record.gradients + record.products
    for before, after in zip(result.history, result.history[1:], strict=False):
        assert after.loss < before.loss
        assert after.sweeps > before.sweeps
        assert after.seconds >= before.seconds
        if solver == "newton":
            assert after.products - before.products == after.inner_steps
        else:
            assert after.gradients - before.gradients >= after.inner_steps >= 1 and after.products == 0
    assert result.loss == result.history[-1].loss
    model = naive.model_of(scan, alpha=np.array(result.settings["alpha_used"]))
    losses = model.losses({"real_part": result.object.real, "elements": result.elements})
    assert result.history[-1].ptychography_loss == pytest.approx(losses[0], rel=1e-9)
    assert result.history[-1].fluorescence_loss == pytest.approx(losses[1], rel=1e-9)
    assert result.pattern_misfit.mean() == pytest.approx(losses[0], rel=1e-9)
    assert naive.relative(result.predicted_fluorescence, model.counts({"elements": result.elements})) < 1e-9
    assert result.gather().object is result.object
    truth = scan.truth["object"]
    assert result.history[-1].errors["mse"] == pytest.approx((np.abs(result.object - truth) ** 2).mean())
    with pytest.warns(UserWarning, match=r"^link: the linear link expects weak contrast, but \d+ %"):
        unknown = reconstruct(scan.replace(truth=None), max_iterations=1)
    assert unknown.history[0].errors == {}


@pytest.mark.parametrize("budget", [1, 5, 9, 30])
@pytest.mark.parametrize("refine", [False, True])
def test_sweeps_are_not_overrun(budget, refine):
    """But by half a sweep with a moving probe, whose line search costs one."""
    result = reconstruct(example(), "ptychography", max_sweeps=budget, refine_probe=refine, loss_tolerance=0)
    assert result.reason is Reason.SWEEPS
    assert result.history[-1].sweeps <= max(1, budget)


def test_seconds():
    result = reconstruct(example(), max_seconds=0.0)
    assert result.reason is Reason.SECONDS
    assert len(result.history) == 1


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"solver": "adam"}, "solver"),
        ({"method": "xrf"}, "method"),
        ({"curvature": "exact"}, "curvature"),
        ({"max_iterations": -1}, "max_iterations"),
        ({"max_iterations": 2.5}, "max_iterations"),
        ({"max_sweeps": -1}, "max_sweeps"),
        ({"max_sweeps": "many"}, "max_sweeps"),
        ({"max_seconds": np.nan}, "max_seconds"),
        ({"inner_limit": 0}, "inner_limit"),
        ({"gradient_tolerance": -1e-3}, "gradient_tolerance"),
        ({"loss_tolerance": None}, "loss_tolerance"),
        ({"refine_probe": -1}, "refine_probe"),
        ({"refine_probe": 1.5}, "refine_probe"),
        ({"precision": "float32"}, "precision"),
        ({"alpha": "none"}, "alpha"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_arguments(arguments, name):
    with pytest.raises(ValueError, match=rf"^{name}: expected .* got "):
        reconstruct(example(), **arguments)
