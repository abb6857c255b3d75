import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from ptyxrf.driver.data.history import History, IterationRecord, Reason
from ptyxrf.driver.data.quality import Quality
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.pictures.colours import hue_image
from ptyxrf.driver.pictures.position_map import nearest_points
from ptyxrf.driver.pictures.result_picture import draw_report, write_report
from ptyxrf.driver.pictures.sheet import scale_bar_length
from ptyxrf.driver.reconstruction.alignment import without_null_directions
from ptyxrf.driver.reconstruction.verdict import without_floor
from ptyxrf.driver.simulation.simulate import simulate


def example(method="joint", *, elements=1, truth=True, sampling="grid", modes=1, geometry=True, **more):
    scan = simulate(
        n=40, m=16, per_side=6, elements=elements, sampling=sampling, modes=modes, noise=0.05, **more
    )
    if method == "ptychography":
        scan = scan.replace(fluorescence=None)
    found = scan.truth.get("elements", np.zeros((0, *scan.shape))) if method != "ptychography" else []
    errors = {"mse": 0.1, "mse_aligned": 0.05} if truth else {}
    history = [IterationRecord(i, 10.0 / (i + 1), 5.0, 2.0, sweeps=3.0 * i, errors=errors) for i in range(3)]
    misfit = np.arange(1.0, scan.N + 1) if method != "fluorescence" else None
    result = Result(
        scan.truth["object"], np.asarray(found), scan.probe, history, Reason.LOSS, method, {"mean_count": 2.0}
    )
    result = result.replaced(pattern_misfit=misfit)
    changes = {} if truth else {"truth": None}
    return result, scan.replace(**changes, **({} if geometry else {"geometry": None}))


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_joint_report_has_every_panel():
    result, scan = example(elements=2)
    figure = draw_report(result, scan)
    name = scan.element_names[1]
    assert titles(figure)[:6] == [
        "object: amplitude",
        "object: phase",
        "probe (hue: phase)",
        "misfit of each pattern",
        "loss",
        "mean square error against the truth",
    ]
    assert titles(figure)[-4:] == [
        f"{name}: measured",
        f"{name}: reconstructed",
        f"{name}: truth",
        f"{name}: reconstructed − truth",
    ]
    header = [text.get_text() for text in figure.texts]
    assert header[0].startswith("joint · ")
    assert Reason.LOSS.value in header[1]
    assert "1.6667 mean counts" in header[1]
    assert "200 nm" in texts(figure)


@pytest.mark.parametrize("elements", [1, 3, 6])
def test_without_truth_measured_stands_beside_reconstructed(elements):
    result, scan = example(elements=elements, truth=False, sampling="scan", path="spiral", geometry=False)
    figure = draw_report(result, scan)
    assert sum("measured" in title for title in titles(figure)) == elements
    assert sum("reconstructed" in title for title in titles(figure)) == elements
    assert not any("truth" in title for title in titles(figure))
    assert "10 px" in texts(figure)
    figure.canvas.draw()


def test_ptychography_alone():
    result, scan = example("ptychography", modes=3)
    figure = draw_report(result, scan)
    assert titles(figure)[2] == "probe, 3 modes (hue: phase)"
    assert not any("measured" in title for title in titles(figure))
    figure.canvas.draw()


@pytest.mark.parametrize("truth", [True, False])
def test_the_misfit_over_its_floor(truth):
    result, scan = example("ptychography", truth=truth)
    per_pixel = np.full((scan.m, scan.m), 1.1)
    per_pixel[0, 0] = np.nan
    verdict = "Poor fit: doubt the test."
    result.quality = Quality(1.7, np.linspace(0.5, 3, scan.N), per_pixel, 2.0, 0.03, verdict, False)
    figure = draw_report(result, scan)
    panels = ["misfit / noise: patterns", "misfit / noise: detector pixels", "loss"]
    assert titles(figure)[3:] == panels + ["mean square error against the truth"] * truth
    assert figure.texts[2].get_text() == verdict
    figure.canvas.draw()
    result.quality = without_floor(0.2, noiseless=True)
    assert "misfit of each pattern" in titles(draw_report(result, scan))


