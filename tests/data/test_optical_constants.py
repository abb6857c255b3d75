"""Optical constants against published numbers; which scans have them."""

import numpy as np
import pytest

from ptyxrf.driver.data.geometry import JOULES_PER_KEV, PLANCK_TIMES_C, Geometry
from ptyxrf.driver.data.optical_constants import (
    has_refractive_constants,
    optical_constants,
    refractive_constants,
)
from ptyxrf.driver.data.scan import Scan

ENERGY = 8.0 * JOULES_PER_KEV


def scan_of(names=("Fe", "Au_L"), **arguments):
    shape = (2, 2, 8, 8)
    given = {"fluorescence": np.ones((2, 2)), "element_names": names} | arguments
    return Scan(np.ones(shape[1:]), np.zeros((2, 2)), np.ones((8, 8)), **given)


GEOMETRY = Geometry(ENERGY, 1.0, 1e-4)


@pytest.mark.parametrize(
    ("name", "density", "mass_attenuation", "delta"),
    [
        # NIST's tables: mu/rho in cm^2/g at 8 keV; CXRO's: delta
        ("Cu", 8.96, 52.55, 2.43e-5),
        ("Au", 19.3, 204.9, 4.77e-5),
        ("H2O", 1.0, 10.37, 3.60e-6),
    ],
)
def test_published_numbers(name, density, mass_attenuation, delta):
    (attenuation,), (phase_shift,) = optical_constants(name, ENERGY)
    assert 2 * attenuation == pytest.approx(mass_attenuation / 10, rel=0.05)  # 1 cm^2/g is 0.1 m^2/kg
    wave_number = 2 * np.pi * ENERGY / PLANCK_TIMES_C
    assert phase_shift * 1000 * density == pytest.approx(wave_number * delta, rel=0.03)


def test_several_names_and_lines():
    one = optical_constants("Fe", ENERGY)
    several = optical_constants(["Fe_K", "Pt L", "Fe"], ENERGY)
    assert several[0].shape == several[1].shape == (3,)
    for values, (expected,) in zip(several, one, strict=True):
        assert values[0] == values[2] == expected and values[1] != expected


@pytest.mark.parametrize("name", ["Xx", "", "hello", "fe"])
def test_no_element(name):
    with pytest.raises(ValueError, match=rf"^elements: expected symbols .*, got '{name}'"):
        optical_constants(["Fe", name], ENERGY)


@pytest.mark.parametrize("energy", [0.0, -1.0, np.nan, 8.0, 1e-20])
def test_no_energy(energy):
    with pytest.raises(ValueError, match=r"^energy: expected"):
        optical_constants("Fe", energy)


def test_which_scans_have_constants():
    given = {"attenuation": [0.1, 0.2], "phase_shift": [1.0, 2.0]}
    assert has_refractive_constants(scan_of(**given))
    np.testing.assert_array_equal(refractive_constants(scan_of(**given)), list(given.values()))
    named = scan_of(geometry=GEOMETRY)
    assert has_refractive_constants(named)
    np.testing.assert_array_equal(refractive_constants(named), optical_constants(["Fe", "Au"], ENERGY))
    for other in (
        scan_of(),
        scan_of(("Fe", "scatter"), geometry=GEOMETRY),
        scan_of(geometry=GEOMETRY, attenuation=[1.0, 1.0]),  # that of the linear link
        scan_of(geometry=GEOMETRY, fluorescence=None, names=None, element_names=None),
    ):
        assert not has_refractive_constants(other)


def test_the_link_may_be_asked_for():
    """An attenuation of the scan is kept; the tables have the phase shift."""
    both = refractive_constants(scan_of(geometry=GEOMETRY, attenuation=[0.5, 0.6]))
    assert both[0].tolist() == [0.5, 0.6]
    np.testing.assert_array_equal(both[1], optical_constants(["Fe", "Au"], ENERGY)[1])
    with pytest.raises(ValueError, match=r"^link: expected attenuation and phase_shift .*the name 'scatter'"):
        refractive_constants(scan_of(("Fe", "scatter"), geometry=GEOMETRY))
    with pytest.raises(ValueError, match=r"^link: .*got no photon energy"):
        refractive_constants(scan_of())


def test_arguments_of_a_scan():
    with pytest.raises(ValueError, match=r"^phase_shift: expected attenuation beside it"):
        scan_of(phase_shift=[1.0, 2.0])
    for wrong in ([1.0], [1.0, np.nan]):
        with pytest.raises(ValueError, match=r"^phase_shift: expected"):
            scan_of(attenuation=[1.0, 2.0], phase_shift=wrong)
    with pytest.raises(ValueError, match=r"^phase_shift: expected none without fluorescence"):
        scan_of(fluorescence=None, element_names=None, phase_shift=[1.0])
    scan = scan_of(attenuation=[1.0, 2.0], phase_shift=[3.0, 4.0])
    assert scan.replace(title="x").phase_shift.tolist() == [3.0, 4.0]
    fewer = scan.replace(fluorescence=np.ones((1, 2)), element_names=["Fe"])
    assert fewer.phase_shift is None and fewer.given_attenuation is None
