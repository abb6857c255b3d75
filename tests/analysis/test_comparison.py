import numpy as np
import pytest

import ptyxrf
from ptyxrf.driver.analysis.comparison import compare_results, inner_rectangle
from ptyxrf.driver.analysis.ring_correlation import ring_correlation
from ptyxrf.driver.command.main import main


def blurred(rng, shape, cutoff):
    """Return noise with frequencies up to a cutoff in cycles per pixel."""
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij"))
    return np.fft.ifft2(np.fft.fft2(rng.standard_normal(shape)) * (frequency < cutoff)).real


def test_equal_images_agree_at_all_frequencies():
    image = blurred(np.random.default_rng(0), (64, 80), 1.0)
    rings = ring_correlation(image, 3 * image)
    assert np.allclose(rings.correlation, 1.0)
    assert rings.resolution() == rings.resolution(1 / 7) == 1.0


def test_different_images_agree_nowhere():
    rng = np.random.default_rng(0)
    rings = ring_correlation(rng.standard_normal((64, 64)), rng.standard_normal((64, 64)))
    assert abs(rings.correlation[8:].mean()) < 0.05
    assert rings.resolution() is None or rings.resolution() > 8


@pytest.mark.parametrize("cutoff", [0.1, 0.2, 0.35])
def test_resolution_is_that_up_to_which_images_share_their_content(cutoff):
    rng = np.random.default_rng(1)
    shape = (256, 240)
    shared = blurred(rng, shape, cutoff)
    shared /= shared.std()
    images = [shared + 0.7 * rng.standard_normal(shape) for _ in range(2)]
    rings = ring_correlation(*images)
    assert rings.resolution() == pytest.approx(0.5 / cutoff, rel=0.12)
    assert rings.resolution(1 / 7) == pytest.approx(0.5 / cutoff, rel=0.12)


def test_half_bit_threshold_of_many_pixels():
    rings = ring_correlation(*np.random.default_rng(0).standard_normal((2, 400, 400)))
    # it comes down to 0.2071 / 1.2071, the signal to noise ratio of half a bit
    assert 0.1716 < rings.half_bit[-1] < 0.23 < rings.half_bit[50] < 0.3 < rings.half_bit[10]


def test_rectangle_within_an_area():
    area = np.zeros((40, 50), bool)
    area[5:30, 10:45] = True
    area[4, 20] = area[30, 20:22] = True
    assert inner_rectangle(area) == (slice(5, 30), slice(10, 45))
    with pytest.raises(ValueError, match="compare: expected"):
        inner_rectangle(np.zeros((9, 9), bool))


@pytest.fixture(scope="module")
def scan():
    return ptyxrf.simulate(n=72, m=24, per_side=10, elements=2, photons=500.0, noise="counting")


@pytest.fixture(scope="module")
def result(scan):
    return ptyxrf.reconstruct(scan, max_sweeps=20.0, sequential_first=False, fluorescence_prior="none")


def test_ramp_shift_and_scale_are_no_difference(scan, result):
    rows, columns = np.indices(result.object.shape)
    turned = result.replaced(object=2 * result.object * np.exp(0.1j * rows - 0.2j * columns + 1j))
    area = ptyxrf.illuminated_area(scan)
    found = compare_results(result, turned, (area, area), names=(["a", "b"], ["b", "a"]))
    assert found.object_difference < 1e-2
    assert found.rings.resolution() == 1.0
    assert found.maps["a"][0] < 0.999


def test_command(tmp_path, scan, result, capsys):
    other = result.replaced(object=result.object.conj())
    for name, one in (("a.h5", result), ("b.h5", other)):
        ptyxrf.write_result(tmp_path / name, one, scan)
    assert main(["compare", str(tmp_path / "a.h5"), str(tmp_path / "a.h5")]) == 0
    assert "all frequencies agree" in capsys.readouterr().out
    assert main(["compare", str(tmp_path / "a.h5"), str(tmp_path / "b.h5")]) == 0
    assert "all frequencies agree" not in capsys.readouterr().out
    assert (tmp_path / "a-and-b.png").stat().st_size > 10_000


def test_halves(tmp_path, scan, capsys):
    ptyxrf.write_scan(tmp_path / "s.h5", scan)
    words = ["--max-sweeps", "15", "--method", "ptychography", "--quiet"]
    assert main(["compare", "--halves", str(tmp_path / "s.h5"), *words]) == 0
    out = capsys.readouterr().out
    assert "half period of resolution, half bit: " in out and "none" not in out
    assert (tmp_path / "s-halves.png").exists()


def test_bad_input(tmp_path, scan, capsys):
    ptyxrf.write_scan(tmp_path / "s.h5", scan)
    assert main(["compare", str(tmp_path / "s.h5")]) == 2
    assert main(["compare", str(tmp_path / "s.h5"), str(tmp_path / "s.h5")]) == 2
    assert capsys.readouterr().err.count("ptyxrf: error: ") == 2
