"""Both samplings of the fluorescence against lists of terms made by loops."""

import naive
import numpy as np
import pytest

from ptyxrf.kernels.fluorescence_grid import (
    GridBlur,
    GridFluorescence,
    add_conjugate_product,
    add_product,
    add_scaled,
    clear_around,
    embed,
    multiply_conjugate,
    multiply_spectra,
    subtract_data,
)
from ptyxrf.kernels.fluorescence_scan import ScanFluorescence, patch_sums, patch_sums_adjoint, weigh_maps
from ptyxrf.kernels.implementation import positioned_probe

REALS = [np.float32, np.float64]


def complex_of(real):
    return np.result_type(real, np.complex64).type


# ---------------------------------------------------------------- counts at the positions


@pytest.fixture(
    params=[(modes, m, real) for modes, m in ((1, 7), (3, 8), (1, 9)) for real in REALS],
    ids=lambda c: f"K{c[0]}-m{c[1]}-{c[2].__name__}",
)
def sums(request):
    modes, m, real = request.param
    rng = np.random.default_rng(m)
    shape = (m + 2, m + 4)
    corners = np.array([[0, 0], [2, 4], [1, 1], [1, 1]], np.int64)
    left = naive.random_complex(rng, (4, modes, m, m), complex_of(real))
    right = naive.random_complex(rng, (1, modes, m, m), complex_of(real))
    left_which, right_which = np.array([2, 0, 1, 3]), np.zeros(4, np.int64)
    scales = rng.uniform(0.5, 2, 4).astype(real)
    weights = np.array(
        [(left[a].conj() * right[b]).real.sum(axis=0) for a, b in zip(left_which, right_which, strict=True)]
    )
    bilinear = naive.Bilinear(naive.scan_terms(shape, m, corners, scales.astype(float)), 4, 4, m, shape)
    return {
        "m": m,
        "maps": rng.normal(size=(2, *shape)).astype(real),
        "counts": rng.normal(size=(2, 4)).astype(real),
        "arguments": (left, left_which, right, right_which, corners, scales),
        "weights": weights.astype(float),
        "bilinear": bilinear,
        "corners": corners,
        "tolerance": 3 * naive.ROUNDING[real],
    }


def test_patch_sums(sums):
    counts = sums["counts"].copy()
    patch_sums(sums["maps"], *sums["arguments"], counts)
    expected = [sums["bilinear"].apply(sums["weights"], w) for w in sums["maps"].astype(float)]
    assert naive.relative(counts, sums["counts"] + np.array(expected)) < sums["tolerance"]


def test_patch_sums_adjoint(sums):
    maps = sums["maps"].copy()
    patch_sums_adjoint(sums["counts"], *sums["arguments"], maps)
    expected = [sums["bilinear"].maps_adjoint(sums["weights"], c) for c in sums["counts"].astype(float)]
    assert naive.relative(maps, sums["maps"] + np.array(expected)) < sums["tolerance"]


def test_patch_sums_by_dot_products(sums):
    counts, maps = np.zeros_like(sums["counts"]), np.zeros_like(sums["maps"])
    patch_sums(sums["maps"], *sums["arguments"], counts)
    patch_sums_adjoint(sums["counts"], *sums["arguments"], maps)
    difference = np.vdot(counts, sums["counts"]) - np.vdot(sums["maps"], maps)
    bound = 1e-12 if maps.dtype == np.float64 else 1e-5
    assert abs(difference) <= bound * np.linalg.norm(counts) * np.linalg.norm(sums["counts"])


@pytest.mark.parametrize("first", [0, 1])
def test_weigh_maps(sums, first):
    m = sums["m"]
    weighed = np.full((3, m, m), np.nan, sums["maps"].dtype)
    weigh_maps(sums["maps"], sums["counts"], sums["corners"], first, m, weighed)
    expected = [
        sum(sums["counts"][e, j] * naive.patch(sums["maps"][e], sums["corners"][j], m) for e in range(2))
        for j in range(first, first + 3)
    ]
    assert naive.relative(weighed, np.array(expected)) < sums["tolerance"]


# ---------------------------------------------------------------- blur on the grid


