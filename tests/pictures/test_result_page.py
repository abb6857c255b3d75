"""A result as a page of HTML: what is in it, and in a browser, what its maps do under the mouse."""

import base64
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from ptyxrf.driver.command.main import main
from ptyxrf.driver.data.deviations import Deviations
from ptyxrf.driver.data.history import IterationRecord, Reason
from ptyxrf.driver.data.quality import Quality
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.files.result_file import Placement, write_result
from ptyxrf.driver.pictures.result_page import BLANK_CODE, MOST_CODE, page_of

SHAPE, M, POSITIONS = (20, 24), 8, np.array([[0.0, 0.0], [0.0, 15.5], [11.5, 2.0], [12.0, 16.0]])
MISFITS = np.array([1.0, 0.9, 3.0, 1.1])
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--virtual-time-budget=3000", "--window-size=1200,1200", "--dump-dom"]  # fmt: skip
#: Move over the first map, draw a line on it, zoom into it; the answers go to the title.
MOUSE = """<script>
const [canvas] = document.querySelectorAll('#object canvas'), box = canvas.getBoundingClientRect();
const at = (across, down) => ({clientX: box.left + across * box.width, clientY: box.top + down * box.height,
  bubbles: true, cancelable: true, pointerId: 1});
canvas.setPointerCapture = () => {};
canvas.dispatchEvent(new PointerEvent('pointermove', at(0.27, 0.27)));
const values = [...document.querySelectorAll('#object output')].map(output => output.textContent);
canvas.dispatchEvent(new PointerEvent('pointerdown', {...at(0.2, 0.2), shiftKey: true}));
canvas.dispatchEvent(new PointerEvent('pointermove', at(0.8, 0.8)));
canvas.dispatchEvent(new PointerEvent('pointerup', at(0.8, 0.8)));
const profiles = document.querySelectorAll('#profile polyline').length;
canvas.dispatchEvent(new WheelEvent('wheel', {...at(0.5, 0.5), deltaY: -400}));
const width = groups.object.view.width;
document.title = JSON.stringify({values, profiles, width, errors: window.errors});
</script>"""


def record(iteration, loss):
    return IterationRecord(
        iteration, loss, loss - 1, 1.0, 0.1, 1, 0, 2, 2.0 * iteration + 1, 1.0, 0.5, "", {}
    )


