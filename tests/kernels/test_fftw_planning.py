"""Planning costs no more than it saves in ten iterations; what was learned is kept between processes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from ptyxrf.driver.files import wisdom_file
from ptyxrf.driver.files.user_cache import cache_folder
from ptyxrf.driver.files.wisdom_file import load_wisdom, prepare_plans, read_wisdom, save_wisdom, wisdom_path
from ptyxrf.kernels.fftw import planning
from ptyxrf.kernels.fftw.planning import EFFORTS, Plans, plan_wisdom, search, take_wisdom
from ptyxrf.kernels.fftw.transforms import PatternFourier
from ptyxrf.kernels.fluorescence_grid import padded, plan_blur


class Planner:
    """A planner that keeps a record, knows some efforts already, and has made-up times of a transform."""

    def __init__(self, monkeypatch, seconds, known=()):
        self.asked, self.known = [], known
        monkeypatch.setattr(planning, "seconds_of", lambda plan: seconds[plan])

    def __call__(self, flags, limit):
        self.asked.append((flags, limit))
        if "FFTW_WISDOM_ONLY" in flags and flags[0] not in self.known:
            raise RuntimeError("no wisdom")
        return flags[0]

    @property
    def searches(self):
        return [(flags[0], limit) for flags, limit in self.asked if limit is not None]


SECONDS = {"FFTW_ESTIMATE": 1e-3, "FFTW_MEASURE": 8e-4, "FFTW_PATIENT": 7e-4}


@pytest.mark.parametrize("executions", [0, 1, 100, 3000, 10**4, 10**5, 10**6, 10**7])
def test_planning_takes_no_longer_than_it_saves(monkeypatch, executions):
    planner = Planner(monkeypatch, SECONDS)
    values = 200_000
    plan, searched = search(planner, values, executions)
    before = [1e-3, 8e-4]
    for (flag, limit), effort, seconds in zip(planner.searches, EFFORTS, before, strict=False):
        assert flag == effort.flag
        assert limit == pytest.approx(effort.gain * executions * seconds)
        assert limit >= effort.start + effort.each * values  # it can be expected to come to its end
    assert searched == bool(planner.searches)
    assert plan == (planner.searches[-1][0] if searched else "FFTW_ESTIMATE")
    expected = {0: 0, 1: 0, 100: 0, 3000: 1, 10**4: 1, 10**5: 1, 10**6: 2, 10**7: 2}
    assert len(planner.searches) == expected[executions]


def test_what_is_known_is_not_searched_for(monkeypatch):
    planner = Planner(monkeypatch, SECONDS, known=("FFTW_MEASURE", "FFTW_PATIENT"))
    assert search(planner, 200_000, 10**7) == ("FFTW_PATIENT", False)
    planner = Planner(monkeypatch, SECONDS, known=("FFTW_MEASURE",))
    assert search(planner, 200_000, 10**7) == ("FFTW_PATIENT", True)
    assert [flag for flag, _ in planner.searches] == ["FFTW_PATIENT"]


def test_plans_are_made_once_and_again_where_it_pays(monkeypatch):
    planner = Planner(monkeypatch, SECONDS)
    plans = Plans()
    assert plans.get("a", planner, 10) == plans.get("a", planner, 10) == "FFTW_ESTIMATE"
    assert (len(planner.asked), plans.searches) == (1, 0)
    assert (
        plans.get("a", planner, 10, 10**4) == plans.get("a", planner, 10, 100) == plans.get("a", planner, 10)
    )
    assert plans.searches == 1
    asked = len(planner.asked)
    assert plans.get("a", planner, 10, None) == "FFTW_ESTIMATE"  # anew, from what FFTW knows
    assert len(planner.asked) == asked + 1


def test_a_limit_holds():
    """The planner itself stops there: PATIENT takes several seconds for such a map."""
    code = (
        "import time, pyfftw; from ptyxrf.kernels.fftw import planning, transforms as fourier\n"
        "planning.EFFORTS = (planning.Effort('FFTW_PATIENT', 1.0, 0.0, 0.0),)\n"
        "planning.seconds_of = lambda plan: 0.1\n"
        "began = time.perf_counter()\n"
        "fourier.real_plans(500, 500, '<f8', 1)\n"
        "print(time.perf_counter() - began)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 2  # twice 0.1 s, and what a slow machine needs


def test_wisdom_is_passed_on():
    """A planner takes up what was learned, and plans the same transforms."""
    fourier = PatternFourier(1, 10, np.dtype(np.complex64))
    fourier.plan(10**6)
    wisdom = plan_wisdom()
    assert all(isinstance(part, bytes) for part in wisdom) and any(wisdom)
    assert take_wisdom(wisdom)
    fourier.plan(None)
    fields = fourier.buffer()
    fields[...] = np.random.default_rng(0).standard_normal(fields.shape)
    expected = np.fft.ifft2(fields) * 100
    fourier.backward(fields, fields)
    np.testing.assert_allclose(fields, expected, rtol=1e-4, atol=1e-4)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PTYXRF_WISDOM", str(tmp_path / "wisdom"))
    return tmp_path / "wisdom"


WORK = """
import sys, time
from ptyxrf.driver.files.wisdom_file import prepare_plans
from ptyxrf.kernels.fftw.planning import PLANS
from ptyxrf.kernels.fluorescence_grid import plan_blur
began = time.perf_counter()
prepare_plans(None, "blur", lambda search: plan_blur((290, 290), 31, "<f8", 400))
print(time.perf_counter() - began, PLANS.searches)
"""


def test_the_second_process_plans_in_no_time(folder):
    results = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, check=True)
        seconds, searches = done.stdout.split()
        results.append((float(seconds), int(searches)))
    (first, searches), (second, others) = results
    assert searches == 2 and others == 0  # forward and backward
    assert second < first / 2
    assert [path.name for path in folder.iterdir()] == [wisdom_path().name]


def test_where_wisdom_is_kept(folder, tmp_path, monkeypatch):
    assert wisdom_path().parent == folder
    assert wisdom_path().name.startswith("fftw-3.") and " " not in wisdom_path().name
    monkeypatch.delenv("PTYXRF_WISDOM")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert wisdom_path().parent == cache_folder() == tmp_path / "ptyxrf"
    monkeypatch.setenv("PTYXRF_WISDOM", "off")
    assert wisdom_path() is None
    load_wisdom(None)
    save_wisdom()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"not JSON",
        b"[]",
        b'{"wisdom": 3}',
        b'{"wisdom": ["(fftw-3.3.5 fftw_w", "", ""]}',
        b"{}",
    ],
)
def test_damaged_files_are_passed_over_and_replaced(folder, content):
    folder.mkdir()
    path = wisdom_path()
    path.write_bytes(content)
    load_wisdom(None)
    prepare_plans(None, "patterns", lambda search: PatternFourier(1, 12, np.dtype(np.complex128)).plan(9))
    save_wisdom()
    assert read_wisdom(path) == plan_wisdom()
    json.loads(path.read_text())


def test_folders_that_cannot_be_written_are_passed_over(folder):
    folder.write_text("a file in its place")
    load_wisdom(None)
    save_wisdom()
    assert folder.read_text() == "a file in its place"


def test_the_file_is_read_once(folder, monkeypatch):
    read = []
    monkeypatch.setattr(wisdom_file, "read_wisdom", lambda path: read.append(path) or ())
    load_wisdom(None)
    load_wisdom(None)
    assert read == [wisdom_path()]


def test_tests_keep_out_of_the_users_cache():
    assert os.environ["PTYXRF_WISDOM"] != "" and wisdom_path().parent != cache_folder()


def test_padded_maps_hold_the_convolution():
    rows, columns = padded((100, 37), 16)
    assert rows >= 115 and columns >= 52
    plan_blur((20, 21), 4, np.float32)
