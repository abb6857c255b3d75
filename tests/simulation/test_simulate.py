import numpy as np
import pytest
from matplotlib.image import imsave

from ptyxrf.driver.data.geometry import JOULES_PER_KEV, Geometry
from ptyxrf.driver.data.optical_constants import optical_constants, refractive_constants
from ptyxrf.driver.simulation.images import from_images, read_image
from ptyxrf.driver.simulation.plain_model import exit_waves
from ptyxrf.driver.simulation.settings import SimulationSettings
from ptyxrf.driver.simulation.simulate import simulate
from ptyxrf.driver.simulation.specimens import cells
from ptyxrf.driver.simulation.zone_plate import zone_plate_probe

SMALL = {"m": 16, "per_side": 3}


def random_probe(m, modes=1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(modes, m, m)) + 1j * rng.normal(size=(modes, m, m))


def dft_matrix(m):
    """Unitary transform whose rows are in detector order, the zero frequency at m//2."""
    k = np.arange(m) - m // 2
    return np.exp(-2j * np.pi * np.outer(k, np.arange(m)) / m) / np.sqrt(m)


def shift_by_sums(probe, fraction):
    """Fourier shift along both axes by explicit sums over signed frequencies."""
    m = len(probe)
    k = (np.arange(m) + m // 2) % m - m // 2 if m % 2 == 0 else np.arange(m) - m // 2
    index = np.arange(m)
    for axis in (0, 1):
        forward = np.exp(-2j * np.pi * np.outer(k, index) / m) / m
        back = np.exp(2j * np.pi * np.outer(index, k) / m)
        matrix = back @ np.diag(np.exp(-2j * np.pi * fraction[axis] * k / m)) @ forward
        probe = matrix @ probe if axis == 0 else probe @ matrix.T
    return probe


def test_default_scan():
    scan = simulate()
    assert (scan.N, scan.m, scan.K, scan.N_e, scan.shape) == (64, 64, 1, 1, (288, 288))
    assert scan.sampling == "grid"
    assert scan.patterns.dtype == np.float64
    assert set(scan.truth) == {"object", "elements", "probe"}
    assert scan.pixel_size == pytest.approx(25e-9)
    assert scan.geometry.energy == pytest.approx(8.8 * JOULES_PER_KEV)
    assert scan.title


def test_truth_obeys_the_link():
    scan = simulate("star", elements=3, attenuation=[0.2, -0.1, 3.0], link_offset=-1.0, noise=0, **SMALL)
    y = -1 + np.tensordot([0.2, -0.1, 3.0], scan.truth["elements"], axes=1)
    np.testing.assert_allclose(scan.truth["object"].imag, y, atol=1e-14)
    np.testing.assert_array_equal(scan.attenuation, [0.2, -0.1, 3.0])


def test_truth_obeys_the_refractive_link():
    """Elements and matrix have the constants of the photon energy; the elements' phase is what was asked."""
    options = SMALL | {"elements": 3, "noise": 0, "link": "refractive", "contrast": 2.0, "energy_keV": 9.0}
    scan = simulate("star", **options)
    constants = optical_constants(scan.element_names, scan.geometry.energy)
    np.testing.assert_array_equal([scan.attenuation, scan.phase_shift], constants)
    assert refractive_constants(scan)[1] is scan.phase_shift
    maps = scan.truth["elements"]
    assert np.tensordot(scan.phase_shift, maps, axes=1).max() == pytest.approx(2.0)
    left = scan.truth["object"] * np.exp(np.tensordot(constants[0] + 1j * constants[1], maps, axes=1))
    (a,), (p,) = optical_constants("C5H8O2", scan.geometry.energy)
    assert -np.angle(left).min() == pytest.approx(0.6)
    np.testing.assert_allclose(np.log(np.abs(left)), a / p * np.angle(left), atol=1e-13)
    more = simulate("star", **options | {"matrix": "SiO2", "fluorescence_noise": "counting"})
    assert not np.allclose(np.abs(more.truth["object"]), np.abs(scan.truth["object"]))


@pytest.mark.parametrize("m", [6, 7])
def test_patterns_by_explicit_sums(m):
    probe = random_probe(m, modes=2)
    positions = np.array([[0, 0], [2.25, 1.5], [3, 0.125], [1, 4]])
    exposure = np.array([1.0, 0.5, 2.0, 1.3])
    scan = simulate(
        cells((13, 14), n_elements=2),
        probe=probe,
        positions=positions,
        exposure=exposure,
        noise=0,
        sampling="scan",
        sensitivity=[2.0, 3.0],
        background=[0.0, 7.0],
    )
    z, w = scan.truth["object"], scan.truth["elements"]
    transform = dft_matrix(m)
    for j, (row, column) in enumerate(positions):
        r, c = int(row), int(column)
        shifted = [shift_by_sums(p, (row - r, column - c)) for p in probe]
        waves = [transform @ (p * z[r : r + m, c : c + m]) @ transform.T for p in shifted]
        expected = exposure[j] * sum(np.abs(wave) ** 2 for wave in waves)
        np.testing.assert_allclose(scan.patterns[j], expected, rtol=1e-10, atol=1e-12)
        light = sum(np.abs(p) ** 2 for p in shifted)
        for e in range(2):
            counts = np.sum(light * w[e, r : r + m, c : c + m])
            expected_counts = [2.0, 3.0][e] * exposure[j] * counts + [0.0, 7.0][e]
            assert scan.fluorescence[e, j] == pytest.approx(expected_counts, rel=1e-11)


def test_zero_frequency_is_at_the_centre():
    # a flat wave through a flat object puts all light into one pixel
    scan = simulate(np.ones((9, 9), complex), probe=np.ones((8, 8)), per_side=2, noise=0)
    expected = np.zeros((8, 8))
    expected[4, 4] = 64
    np.testing.assert_allclose(scan.patterns, np.broadcast_to(expected, (4, 8, 8)), atol=1e-12)


@pytest.mark.parametrize("m", [4, 5])
@pytest.mark.parametrize("blur", ["convolution", "correlation"])
def test_grid_maps_by_loops(m, blur):
    probe = random_probe(m, modes=2)
    specimen = cells((7, 9), n_elements=2, seed=1)
    exposure = np.linspace(0.5, 1.5, 4)
    scan = simulate(
        specimen,
        probe=probe,
        per_side=2,
        blur=blur,
        noise=0,
        exposure=exposure,
        sensitivity=0.5,
        background=[1.0, 2.0],
    )
    assert scan.blur == blur
    kernel = np.sum(np.abs(probe) ** 2, axis=0)
    sign = -1 if blur == "convolution" else 1
    rows, columns = specimen.shape
    for e, w in enumerate(specimen.elements):
        expected = np.zeros((rows, columns))
        for r in range(rows):
            for c in range(columns):
                for a in range(m):
                    for b in range(m):
                        i, j = r + sign * (a - m // 2), c + sign * (b - m // 2)
                        if 0 <= i < rows and 0 <= j < columns:
                            expected[r, c] += kernel[a, b] * w[i, j]
        np.testing.assert_allclose(scan.fluorescence[e], 0.5 * expected + [1.0, 2.0][e], rtol=1e-11)


def test_noise_statistics_and_scales():
    clean, noisy = (simulate(elements=2, noise=level, photons=50, **SMALL) for level in (0, 0.1))
    np.testing.assert_array_equal(clean.count_scale, np.zeros(9))
    np.testing.assert_array_equal(clean.fluorescence_count_scale, np.zeros(2))
    np.testing.assert_allclose(noisy.count_scale, 0.01 * clean.patterns.mean(axis=(1, 2)), rtol=1e-12)
    np.testing.assert_allclose(
        noisy.fluorescence_count_scale, 0.01 * clean.fluorescence.mean(axis=(1, 2)), rtol=1e-12
    )
    counts = noisy.patterns / noisy.count_scale[:, None, None]
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-8)
    for data, truth, eta in (
        (noisy.patterns, clean.patterns, noisy.count_scale),
        (noisy.fluorescence, clean.fluorescence, noisy.fluorescence_count_scale),
    ):
        variance = eta[:, None, None] * truth
        lit = truth > 3 * eta[:, None, None]
        score = (data - truth)[lit] / np.sqrt(variance[lit])
        assert abs(score.mean()) < 5 / np.sqrt(score.size)
        assert score.var() == pytest.approx(1, abs=7 / np.sqrt(score.size))


def test_counting_noise_gives_whole_counts():
    scan = simulate(noise="counting", photons=300, sampling="scan", sensitivity=1e-3, **SMALL)
    np.testing.assert_array_equal(scan.patterns, np.round(scan.patterns))
    np.testing.assert_array_equal(scan.fluorescence, np.round(scan.fluorescence))
    np.testing.assert_array_equal(scan.count_scale, np.ones(9))
    np.testing.assert_array_equal(scan.fluorescence_count_scale, np.ones(1))


@pytest.mark.parametrize("options", [{}, {"fractional": True, "overlap": 0.37, "modes": 2}])
def test_photons_are_the_mean(options):
    exposure = np.linspace(0.5, 1.5, 9)
    scan = simulate(photons=123.0, noise=0, exposure=exposure, **SMALL, **options)
    assert scan.patterns.mean() == pytest.approx(123.0, rel=1e-12)
    np.testing.assert_array_equal(scan.truth["probe"], scan.probe)


def test_probe_is_kept_without_photons():
    np.testing.assert_array_equal(simulate(**SMALL).probe[0], zone_plate_probe(16))


def test_seeds():
    options = {**SMALL, "path": "random", "elements": 2}
    a, b, c = (simulate(seed=seed, **options) for seed in (3, 3, 4))
    for name in ("patterns", "fluorescence", "positions"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert not np.array_equal(getattr(a, name), getattr(c, name))


def test_noises_are_independent():
    a = simulate(noise=0.05, **SMALL)
    b = simulate(noise=0.05, fluorescence_noise=0.3, **SMALL)
    c = simulate(noise=0.3, fluorescence_noise=0.05, **SMALL)
    np.testing.assert_array_equal(a.patterns, b.patterns)
    np.testing.assert_array_equal(a.fluorescence, c.fluorescence)
    assert not np.array_equal(a.fluorescence, b.fluorescence)
    assert not np.array_equal(a.patterns, c.patterns)


def test_modalities_do_not_share_random_numbers():
    # a point probe on a flat specimen: one flat pattern and one flat map, with the same mean counts
    point = np.zeros((16, 16))
    point[8, 8] = 1
    scan = simulate(np.full((16, 16), 1 + 1j), probe=point, per_side=1, noise=0.1)
    a = scan.patterns[0] / scan.count_scale[0]
    b = scan.fluorescence[0] / scan.fluorescence_count_scale[0]
    assert a.mean() == pytest.approx(100, rel=0.05)
    assert b.mean() == pytest.approx(100, rel=0.05)
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.3


def test_blocks_do_not_show():
    scan = simulate(fractional=True, overlap=0.3, modes=2, **SMALL)
    arguments = (scan.probe, scan.positions, scan.truth["object"], scan.exposure)
    whole, single = (list(exit_waves(*arguments, block=block)) for block in (2**20, 1))
    assert (len(whole), len(single)) == (1, scan.N)
    for entry in (1, 2):
        together = np.concatenate([parts[entry] for parts in single])
        np.testing.assert_array_equal(together, whole[0][entry])


def test_words_of_the_settings_file_and_of_python_mean_the_same():
    one = simulate(energy_keV=10, sampling="none", n=40, per_side="fit", overlap=0.5, m=16)
    other = simulate(
        energy=10 * JOULES_PER_KEV, sampling=None, shape=[40, 40], per_side=None, overlap=0.5, m=16
    )
    np.testing.assert_array_equal(one.patterns, other.patterns)
    assert one.geometry == other.geometry
    assert one.geometry.energy == 10 * JOULES_PER_KEV


def test_images_make_a_specimen(tmp_path):
    ramp = np.arange(900.0).reshape(30, 30)
    magnitude, phase = tmp_path / "a.png", tmp_path / "b.png"
    imsave(magnitude, ramp, cmap="gray")
    imsave(phase, ramp.T, cmap="gray")
    by_name = simulate(magnitude=magnitude, phase=str(phase), n=28, **SMALL)
    by_object = simulate(from_images(read_image(magnitude), read_image(phase), shape=(28, 28)), **SMALL)
    np.testing.assert_array_equal(by_name.patterns, by_object.patterns)
    assert by_name.title == "simulated specimen, 9 positions, raster"


def test_settings_are_overridden_by_keywords():
    settings = SimulationSettings(m=16, per_side=3, seed=2)
    np.testing.assert_array_equal(
        simulate(settings=settings, seed=5).patterns, simulate(seed=5, **SMALL).patterns
    )


def test_single_precision_patterns():
    double, single = (simulate(dtype=dtype, **SMALL) for dtype in ("float64", np.float32))
    assert single.patterns.dtype == np.float32
    np.testing.assert_array_equal(single.patterns, double.patterns.astype(np.float32))


def test_patterns_alone():
    scan = simulate(sampling=None, elements=2, **SMALL)
    assert scan.fluorescence is None
    assert scan.N_e == 0
    assert set(scan.truth) == {"object", "probe"}


def test_arrays_are_one_element():
    rng = np.random.default_rng(0)
    z = rng.uniform(0, 1, (40, 30)) - 1j * rng.uniform(0, 0.5, (40, 30))
    scan = simulate(z, link_offset=-1.0, **SMALL)
    np.testing.assert_allclose(scan.truth["object"], z, atol=1e-15)
    np.testing.assert_allclose(scan.truth["elements"][0], z.imag + 1)
    assert scan.shape == (40, 30)


def test_grids():
    assert simulate(n=50, **SMALL).shape == (50, 50)
    assert simulate(shape=(40, 50), **SMALL).positions.max(axis=0).tolist() == [24, 34]
    assert simulate(m=16, per_side=(2, 3), step=10, margin=4).shape == (34, 44)
    assert simulate(positions=[[0, 0], [3.5, 8]], m=16).shape == (19, 24)
    assert simulate(positions=[[0, 0], [3.5, 8]], m=16, n=30).shape == (30, 30)
    ramp = np.arange(900.0).reshape(30, 30)
    assert simulate(from_images(ramp, ramp.T), **SMALL).shape == (30, 30)


def test_positions_that_are_integers_but_for_rounding():
    near = np.array([[0, 0], [3 - 1e-12, 5 + 1e-12]])
    a, b = (simulate(positions=p, m=16, n=30, noise=0) for p in (near, np.round(near)))
    np.testing.assert_array_equal(a.patterns, b.patterns)


def test_geometry_sets_the_pixel():
    geometry = Geometry(10 * JOULES_PER_KEV, 2.0, 75e-6)
    scan = simulate(geometry=geometry, m=64, per_side=2, outermost_zone_width=100e-9)
    assert scan.geometry is geometry
    expected = zone_plate_probe(
        64, pixel_size=geometry.pixel_size(64), energy=geometry.energy, outermost_zone_width=100e-9
    )
    np.testing.assert_array_equal(scan.probe[0], expected)
    made = simulate(energy=10 * JOULES_PER_KEV, pixel_size=30e-9, **SMALL)
    assert made.pixel_size == pytest.approx(30e-9)
    assert made.geometry.energy == 10 * JOULES_PER_KEV


PROBE = np.ones((16, 16))


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("specimen", {"specimen": "wood"}),
        ("specimen", {"specimen": np.ones(5)}),
        ("specimen", {"specimen": np.full((40, 40), 1 - 0.5j)}),
        ("n", {"n": 40, "shape": (40, 40)}),
        ("n", {"n": -3}),
        ("shape", {"n": 10}),
        ("shape", {"shape": 40}),
        ("shape", {"shape": (40, 4.5)}),
        ("shape", {"specimen": np.ones((40, 40), complex), "n": 41}),
        ("elements", {"specimen": np.ones((40, 40), complex), "elements": 2}),
        ("elements", {"elements": 0}),
        ("attenuation", {"attenuation": [1.0, 2.0]}),
        ("link_offset", {"link_offset": np.nan}),
        ("link", {"link": "cubic"}),
        ("matrix", {"link": "refractive", "matrix": "tissue"}),
        ("contrast", {"link": "refractive", "contrast": 0.0}),
        ("specimen", {"link": "refractive", "specimen": np.ones((40, 40), complex)}),
        ("specimen", {"link": "refractive", "magnitude": "a.png", "phase": "b.png"}),
        ("attenuation", {"link": "refractive", "attenuation": 1.0}),
        ("link_offset", {"link": "refractive", "link_offset": -1.0}),
        ("m", {"m": 1}),
        ("m", {"probe": PROBE, "m": 17}),
        ("probe", {"probe": np.ones((16, 15))}),
        ("probe", {"probe": np.zeros((16, 16))}),
        ("probe", {"probe": PROBE * np.nan}),
        ("modes", {"modes": 0}),
        ("modes", {"probe": random_probe(16, 2), "modes": 3}),
        ("defocus", {"probe": PROBE, "defocus": 1e-4}),
        ("defocus", {"defocus": 1.0}),
        ("energy", {"geometry": Geometry(1e-15, 2.0, 75e-6), "energy": 1e-15}),
        ("energy", {"energy": -1.0}),
        ("energy", {"energy": 1e-15, "energy_keV": 8.0}),
        ("energy_keV", {"geometry": Geometry(1e-15, 2.0, 75e-6), "energy_keV": 8.0}),
        ("phase", {"magnitude": "a.png"}),
        ("magnitude", {"phase": "a.png"}),
        ("magnitude, phase, real, imaginary", {"magnitude": "a.png", "real": "b.png"}),
        ("pixel_size", {"pixel_size": 0.0}),
        ("pixel_size", {"pixel_size": 1e-6}),
        ("positions", {"positions": [1, 2]}),
        ("positions", {"positions": [[-1, 2]]}),
        ("positions", {"positions": [[np.nan, 2]]}),
        ("positions", {"positions": [[0, 30]], "n": 45}),
        ("path", {"path": "line"}),
        ("per_side", {"per_side": 9, "n": 40, "step": 8}),
        ("per_side", {"per_side": None}),
        ("overlap", {"overlap": 2}),
        ("sampling", {"sampling": "line"}),
        ("blur", {"blur": "none"}),
        ("exposure", {"exposure": np.ones(4)}),
        ("exposure", {"exposure": 0.0}),
        ("sensitivity", {"sensitivity": -1.0}),
        ("background", {"background": [0.0, 1.0]}),
        ("photons", {"photons": 0}),
        ("photons", {"photons": 10, "specimen": np.zeros((40, 40), complex)}),
        ("noise", {"noise": -0.1}),
        ("fluorescence_noise", {"fluorescence_noise": "loud"}),
        ("dtype", {"dtype": "int32"}),
        ("seed", {"seed": -1}),
    ],
)
def test_refuses(argument, options):
    m = {} if "probe" in options else {"m": 16}
    with pytest.raises(ValueError, match=f"^{argument}: expected"):
        simulate(**{**m, "per_side": 3, **options})


def test_negative_concentrations_need_no_noise():
    scan = simulate(np.full((40, 40), 1 - 0.5j), noise=0.1, fluorescence_noise=0, **SMALL)
    assert scan.fluorescence.max() < 0