def made_result(**changes):
    rng = np.random.default_rng(0)
    field = np.exp(-0.1 * rng.random(SHAPE) + 1j * rng.random(SHAPE))
    probe = np.hypot(*(np.indices((M, M)) - M // 2))[None] ** 2 * (1 + 1j)
    quality = Quality(
        1.02,
        MISFITS,
        rng.random((M, M)),
        3.0,
        0.1,
        "Good fit: </script> & more.",
        True,
        np.array([1.0, np.nan]),
    )
    arguments = {
        "object": field,
        "elements": rng.random((2, *SHAPE)),
        "probe": probe,
        "history": [record(0, 9.0), record(1, 4.0)],
        "reason": Reason.LOSS,
        "method": "joint",
        "settings": {"max_sweeps": 100, "link": "refractive"},
        "quality": quality,
        "positions": POSITIONS + 0.25,
    }
    return Result(**(arguments | changes))


PLACEMENT = Placement(["Fe", "Cu"], POSITIONS, 2e-8, "a cell", "0.0.7")


def values_of(entry):
    codes = np.frombuffer(base64.b64decode(entry["codes"]), "<u2").reshape(entry["rows"], entry["columns"])
    values = entry["low"] + (entry["high"] - entry["low"]) * codes / MOST_CODE
    return np.where(codes == BLANK_CODE, np.nan, values)


def data_of(page):
    return json.loads(
        re.search(r'<script id="data"[^>]*>(.*?)</script>', page, re.S)[1].replace("<\\/", "</")
    )


def test_the_page_holds_the_result():
    result = made_result()
    page = page_of(result, PLACEMENT)
    data = data_of(page)
    maps = {entry["title"]: entry for entry in data["groups"]["object"]}
    assert list(maps) == ["amplitude", "phase", "Fe", "Cu", "misfit over noise of patterns"]
    entry = maps["Cu"]
    values = values_of(entry)
    blank = np.isnan(values)
    assert 0 < blank.sum() < blank.size  # where no beam came
    assert np.abs(values - result.elements[1])[~blank].max() < 1e-4
    assert data["losses"][0]["points"] == [[1.0, 9.0], [3.0, 4.0]]
    assert np.allclose(np.subtract(data["positions"]["refined"], data["positions"]["recorded"]), 0.25)
    assert "Good fit: &lt;/script&gt; &amp; more." in page
    for text in (
        "max_sweeps",
        "refractive",
        "chi-square of Fe",
        "20 nm",
        "a cell",
        "ptyxrf 0.0.7",
        Reason.LOSS.value,
    ):
        assert text in page
    assert not re.search(r"(?:src|href)=", page)  # of nothing else


def test_the_misfit_of_each_pattern_stands_at_its_position():
    maps = {entry["title"]: entry for entry in data_of(page_of(made_result(), PLACEMENT))["groups"]["object"]}
    entry = maps["misfit over noise of patterns"]
    values = values_of(entry)
    for (row, column), misfit in zip(POSITIONS + M // 2, MISFITS, strict=True):
        assert values[round(row), round(column)] == pytest.approx(misfit, abs=1e-4)
    assert (entry["shownLow"], entry["shownHigh"]) == (0.0, pytest.approx(MISFITS.max(), rel=0.01))


def test_the_fallback_has_maps_of_its_own():
    before = made_result(method="ptychography", elements=np.ones((2, *SHAPE)))
    maps = {
        entry["title"]: entry
        for entry in data_of(page_of(made_result(fallback=before), PLACEMENT))["groups"]["object"]
    }
    assert [title for title in maps if "fallback" in title] == [
        f"{name}, fallback" for name in ("amplitude", "phase", "Fe", "Cu")
    ]
    assert np.nanmax(np.abs(values_of(maps["Cu, fallback"]) - 1)) < 1e-9


def test_error_bars_are_maps():
    deviations = Deviations(meaning="one sigma", samples=8, amplitude=np.full(SHAPE, 0.1),
                            elements=np.full((2, *SHAPE), 0.2), positions=np.full((4, 2), 0.3))  # fmt: skip
    page = page_of(made_result(uncertainty=deviations), PLACEMENT)
    titles = [entry["title"] for entry in data_of(page)["groups"]["object"] if "error" in entry["title"]]
    assert titles == ["error of amplitude", "error of Fe", "error of Cu", "error of position"]
    assert "one sigma" in page


def test_a_large_object_is_thinned():
    large = np.ones((10, 2000), complex)
    result = made_result(
        object=large, elements=np.ones((0, *large.shape)), method="ptychography", positions=None
    )
    data = data_of(page_of(result, Placement([], None, None)))
    assert data["step"] == 3
    assert (data["groups"]["object"][0]["rows"], data["groups"]["object"][0]["columns"]) == (4, 667)


def test_the_command(tmp_path, capsys):
    path = tmp_path / "result.h5"
    write_result(path, made_result())
    assert main(["report", str(path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "result.html")
    assert "<title>joint, 20 x 24 pixels</title>" in (tmp_path / "result.html").read_text(encoding="utf-8")
    assert main(["report", str(path), "--out", str(path)]) == 2
    assert "is an input" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_in_a_browser(tmp_path):
    page = page_of(made_result(), PLACEMENT)
    errors = "<script>window.errors = []; window.onerror = text => { window.errors.push(text); };</script>"
    page = page.replace("<body>", f"<body>{errors}").replace("</body>", f"{MOUSE}</body>")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    words = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "page.html").as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    answers = json.loads(re.search(r"<title>(.*?)</title>", done.stdout)[1])
    assert answers["errors"] == []
    result = made_result()
    row, column = (int(0.27 * length) for length in SHAPE)
    expected = [*result.elements[:, row, column], MISFITS[0]]
    assert np.allclose([float(text) for text in answers["values"][2:]], expected, rtol=1e-3)
    assert answers["profiles"] == 1
    assert answers["width"] == pytest.approx(SHAPE[1] * np.exp(-0.8))