@pytest.fixture(
    params=[
        (m, tile, window, correlation, real)
        for m, tile, window, correlation in (
            (7, (9, 8), ((0, 9), (0, 8)), False),
            (8, (9, 13), ((2, 7), (0, 11)), False),
            (8, (7, 10), ((1, 7), (3, 10)), True),
            (9, (8, 7), ((0, 8), (2, 5)), True),
        )
        for real in REALS
    ],
    ids=lambda c: f"m{c[0]}-{'correlation' if c[3] else 'convolution'}-{c[4].__name__}",
)
def grid(request):
    m, tile, window, correlation, real = request.param
    rng = np.random.default_rng(m)
    rows, columns = (np.arange(*ends) for ends in window)
    return {
        "blur": GridBlur(tile, window, m, real, correlation),
        "bilinear": naive.Bilinear(naive.grid_terms(tile, m, correlation), tile[0] * tile[1], 1, m, tile),
        "kept": (rows[:, None] * tile[1] + columns).ravel(),
        "tile": tile,
        "window": (len(rows), len(columns)),
        "m": m,
        "map": rng.normal(size=tile).astype(real),
        "kernel": rng.normal(size=(m, m)).astype(real),
        "out": rng.normal(size=(len(rows), len(columns))).astype(real),
        "tolerance": 10 * naive.ROUNDING[real],
    }


def embedded(grid):
    """Values of the window as samples of the whole tile."""
    samples = np.zeros(grid["tile"][0] * grid["tile"][1])
    samples[grid["kept"]] = grid["out"].ravel()
    return samples


def test_blur(grid):
    blur, expected = grid["blur"], grid["bilinear"].apply(grid["kernel"][None], grid["map"])[grid["kept"]]
    spectrum = blur.kernel_spectrum(grid["kernel"])
    for _ in range(2):  # nothing is left over in the shared arrays
        values = blur.blur(grid["map"], spectrum).copy()
        assert naive.relative(values, expected.reshape(grid["window"])) < grid["tolerance"]
    values = blur.blur_spectrum(blur.transform(grid["map"]).copy(), spectrum).copy()
    assert naive.relative(values, expected.reshape(grid["window"])) < grid["tolerance"]


def adjoint(grid):
    """The adjoint in the map of what is on the window; around it stands what must not count."""
    blur = grid["blur"]
    spectrum = blur.kernel_spectrum(grid["kernel"])
    blur.map[...] = 9
    blur.window[...] = grid["out"]
    rows, columns = grid["tile"]
    return blur.blur_adjoint(spectrum)[:rows, :columns].copy()


def kernel_adjoint(grid):
    blur = grid["blur"]
    still = blur.transform(grid["map"]).copy()
    multiply_conjugate(still, blur.transform(grid["out"], blur.at), blur.spectrum)
    return blur.kernel_adjoint()


def test_blur_adjoint(grid):
    values = adjoint(grid)
    expected = grid["bilinear"].maps_adjoint(grid["kernel"][None], embedded(grid))
    assert naive.relative(values, expected) < grid["tolerance"]


def test_kernel_adjoint(grid):
    values = kernel_adjoint(grid)
    expected = grid["bilinear"].kernels_adjoint(grid["map"], embedded(grid))[0]
    assert naive.relative(values, expected) < grid["tolerance"]


def test_blur_by_dot_products(grid):
    blur = grid["blur"]
    spectrum = blur.kernel_spectrum(grid["kernel"])
    forward = blur.blur(grid["map"], spectrum).copy()
    back, kernel = adjoint(grid), kernel_adjoint(grid)
    left = np.vdot(forward, grid["out"])
    bound = (
        (1e-12 if back.dtype == np.float64 else 1e-5) * np.linalg.norm(forward) * np.linalg.norm(grid["out"])
    )
    assert abs(left - np.vdot(grid["map"], back)) <= bound
    assert abs(left - np.vdot(grid["kernel"], kernel)) <= bound


