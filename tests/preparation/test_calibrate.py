import tomllib

import h5py
import numpy as np
import pytest

import ptyxrf
from ptyxrf.driver.command.main import main
from ptyxrf.driver.data.fluorescence_yields import line_strength
from ptyxrf.driver.data.geometry import JOULES_PER_KEV
from ptyxrf.driver.files.calibration_file import calibration_of, read_calibration

FOIL = {"elements": ("Fe", "Cu"), "densities": (0.5, 0.2), "photons": 1e6}


def test_numbers(tmp_path):
    found = ptyxrf.calibrate(tmp_path / "c.toml", **FOIL, counts=(5100.0, 1020.0), background=(100.0, 20.0),
                             points=100, density_error=0.03, photons_error=0.04)  # fmt: skip
    assert found["Fe"][0] == pytest.approx(0.01) and found["Cu"][0] == pytest.approx(0.005)
    relative = np.sqrt((np.sqrt(51.0) / 5000) ** 2 + 0.05**2)
    assert found["Fe"][1] == pytest.approx(0.01 * relative)
    with open(tmp_path / "c.toml", "rb") as file:
        tables = tomllib.load(file)
    assert tables["sensitivity"] == pytest.approx({"Fe": 0.01, "Cu": 0.005})
    assert tables["error"]["Fe"] == pytest.approx(found["Fe"][1])


def test_errors_are_those_of_repeated_foils(tmp_path):
    rng = np.random.default_rng(0)
    found = [
        ptyxrf.calibrate(tmp_path / "c.toml", **FOIL, counts=rng.poisson((400, 90)) * 1.0) for _ in range(300)
    ]
    for element in ("Fe", "Cu"):
        values, errors = np.array([one[element] for one in found]).T
        assert values.std() == pytest.approx(errors.mean(), rel=0.15)


def test_maps_of_a_foil(tmp_path):
    counts = (
        np.random.default_rng(0).poisson(np.array([5000, 1000])[:, None, None], (2, 20, 20)).astype(float)
    )
    with h5py.File(tmp_path / "foil.h5", "w") as file:
        file["MAPS/XRF_fits"] = counts
        file["MAPS/channel_names"] = np.array([b"Fe", b"Cu"])
        file["MAPS/channel_units"] = np.array([[b"counts"] * 2] * 3)
        file["MAPS/x_axis"] = file["MAPS/y_axis"] = np.arange(20.0)
    out = tmp_path / "c.toml"
    words = [
        "calibrate",
        out,
        tmp_path / "foil.h5",
        "--elements",
        "Cu,Fe",
        "--densities",
        "0.2,0.5",
        "--photons",
        "1e6",
    ]
    assert main([str(word) for word in words]) == 0
    known = read_calibration(out)
    assert known["Fe"] == pytest.approx(counts[0].mean() / 5e5) and known["Cu"] == pytest.approx(
        counts[1].mean() / 2e5
    )


def test_line_strength_of_known_elements():
    """Iron's K shell at 10 keV: photo cross section 169.4 cm^2/g, jump ratio 7.893, yield 0.351."""
    energy = 10 * JOULES_PER_KEV
    expected = 169.40444178949826 * (1 - 1 / 7.893) * 0.350985
    assert line_strength("Fe", energy) == line_strength("Fe_K", energy) == pytest.approx(expected, rel=1e-6)
    assert line_strength("Fe_L", energy) < 0.01 * expected
    assert 0 < line_strength("Au", 13 * JOULES_PER_KEV) == line_strength("Au_L", 13 * JOULES_PER_KEV)


def test_carried_to_another_element(tmp_path):
    strengths = {name: line_strength(name, 10 * JOULES_PER_KEV) for name in ("Fe", "Cu", "Zn")}
    counts = tuple(1e6 * 1e-5 * strengths[e] * d for e, d in zip(("Fe", "Cu"), (0.5, 0.2), strict=True))
    found = ptyxrf.calibrate(tmp_path / "c.toml", **FOIL, counts=counts, carry=("Zn",), energy="10 keV")
    assert found["Zn"][0] == pytest.approx(1e-5 * strengths["Zn"])
    assert found["Zn"][1] > 0


def test_prepare_and_reconstruct_take_the_file(tmp_path):
    ptyxrf.calibrate(tmp_path / "c.toml", **FOIL, counts=(5000.0, 1000.0))
    known = calibration_of(str(tmp_path / "c.toml"), ["Cu", "Fe"])
    assert known["sensitivity"] == pytest.approx([0.005, 0.01])
    errors = read_calibration(tmp_path / "c.toml", "error")
    assert known["sensitivity_error"] == [errors["Cu"], errors["Fe"]]
    assert calibration_of((1.0, 2.0), ["Cu", "Fe"]) == {"sensitivity": [1.0, 2.0], "sensitivity_error": None}
    with pytest.raises(ValueError, match="sensitivity: expected 'Zn'"):
        calibration_of(str(tmp_path / "c.toml"), ["Zn"])
    (tmp_path / "plain.toml").write_text("[sensitivity]\nFe = 0.5\n")
    assert calibration_of(str(tmp_path / "plain.toml"), ["Fe"])["sensitivity_error"] is None
    scan = ptyxrf.simulate(n=40, m=16, per_side=5, elements=2).replace(element_names=["Cu", "Fe"])
    ptyxrf.write_scan(tmp_path / "s.h5", scan)
    words = [
        "reconstruct",
        tmp_path / "s.h5",
        "--sensitivity",
        tmp_path / "c.toml",
        "--max-sweeps",
        "2",
        "--quiet",
    ]
    assert main([str(word) for word in words]) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"photons": None}, "photons"),
        ({"counts": None}, "counts"),
        ({"counts": (1.0,)}, "counts"),
        ({"background": (6000.0, 0.0)}, "background"),
        ({"carry": ("Zn",)}, "energy"),
        ({"carry": ("Zz",), "energy": "10 keV"}, "elements"),
        ({"carry": ("Zr_K",), "energy": "10 keV"}, "elements"),
    ],
)
def test_errors_name_the_setting(tmp_path, settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        ptyxrf.calibrate(tmp_path / "c.toml", **FOIL | {"counts": (5000.0, 1000.0)} | settings)
    assert not (tmp_path / "c.toml").exists()


def test_damaged_calibrations(tmp_path):
    path = tmp_path / "c.toml"
    for text in ("nonsense", "[other]\n", "[sensitivity]\nFe = -1\n", "sensitivity = 3\n"):
        path.write_text(text)
        with pytest.raises(ptyxrf.DamagedFile, match="expected a calibration"):
            read_calibration(path)
