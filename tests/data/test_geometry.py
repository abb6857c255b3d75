import pytest

from ptyxrf.driver.data.geometry import JOULES_PER_KEV, Geometry


def test_energies_in_kev():
    assert Geometry.from_keV(8.8, 2.0, 75e-6) == Geometry(8.8 * JOULES_PER_KEV, 2.0, 75e-6)
    with pytest.raises(ValueError, match=r"^energy_keV: expected a finite positive number"):
        Geometry.from_keV("8.8", 2.0, 75e-6)
    with pytest.raises(ValueError, match="energy: expected a finite positive number in SI units"):
        Geometry.from_keV(-1.0, 2.0, 75e-6)
