import numpy as np
import pytest

from ptyxrf.driver.simulation.scan_paths import PATHS, covered_shape, scan_positions, scan_step


def test_default_is_8_by_8_at_half_a_window():
    positions = scan_positions("raster", 64)
    expected = [(32.0 * row, 32.0 * column) for row in range(8) for column in range(8)]
    np.testing.assert_array_equal(positions, expected)
    assert positions.dtype == np.float64
    assert covered_shape(64) == (288, 288)


def test_snake_turns_at_the_ends():
    positions = scan_positions("snake", 10, per_side=(3, 4), step=5)
    assert positions[:, 1].tolist() == [0, 5, 10, 15, 15, 10, 5, 0, 0, 5, 10, 15]
    assert np.abs(np.diff(positions, axis=0)).sum(axis=1).max() == 5


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("fractional", [False, True])
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        (None, {"overlap": 0.83, "margin": 3}),
        (None, {"step": 3.7, "per_side": (3, 5), "jitter": 0.9}),
        ((70, 101), {}),
        ((70, 101), {"margin": 5, "jitter": 2.0}),
        ((70, 101), {"per_side": (5, 7), "overlap": 0.6}),
        ((70, 101), {"per_side": None, "step": 5.3}),
    ],
)
def test_windows_are_inside(path, fractional, shape, options):
    m = 16
    positions = scan_positions(path, m, shape, fractional=fractional, seed=5, **options)
    if shape is None:
        shape = covered_shape(m, **{k: v for k, v in options.items() if k != "jitter"})
    margin = options.get("margin", 0)
    assert positions.min() >= margin
    assert (positions + m + margin <= shape).all()
    assert (positions == np.round(positions)).all() != fractional or options.get("jitter", 0) == 0
    if not fractional:
        np.testing.assert_array_equal(positions, np.round(positions))
    per_side = options.get("per_side", 8)
    if per_side is not None:
        assert len(positions) == np.prod(np.broadcast_to(per_side, 2))


def test_even_spread_reaches_the_edges():
    positions = scan_positions("raster", 64, (154, 300), per_side=(8, 5), fractional=True)
    np.testing.assert_allclose(np.unique(positions[:, 0]), np.linspace(0, 90, 8))
    np.testing.assert_allclose(np.unique(positions[:, 1]), np.linspace(0, 236, 5))


def test_rounding_keeps_the_mean_step():
    positions = scan_positions("raster", 64, per_side=(1, 101), overlap=0.83)
    steps = np.diff(positions[:, 1])
    assert set(steps) == {10.0, 11.0}
    assert steps.mean() == pytest.approx(0.17 * 64, abs=0.01)


def test_a_step_in_a_larger_grid_stands_in_the_middle():
    positions = scan_positions("raster", 10, (100, 61), per_side=4, step=6)
    assert (positions[0] == (36, 16)).all()
    assert (positions[-1] == (54, 34)).all()


def test_as_many_as_fit():
    positions = scan_positions("raster", 10, (100, 61), per_side=None, step=10)
    assert len(positions) == 10 * 6


def test_spiral_fills_the_rectangle():
    positions = scan_positions("spiral", 32, (232, 432), per_side=(20, 40), fractional=True)
    assert len(np.unique(positions, axis=0)) == 800
    counts, _, _ = np.histogram2d(*positions.T, bins=(4, 8), range=((0, 200), (0, 400)))
    assert counts.min() > 0.7 * counts.mean()
    # it starts in the middle and works outwards
    distance = np.hypot(*(positions - (100, 200)).T)
    assert distance[0] < 1e-9
    assert (np.diff(distance) > 0).all()


def test_jitter_displaces_by_up_to_its_fraction():
    still = scan_positions("raster", 32, (300, 300), per_side=10, step=20, fractional=True)
    moved = scan_positions("raster", 32, (300, 300), per_side=10, step=20, jitter=0.25, fractional=True)
    shift = np.abs(moved - still)
    assert 4 < shift.max() <= 5


def test_random_path_is_a_displaced_raster_in_random_order():
    positions = scan_positions("random", 32, (300, 300), per_side=10, step=20, fractional=True, seed=1)
    cell = np.round((positions - 44) / 20)
    assert len(np.unique(cell, axis=0)) == 100
    assert (np.diff(positions[:, 0]) < -20).any()


@pytest.mark.parametrize("path", PATHS)
def test_seeds(path):
    a, b, c = (scan_positions(path, 16, jitter=0.3, fractional=True, seed=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_one_position():
    np.testing.assert_array_equal(scan_positions("raster", 16, per_side=1), [(0, 0)])
    np.testing.assert_array_equal(scan_positions("raster", 16, (18, 20), per_side=1, step=4), [(1, 2)])


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("path", {"path": "circle"}),
        ("m", {"m": 0}),
        ("m", {"m": 2.5}),
        ("shape", {"shape": (15, 40)}),
        ("shape", {"shape": (17, 40), "margin": 1}),
        ("shape", {"shape": 40}),
        ("per_side", {"per_side": 0}),
        ("per_side", {"per_side": (2, 3, 4)}),
        ("per_side", {"per_side": None}),
        ("per_side", {"per_side": None, "shape": (40, 40)}),
        ("per_side", {"per_side": 5, "shape": (40, 40), "step": 7}),
        ("per_side", {"per_side": (1, 5), "path": "spiral"}),
        ("overlap", {"overlap": 1.0}),
        ("overlap", {"overlap": -0.1}),
        ("overlap", {"overlap": np.nan}),
        ("step", {"step": 0}),
        ("step", {"step": np.inf}),
        ("step", {"step": 3, "overlap": 0.3}),
        ("margin", {"margin": -1}),
        ("jitter", {"jitter": -0.5}),
        ("jitter", {"jitter": np.nan}),
    ],
)
def test_refuses(argument, options):
    with pytest.raises(ValueError, match=f"^{argument}: expected"):
        scan_positions(**{"path": "raster", "m": 16, **options})


def test_says_what_would_fit():
    with pytest.raises(ValueError, match=r"at most 4 positions .* a step of at most 6 pixels"):
        scan_positions("raster", 16, (40, 40), per_side=5, step=7)


def test_step():
    assert scan_step(64) == 32
    assert scan_step(64, overlap=0.25) == 48
    assert scan_step(64, step=7) == 7
