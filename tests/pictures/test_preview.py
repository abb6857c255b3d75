import math

import numpy as np
import pytest
import raw_sets
from matplotlib.image import imread

import ptyxrf
from ptyxrf.driver.command.main import main
from ptyxrf.driver.pictures.preview import area_overlap, draw_preview


def test_overlap_of_discs():
    assert area_overlap(0.0, 1.0) == pytest.approx(1.0)
    assert area_overlap(1.0, 1.0) == area_overlap(2.0, 1.0) == pytest.approx(0.0)
    grid = np.stack(np.meshgrid(*2 * [np.linspace(-1, 2, 1500)]))
    inside = [np.hypot(grid[0] - x, grid[1]) < 0.5 for x in (0.0, 0.4)]
    assert area_overlap(0.4, 1.0) == pytest.approx((inside[0] & inside[1]).sum() / inside[0].sum(), abs=0.01)
    assert math.isclose(area_overlap(0.3, 2.0), area_overlap(0.15, 1.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preview")
    truth = raw_sets.made_truth(per_side=5)
    raw_sets.two_files_with_fluorescence(folder / "f.h5", folder / "p.csv", truth)
    return folder


QUIET = ["--orientation", "given", "--probe", "mean-pattern"]


def test_command_writes_scan_picture_and_recipe(folder, capsys):
    paths = [str(folder / name) for name in ("f.h5", "p.csv")]
    assert main(["prepare", *paths, *QUIET, "--show-recipe"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("[prepare]\n") and "next: ptyxrf reconstruct" in captured.err
    picture = imread(folder / "f-scan.png")
    assert picture.shape[1] > 1000 and picture[..., :3].std() > 0.1
    recipe = folder / "recipe.toml"
    recipe.write_text(captured.out)
    assert (
        main(["prepare", *paths, "--recipe", str(recipe), "--out", str(folder / "again.h5"), "--quiet"]) == 0
    )
    first, second = (ptyxrf.read_scan(folder / name) for name in ("f-scan.h5", "again.h5"))
    assert np.array_equal(np.asarray(first.patterns), np.asarray(second.patterns))
    assert np.array_equal(first.fluorescence[...], second.fluorescence[...])


def test_panels(folder):
    done = ptyxrf.prepare([folder / "f.h5", folder / "p.csv"], folder / "s.h5", orientation="given",
                          probe="mean-pattern")  # fmt: skip
    figure = draw_preview(done, ptyxrf.read_scan(done.path))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title for title in titles if title][:5] == [
        f"mean pattern, centre ({done.centre[0]:.1f}, {done.centre[1]:.1f})",
        f"maximum pattern, centre ({done.centre[0]:.1f}, {done.centre[1]:.1f})",
        "positions and width of the probe",
        "probes over each pixel",
        "probe (hue: phase)",
    ]
    assert {"Fe", "Cu"} <= set(titles)


def test_outputs_that_would_replace_inputs_are_refused(folder, capsys):
    before = (folder / "f.h5").read_bytes()
    assert main(["prepare", str(folder / "f.h5"), "--out", str(folder / "f.h5")]) == 2
    assert main(["prepare", str(folder / "absent.h5")]) == 2
    assert main(["prepare", str(folder / "p.csv"), "--out", str(folder / "x.h5")]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("ptyxrf: error: ") == 3 and captured.err.count("\n") == 3
    assert (folder / "f.h5").read_bytes() == before
