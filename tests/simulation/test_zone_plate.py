import numpy as np
import pytest

from ptyxrf.driver.data.geometry import JOULES_PER_KEV, PLANCK_TIMES_C
from ptyxrf.driver.simulation.probe_modes import probe_modes
from ptyxrf.driver.simulation.zone_plate import zone_plate_probe


def radii(m):
    return np.hypot(*np.mgrid[:m, :m] - m // 2)


@pytest.mark.parametrize(("m", "bound"), [(16, 0.08), (32, 0.03), (64, 0.03), (128, 0.02), (75, 0.03)])
def test_periphery_is_dark_and_the_largest_magnitude_is_one(m, bound):
    probe = zone_plate_probe(m)
    assert probe.shape == (m, m)
    assert probe.dtype == np.complex128
    magnitude = np.abs(probe)
    assert magnitude.max() == pytest.approx(1, abs=1e-14)
    assert magnitude[radii(m) > 0.45 * m].max() < bound
    assert magnitude[radii(m) > 0.45 * m].mean() < bound / 2


@pytest.mark.parametrize("m", [16, 32, 64])
def test_small_windows_have_their_peak_on_the_axis(m):
    magnitude = np.abs(zone_plate_probe(m))
    assert np.unravel_index(magnitude.argmax(), magnitude.shape) == (m // 2, m // 2)
    # the beam is not a point: it lights a good part of the window
    assert np.mean(magnitude > 0.1) > 0.08


def test_central_stop_makes_rings():
    line = np.abs(zone_plate_probe(64))[32, 32:]
    inner = line[:15]
    rises = np.flatnonzero(np.diff(inner) > 0.05)
    assert rises.size > 0, "the magnitude should rise again outside the central peak"


def test_symmetric_about_the_axis():
    probe = zone_plate_probe(64)
    core = probe[1:, 1:]
    for mirrored in (core[::-1], core[:, ::-1], core.T):
        np.testing.assert_allclose(core, mirrored, atol=1e-12)


def test_focus_without_stop_is_the_airy_amplitude():
    special = pytest.importorskip("scipy.special")
    dx, width = 5e-9, 40e-9
    probe = zone_plate_probe(
        128, pixel_size=dx, outermost_zone_width=width, central_stop=0, defocus=0, apodization=0
    )
    r = radii(128) * dx
    x = np.pi * r / width  # numerical aperture wavelength / (2 dr)
    airy = np.where(x > 0, 2 * special.j1(x) / np.where(x > 0, x, 1), 1.0)
    inside = r < 3 * width
    np.testing.assert_allclose(probe[inside].real, airy[inside], atol=0.01)
    np.testing.assert_allclose(probe[inside].imag, 0, atol=1e-12)


def test_spectrum_is_the_annulus_of_the_plate():
    m, dx, width = 128, 20e-9, 50e-9
    probe = zone_plate_probe(m, pixel_size=dx, outermost_zone_width=width, diameter=1e-4, central_stop=4e-5)
    frequency = np.fft.fftfreq(m, dx)
    q = np.hypot(frequency[:, None], frequency) * 2 * width  # 1 at the rim of the plate
    power = np.abs(np.fft.fft2(probe)) ** 2
    assert power[(q > 0.36) & (q < 1.04)].sum() > 0.995 * power.sum()
    assert power[q < 0.3].max() < 0.03 * power.max()


def test_defocus_spreads_and_its_sign_conjugates():
    common = {"pixel_size": 20e-9, "outermost_zone_width": 40e-9}
    before, focus, after = (zone_plate_probe(96, defocus=z, **common) for z in (-150e-6, 0.0, 150e-6))
    np.testing.assert_allclose(before, np.conj(after), atol=1e-12)
    spread = [np.sum(np.abs(p) ** 2 * radii(96) ** 2) / np.sum(np.abs(p) ** 2) for p in (focus, after)]
    assert spread[1] > 2 * spread[0]


def test_diverging_beam_has_a_phase_that_grows_outwards():
    # exp(i pi r^2 / (wavelength z)) downstream of the focus, in the lit part
    energy, z, dx = 8 * JOULES_PER_KEV, 200e-6, 20e-9
    probe = zone_plate_probe(
        96, energy=energy, defocus=z, pixel_size=dx, outermost_zone_width=40e-9, central_stop=0
    )
    wavelength = PLANCK_TIMES_C / energy
    phase = np.unwrap(np.angle(probe[48, 48:68]))
    r = np.arange(20) * dx
    fitted = np.polyfit(r**2, phase, 1)[0]
    assert fitted == pytest.approx(np.pi / (wavelength * z), rel=0.15)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("pixel_size", 60e-9),
        ("pixel_size", 0.0),
        ("pixel_size", "fine"),
        ("energy", -1.0),
        ("energy", np.nan),
        ("outermost_zone_width", np.inf),
        ("diameter", 0.0),
        ("central_stop", 200e-6),
        ("central_stop", -1e-6),
        ("defocus", 5e-3),
        ("defocus", np.nan),
        ("apodization", 1.0),
        ("apodization", np.nan),
    ],
)
def test_refuses(argument, value):
    with pytest.raises(ValueError, match=argument):
        zone_plate_probe(64, **{argument: value})


@pytest.mark.parametrize("m", [1, 0, 3.5, "64"])
def test_refuses_a_window(m):
    with pytest.raises(ValueError, match="m: expected"):
        zone_plate_probe(m)


def test_refuses_a_spot_wider_than_the_window():
    with pytest.raises(ValueError, match="defocus"):
        zone_plate_probe(4, defocus=0.0)


def test_warns_where_the_window_misses_light():
    with pytest.warns(UserWarning, match="misses"):
        zone_plate_probe(16, pixel_size=13e-9, defocus=0.0, central_stop=120e-6, apodization=0)


def test_modes_are_orthogonal_with_falling_power():
    probe = zone_plate_probe(32)
    modes = probe_modes(probe, 4)
    gram = np.einsum("aij,bij->ab", modes.conj(), modes)
    power = np.sum(np.abs(probe) ** 2)
    shares = 0.4 ** np.arange(4) / (1 + 0.4 + 0.16 + 0.064)
    np.testing.assert_allclose(gram, np.diag(power * shares), atol=1e-10 * power)
    np.testing.assert_allclose(modes[0], probe * np.sqrt(shares[0]), atol=1e-14)


def test_one_mode_is_the_probe():
    probe = zone_plate_probe(16)
    np.testing.assert_allclose(probe_modes(probe, 1)[0], probe, rtol=1e-14)


def test_modes_refuse():
    probe = zone_plate_probe(16)
    with pytest.raises(ValueError, match="count"):
        probe_modes(probe, 0)
    with pytest.raises(ValueError, match="probe: expected shape"):
        probe_modes(probe[:5], 2)
    with pytest.raises(ValueError, match="probe: expected finite"):
        probe_modes(np.zeros((8, 8)), 2)
    point = np.zeros((8, 8), complex)
    point[4, 4] = 1
    with pytest.raises(ValueError, match="count: expected at most 1"):
        probe_modes(point, 2)
