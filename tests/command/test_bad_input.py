"""Bad arguments: one ValueError that names the argument, what was expected and what came."""

import numpy as np
import pytest

import ptyxrf

M, N = 16, 16


def scan(**changes):
    return ptyxrf.simulate("cells", **({"m": M, "per_side": 4, "elements": 2, "sampling": "scan"} | changes))


def arguments(**changes):
    example = scan()
    given = {
        "patterns": np.array(example.patterns),
        "positions": example.positions,
        "probe": example.probe,
        "fluorescence": example.fluorescence,
        "shape": example.shape,
    }
    return given | changes


def with_value(array, value):
    array = np.array(array)
    array[3, 2, 1] = value
    return array


BAD = {
    "patterns": [
        lambda a: with_value(a["patterns"], np.nan),
        lambda a: with_value(a["patterns"], np.inf),
        lambda a: with_value(a["patterns"], -1),
        lambda a: a["patterns"][:, :, :-1],
        lambda a: a["patterns"] + 0j,
        lambda a: a["patterns"].astype(object),
        lambda a: a["patterns"][0],
        lambda a: a["patterns"][:0],
        lambda a: [[1, 2], [3]],
    ],
    "positions": [
        lambda a: a["positions"][:-1],
        lambda a: a["positions"] - 1,
        lambda a: a["positions"] + 1,
        lambda a: a["positions"] * np.nan,
        lambda a: a["positions"] + 0j,
        lambda a: a["positions"].astype(str),
        lambda a: None,
    ],
    "probe": [
        lambda a: a["probe"][:, :-1],
        lambda a: a["probe"] * 0,
        lambda a: a["probe"] * np.nan,
        lambda a: np.zeros((0, M, M)),
        lambda a: a["probe"].astype(str),
    ],
    "mask": [
        lambda a: np.zeros((M, M), bool),
        lambda a: np.ones((M, M + 1), bool),
        lambda a: np.full((M, M), 0.5),
        lambda a: np.ones((N - 1, M, M), bool),
    ],
    "fluorescence": [
        lambda a: a["fluorescence"][:, :-1],
        lambda a: a["fluorescence"][0],
        lambda a: a["fluorescence"][:0],
        lambda a: a["fluorescence"] + 0j,
        lambda a: np.where(np.arange(N) == 3, np.inf, a["fluorescence"]),
    ],
    "attenuation": [lambda a: [1.0], lambda a: [1.0, np.nan], lambda a: [1.0, np.inf], lambda a: ["a", "b"]],
    "element_names": [lambda a: ["Fe"], lambda a: ["Fe", 2], lambda a: ["Fe", "Fe"]],
    "exposure": [lambda a: np.zeros(N), lambda a: np.ones(N - 1), lambda a: -1.0],
    "sensitivity": [lambda a: 0.0, lambda a: [1.0, 2.0, 3.0], lambda a: np.nan],
    "background": [lambda a: -1.0, lambda a: [np.inf, 0.0]],
    "count_scale": [lambda a: -1.0, lambda a: np.ones(3)],
    "shape": [lambda a: (10, 10), lambda a: 5, lambda a: (40.5, 40), lambda a: (0, 40)],
    "blur": [lambda a: "smear"],
    "truth": [lambda a: "x", lambda a: {"objekt": 1}, lambda a: {"object": np.zeros((2, 2))}],
}


@pytest.mark.parametrize(("name", "which"), [(name, i) for name, bad in BAD.items() for i in range(len(bad))])
def test_scan(name, which):
    given = arguments()
    with pytest.raises(ValueError, match=f"^({name}|positions)"):
        ptyxrf.Scan(**(given | {name: BAD[name][which](given)}))