def test_a_single_bright_pixel_shows_the_kernel():
    """Convolution: the kernel with its centre, index m//2, on the pixel; correlation: the kernel reversed."""
    kernel = np.arange(1.0, 17).reshape(4, 4)
    spot = np.zeros((9, 9))
    spot[4, 4] = 1
    for correlation, expected in ((False, kernel), (True, kernel[::-1, ::-1])):
        blur = GridBlur((9, 9), ((0, 9), (0, 9)), 4, np.float64, correlation)
        out = blur.blur(spot, blur.kernel_spectrum(kernel)).copy()
        start = 3 if correlation else 2
        np.testing.assert_allclose(out[start : start + 4, start : start + 4], expected, atol=1e-12)
        assert np.abs(out).sum() == pytest.approx(kernel.sum())


@pytest.mark.parametrize("real", REALS)
def test_passes_over_the_padded_map(real):
    """What each pass writes, element for element, and that it writes nothing else."""
    rng = np.random.default_rng(0)
    padded, values = rng.normal(size=(9, 8)).astype(real), rng.normal(size=(4, 5)).astype(real)
    inside = np.s_[3:7, 2:7]
    expected = np.zeros((9, 8), real)
    expected[inside] = values
    made = padded.copy()
    embed(values, 3, 2, made)
    np.testing.assert_array_equal(made, expected)

    made, expected = padded.copy(), np.zeros((9, 8), real)
    expected[inside] = padded[inside]
    clear_around(made, 3, 2, 4, 5)
    np.testing.assert_array_equal(made, expected)

    made, residual = padded.copy(), np.zeros_like(values)
    square = subtract_data(made, 3, 2, real(1.5), values, residual)
    expected = padded.copy()
    expected[inside] = real(1.5) * padded[inside] - values
    np.testing.assert_allclose(made, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(made[inside], residual)
    assert square == pytest.approx((residual.astype(float) ** 2).sum(), rel=1e-12)

    target = values.copy()
    add_scaled(padded, real(0.5), target)
    np.testing.assert_allclose(target, values + real(0.5) * padded[:4, :5], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("real", REALS)
def test_products_of_spectra(real):
    rng = np.random.default_rng(0)
    a, b, c = (naive.random_complex(rng, (5, 4), complex_of(real)) for _ in range(3))
    for function, expected in (
        (multiply_spectra, a * b),
        (multiply_conjugate, a.conj() * b),
        (add_product, c + a * b),
        (add_conjugate_product, c + a.conj() * b),
    ):
        out = c.copy()
        function(a, b, out)
        assert naive.relative(out, expected) < naive.ROUNDING[real]
    out = b.copy()
    multiply_conjugate(a, out, out)  # in place
    assert naive.relative(out, a.conj() * b) < naive.ROUNDING[real]


# ---------------------------------------------------------------- the terms


def term(sampling, modes, m, real, full, fractional=True, weighed=False):
    """A fluorescence term of three elements, the second of weight 0, and its naive model.

    Where `weighed`, each sample has a weight of its own; that of the first is 0.
    """
    rng = np.random.default_rng(m)
    shape, count = (m + 3, m + 2), 5
    corners = np.column_stack([rng.integers(0, 4, count), rng.integers(0, 3, count)])
    fractions = rng.random((count, 2)) if fractional else np.zeros((count, 2))
    exposure, gains, weights = rng.uniform(0.5, 2, count), rng.uniform(0.5, 2, 3), np.array([0.4, 0.0, 2.0])
    data = rng.normal(size=(3, *shape) if sampling == "grid" else (3, count)).astype(real)
    probe = naive.random_complex(rng, (modes, m, m), complex_of(real)) / m
    positioned = positioned_probe(fractions, modes, m, complex_of(real), batch=2)
    positioned.set(probe)
    if sampling == "grid":
        window = ((0, shape[0]), (0, shape[1]))
        fluorescence = GridFluorescence(data, gains, weights, positioned, full, shape, window, False)
    else:
        fluorescence = ScanFluorescence(data, gains, weights, positioned, full, corners, exposure)
    fluorescence.set_probe(probe)
    relative = None
    if weighed:
        relative = rng.uniform(0.2, 3, data.shape)
        relative.reshape(3, -1)[:, 0] = 0
        fluorescence.set_weights(weights, relative)
    model = naive.Model(
        np.zeros((count, m, m)),
        corners + fractions,
        probe.astype(complex),
        shape,
        exposure=exposure,
        fluorescence=data.astype(float),
        sensitivity=gains,
        alpha=3 * weights,
        relative=relative,
        method="fluorescence",
        curvature="full" if full else "positive",
    )
    maps, change = (rng.normal(size=(3, *shape)).astype(real) for _ in range(2))
    direction = naive.random_complex(rng, probe.shape, complex_of(real)) / m
    positioned.set_direction(direction)
    fluorescence.set_direction(direction)
    return fluorescence, model, {"elements": maps, "probe": probe}, {"elements": change, "probe": direction}


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("sampling", ["grid", "scan"])
@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize(
    ("modes", "m", "full", "fractional"), [(1, 7, True, True), (3, 8, True, False), (1, 9, False, True)]
)
def test_terms(sampling, modes, m, full, fractional, weighed, real):
    fluorescence, model, u, du = term(sampling, modes, m, real, full, fractional, weighed)
    tolerance = 20 * naive.ROUNDING[real]
    maps, change = u["elements"], du["elements"]
    wide = [
        {name: np.asarray(a, complex if name == "probe" else float) for name, a in x.items()} for x in (u, du)
    ]

    gradient, of_probe = np.ones_like(maps), fluorescence.probe.adjoint()
    value, in_probe = fluorescence.gradient(maps, gradient, of_probe), of_probe.total()
    expected = model.gradient(wide[0])
    assert value == pytest.approx(model.value(wide[0]), rel=tolerance)
    assert naive.relative(gradient - 1, expected["elements"]) < tolerance
    assert not (gradient[1] - 1).any()
    assert naive.relative(in_probe, expected["probe"]) < tolerance

    product, of_probe = np.ones_like(maps), fluorescence.probe.adjoint()
    fluorescence.product(change, product, of_probe)
    expected = model.product(*wide)
    assert naive.relative(product - 1, expected["elements"]) < tolerance
    assert naive.relative(of_probe.total(), expected["probe"]) < tolerance

    product = np.zeros_like(maps)
    fluorescence.product(change, product, None)
    still = model.product(wide[0], {"elements": wide[1]["elements"]})["elements"]
    assert naive.relative(product, still) < tolerance

    steps = np.array([0.0, 0.5, -1.5])
    for moved in (True, False):
        line = [
            model.value(
                {
                    name: wide[0][name] + (t if moved or name == "elements" else 0) * wide[1][name]
                    for name in u
                }
            )
            for t in steps
        ]
        assert naive.relative(fluorescence.losses_along(change, steps, moved), line) < tolerance


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("sampling", ["grid", "scan"])
def test_blur_and_diagonal(sampling, weighed):
    fluorescence, model, u, _ = term(sampling, 3, 7, np.float64, True, weighed=weighed)
    assert naive.relative(fluorescence.blur(u["elements"]), model.counts(u)) < 1e-12
    seen = model.seen(u["probe"], model.beams(u))
    k = model.kernels(seen, seen)
    blurred = model.bilinear.apply(k, np.ones(model.shape))
    weights = model.relative if weighed else model.relative[:1]
    expected = [model.bilinear.maps_adjoint(k, one * blurred) for one in weights]
    assert naive.relative(fluorescence.diagonal(model.shape), np.array(expected)) < 1e-12


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("sampling", ["grid", "scan"])
def test_adjoint_of_samples(sampling, weighed):
    """It is what the gradient loses when the samples are added to the data."""
    fluorescence, _, u, _ = term(sampling, 2, 7, np.float64, False, weighed=weighed)
    maps, samples = u["elements"], np.random.default_rng(3).normal(size=fluorescence.data.shape)
    before, after, pulled = (np.zeros_like(maps) for _ in range(3))
    fluorescence.gradient(maps, before, None)
    fluorescence.data = fluorescence.data + samples
    fluorescence.gradient(maps, after, None)
    fluorescence.adjoint(samples, pulled)
    assert naive.relative(pulled, before - after) < 1e-12
    assert not pulled[1].any()
