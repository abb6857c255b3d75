"""Texts of users and files are one line of what shows."""

import numpy as np
import pytest

import ptyxrf
from ptyxrf.driver.data.text import LONGEST, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Fe", "Fe"),
        (" Fe \n Cu ", "Fe Cu"),
        ("Fe\0Cu", "Fe Cu"),
        ("\x1b]0;owned\x07\x1b[2Jx", "]0;owned [2Jx"),
        ("caf\udce9", "caf"),
        ("a\u202eb\u200bc", "a b c"),
        ("µm Å é 中", "µm Å é 中"),
        ("x" * 1000, "x" * (LONGEST - 1) + "…"),
    ],
)
def test_plain(text, shown):
    assert plain(text) == shown


def scan():
    return ptyxrf.simulate(n=48, m=16, per_side=5, elements=2, sampling="scan")


def test_texts_of_a_scan():
    changed = scan().replace(title="a\nb\x1b[31m", units="counts\x07", element_names=["Fe\0", " Cu\t"])
    assert (changed.title, changed.units) == ("a b [31m", "counts")
    assert changed.element_names == ["Fe", "Cu"]


@pytest.mark.parametrize("names", [["Fe", "Fe\0"], ["", "Cu"], ["\x1b", "Cu"]])
def test_names_that_do_not_differ_in_what_shows(names):
    with pytest.raises(ValueError, match="element_names: expected a different name"):
        scan().replace(element_names=names)


@pytest.mark.parametrize("name", ["positions", "corners", "fractions", "probe", "exposure", "attenuation"])
def test_arrays_on_which_others_depend_cannot_be_changed(name):
    with pytest.raises(ValueError, match="read-only"):
        getattr(scan(), name)[...] = 0


def test_the_array_of_the_caller_stays_writable():
    first = scan()
    positions = np.array(first.positions)
    changed = first.replace(positions=positions)
    positions[0] = 3.0
    assert np.array_equal(changed.positions, first.positions)
