import numpy as np
import pytest

from ptyxrf.driver.data.checks import integer, integer_pair, one_of, per_item, positive
from ptyxrf.driver.data.scan import Scan


def test_accepted_values_become_plain_ones():
    assert (positive("x", np.float32(2)), type(positive("x", 3))) == (2.0, float)
    assert (integer("k", np.int64(4), 4), type(integer("k", np.int64(4), 0))) == (4, int)
    assert integer_pair("shape", np.array([2, 3]), 1) == (2, 3)
    assert one_of("path", "snake", ("raster", "snake")) == "snake"
    np.testing.assert_array_equal(per_item("scale", 0, 3, "element", zero=True), np.zeros(3))


@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf, True, "1", None, 10**400, 1j])
def test_positive_refuses(value):
    with pytest.raises(ValueError, match=r"^x: expected a finite positive number in SI units, got "):
        positive("x", value, "in SI units")
    with pytest.raises(ValueError, match=r"^x: expected a finite positive number, got "):
        positive("x", value)


@pytest.mark.parametrize("value", [1, 2.0, True, "2", None])
def test_integer_refuses(value):
    with pytest.raises(ValueError, match=r"^k: expected an integer of at least 2, got "):
        integer("k", value, 2)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((1, 2, 3), r"two integers \(rows, columns\)"),
        (5, r"two integers \(rows, columns\)"),
        ((0, 4), "an integer of at least 1, got 0"),
        ((4, 4.0), "an integer of at least 1, got 4.0"),
    ],
)
def test_integer_pair_refuses(value, message):
    with pytest.raises(ValueError, match=f"^shape: expected {message}"):
        integer_pair("shape", value, 1)


def test_one_of_lists_the_words():
    with pytest.raises(ValueError, match=r"^path: expected one of raster, snake, got 'zigzag'$"):
        one_of("path", "zigzag", ("raster", "snake"))


def test_per_item_names_the_item():
    with pytest.raises(ValueError, match=r"^scale: expected finite positive numbers, got 0\.0 for element 1"):
        per_item("scale", [1, 0, 2], 3, "element")
    with pytest.raises(ValueError, match=r"^scale: expected a number or 3 of them \(one per element\)"):
        per_item("scale", [1, 2], 3, "element")


@pytest.mark.parametrize(
    ("background", "message"),
    [
        (-1.0, r"expected finite non-negative counts, got -1.0 at pixel \(0, 0\)"),
        (np.inf, "expected finite non-negative counts, got inf"),
        (np.full((4, 4), np.nan), "expected finite non-negative counts, got nan"),
        (np.zeros((3, 4)), r"expected a number or shape \(4, 4\) as the patterns have, got shape \(3, 4\)"),
        ("dark", "expected real numbers"),
    ],
)
def test_backgrounds_of_patterns_that_are_refused(background, message):
    with pytest.raises(ValueError, match=f"pattern_background: {message}"):
        Scan(np.ones((2, 4, 4)), np.zeros((2, 2)), np.ones((4, 4)), pattern_background=background)


def test_exposures_of_the_two_detectors():
    """That of the fluorescence follows that of the patterns unless it is given."""
    data = np.ones((2, 4, 4)), np.zeros((2, 2)), np.ones((4, 4))
    scan = Scan(*data, exposure=[1.0, 2.0], pattern_background=3)
    assert scan.pattern_background.tolist() == [[3.0] * 4] * 4
    assert scan.fluorescence_exposure.tolist() == [1.0, 2.0]
    assert scan.replace(exposure=[2.0, 1.0]).fluorescence_exposure.tolist() == [2.0, 1.0]
    both = scan.replace(fluorescence_exposure=[3.0, 1.0]).replace(exposure=[2.0, 1.0])
    assert both.fluorescence_exposure.tolist() == [3.0, 1.0]
    with pytest.raises(ValueError, match="fluorescence_exposure: expected finite positive numbers, got 0"):
        scan.replace(fluorescence_exposure=0.0)
