import numpy as np
import pytest

from ptyxrf.driver.data.checks import integer, integer_pair, one_of, per_item, positive


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