@pytest.mark.parametrize("refined", ["positions", "intensities", "pattern_background", "all"])
def test_what_was_refined_of_beam_and_detector(refined):
    """Each has its panels, and together they fill one row."""
    result, scan = example("ptychography")
    panels = {
        "positions": ["moves of the positions (pixels)"],
        "intensities": ["intensity of the beam"],
        "pattern_background": ["background of the patterns"],
    }
    values = {
        "positions": scan.positions + np.linspace(-0.5, 0.5, 2 * scan.N).reshape(-1, 2),
        "intensities": np.linspace(0.9, 1.1, scan.N),
        "pattern_background": np.full((scan.m, scan.m), 0.1),
    }
    chosen = list(panels) if refined == "all" else [refined]
    for name in chosen:
        setattr(result, name, values[name])
    figure = draw_report(result, scan)
    expected = [title for name in chosen for title in panels[name]]
    drawn = [title for title in titles(figure) if any(title in names for names in panels.values())]
    assert drawn == expected
    assert any(title.startswith("from recorded") for title in titles(figure)) == ("positions" in chosen)
    figure.canvas.draw()


def test_a_dollar_begins_no_formula():
    """Names come from files."""
    result, scan = example(truth=False)
    names = ["$\\frac{$", *scan.element_names[1:]]
    figure = draw_report(result, scan.replace(title="$x_{", element_names=names))
    figure.canvas.draw()
    assert any(names[0] in title for title in titles(figure))


def test_fluorescence_alone():
    result, scan = example("fluorescence")
    figure = draw_report(result, scan)
    assert not any("object" in title or "misfit" in title for title in titles(figure))
    assert any("measured" in title for title in titles(figure))


def test_element_without_data_and_a_flat_map():
    result, scan = example(elements=2, truth=False)
    maps = scan.fluorescence.copy()
    maps[0] = np.nan
    maps[1] = 7.0
    result = result.replaced(elements=np.zeros_like(result.elements))
    figure = draw_report(result, scan.replace(fluorescence=maps))
    assert "no data" in texts(figure)
    figure.canvas.draw()


def test_a_loss_of_zero_or_nan_does_not_spoil_the_curve():
    result, scan = example("ptychography", truth=False)
    result.history = History([IterationRecord(0, np.nan), IterationRecord(1, 0.0)])
    draw_report(result, scan).canvas.draw()


def test_report_is_a_whole_png(tmp_path):
    path = tmp_path / "report.png"
    write_report(path, *example())
    picture = imread(path)
    assert picture.shape[1] > 1000
    assert np.ptp(picture[..., 0]) > 0.9
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.png"]


def test_report_that_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        write_report(tmp_path / "nowhere" / "report.png", *example())


def test_pyplot_stays_out():
    code = "import sys, ptyxrf.driver.pictures.result_picture; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("extent", "length"), [(1.0, 0.2), (100, 20), (300, 100), (64, 20), (6e-6, 2e-6)])
def test_scale_bar_length(extent, length):
    assert scale_bar_length(extent) == pytest.approx(length)


def test_hues_are_equally_light():
    colours = hue_image(np.exp(1j * np.linspace(-3, 3, 60))[None], 1.0)[0]
    linear = np.where(colours > 0.04045, ((colours + 0.055) / 1.055) ** 2.4, colours / 12.92)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    assert np.ptp(luminance) < 0.25 * luminance.mean()
    assert np.ptp(colours, axis=0).min() > 0.2
    assert not hue_image(np.zeros((2, 2)), 1.0).any()


def test_null_directions_are_removed():
    rng = np.random.default_rng(0)
    truth = (1 + 0.1 * rng.random((20, 30))) * np.exp(0.1j * rng.random((20, 30)))
    rows, columns = np.indices(truth.shape)
    area = np.hypot(rows - 9, columns - 14) < 9
    turned = truth * np.exp(1j * (2.5 + 0.2 * rows - 0.3 * columns))
    found = without_null_directions(turned, area, ramp=True)
    expected = without_null_directions(truth, area, ramp=True)
    assert np.abs(found - expected)[area].max() < 1e-12
    assert abs(np.angle(found[area].sum())) < 1e-12
    phase_only = without_null_directions(truth * 1j, area, ramp=False)
    assert np.abs(phase_only - without_null_directions(truth, area, ramp=False))[area].max() < 1e-12


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (40, 31)])
def test_nearest_points_agree_with_all_distances(shape):
    rng = np.random.default_rng(1)
    points = rng.random((12, 2)) * shape
    nearest, distance = nearest_points(points, shape)
    rows, columns = np.indices(shape)
    apart = np.hypot(points[:, 0, None, None] - rows, points[:, 1, None, None] - columns)
    found = np.take_along_axis(apart, nearest[None], axis=0)[0]
    # Jump flooding is not exact: it may miss a point that is hardly nearer.
    assert (found <= apart.min(axis=0) + 1.0).all()
    assert (distance <= found + 1e-12).all()