def test_the_example_itself_is_good():
    assert ptyxrf.Scan(**arguments()).N == N


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("method", "both"),
        ("alpha", -1.0),
        ("alpha", np.nan),
        ("alpha", [1.0, -1.0]),
        ("alpha", [1.0, 1.0, 1.0]),
        ("alpha", "best"),
        ("alpha_scale", -1.0),
        ("alpha_scale", np.inf),
        ("curvature", "half"),
        ("curvature", ""),
        ("precision", "quad"),
        ("solver", "default"),
        ("memory", "none"),
        ("link", "cubic"),
        ("link", 1),
        ("free", "all"),
        ("matrix", (1.0, 2.0, 3.0)),
        ("link_offset", np.nan),
        ("max_iterations", -1),
        ("max_iterations", 2.5),
        ("max_iterations", np.inf),
        ("max_sweeps", -1),
        ("max_seconds", np.nan),
        ("inner_limit", 0),
        ("refine_probe", -1),
        ("refine_probe", "yes"),
        ("nonnegative", "no"),
        ("rescale_probe", "no"),
        ("preconditioner", "no"),
        ("noise_stop", 1),
        ("callback", 3),
        ("start", 3),
        ("start", {"realpart": 1}),
        ("start", {"probe": np.zeros((1, 2, 2))}),
        ("start", {"probe": np.full((1, M, M), np.nan)}),
        ("real_part", {"real_part": np.zeros((2, 2))}),
        ("real_part", {"real_part": 1j}),
        ("real_part", {"real_part": "a"}),
        ("real_part", {"real_part": 1e300}),
        ("elements", {"elements": np.nan}),
    ],
)
def test_reconstruct(name, value):
    with pytest.raises(ValueError, match=f"^{name}"):
        ptyxrf.reconstruct(scan(), **{"start" if isinstance(value, dict) else name: value})


@pytest.mark.parametrize("nothing", [None, "scan.h5"])
def test_no_scan(nothing):
    with pytest.raises(ValueError, match=r"^scan: expected a Scan"):
        ptyxrf.reconstruct(nothing)
    with pytest.raises(ValueError, match=r"^scan: expected a Scan"):
        ptyxrf.Objective(nothing)


@pytest.mark.parametrize("method", ["joint", "fluorescence"])
def test_missing_fluorescence(method):
    with pytest.raises(ValueError, match=r"^method"):
        ptyxrf.reconstruct(scan(sampling=None), method)


@pytest.mark.parametrize("start", [{"real_part": "a"}, {"real_part": np.zeros((2, 2))}, {"probe": "a"}])
def test_a_start_is_checked_where_it_is_no_unknown_too(start):
    name = next(iter(start)) if "probe" not in start else "start"
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        ptyxrf.reconstruct(scan(), "fluorescence", start=start)


def test_a_start_that_is_not_finite():
    spoilt = scan()
    spoilt.patterns[0, 0, 0] = 1e300  # too large for single precision
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"^scan: .*finite"):
        ptyxrf.reconstruct(spoilt, "ptychography")


def test_a_lazy_pattern_is_named_with_its_file(tmp_path):
    path = tmp_path / "scan.h5"
    example = scan()
    example.patterns[5, 2, 1] = np.nan
    ptyxrf.write_scan(path, example)
    with pytest.raises(
        ValueError, match=r"scan\.h5: /entry_1/\S+: patterns: .* nan in pattern 5 at pixel \(2, 1\)"
    ):
        ptyxrf.reconstruct(ptyxrf.read_scan(path))


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_the_unit_of_the_patterns_does_not_matter(factor):
    example = scan(sampling=None, noise=0.0)
    other = example.replace(patterns=example.patterns * factor, probe=example.probe * np.sqrt(factor))
    one = ptyxrf.reconstruct(example, "ptychography", max_iterations=5)
    two = ptyxrf.reconstruct(other, "ptychography", max_iterations=5)
    np.testing.assert_allclose(two.loss / factor, one.loss, rtol=2e-2)


def test_positions_of_a_file_that_are_all_dark():
    """A position without a single good pixel, and patterns without a count, are no reason to fail."""
    example = scan(noise=0.0)
    mask = np.ones((N, M, M), bool)
    mask[3] = False
    patterns = np.array(example.patterns)
    patterns[7] = 0
    result = ptyxrf.reconstruct(example.replace(patterns=patterns, mask=mask), max_iterations=3)
    assert np.isfinite(result.object).all()
    assert np.isfinite(result.elements).all()
