"""Bounds on the versions of libraries, and the versions with which the tests have passed."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
NEEDED = [Requirement(text) for text in (*PROJECT["dependencies"], *EXTRAS["mpich"], *EXTRAS["test"])]


def passed():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


@pytest.mark.parametrize("requirement", NEEDED, ids=str)
def test_versions_that_passed_are_allowed(requirement):
    version = passed()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version)


@pytest.mark.parametrize("requirement", NEEDED, ids=str)
def test_each_library_has_a_lowest_version(requirement):
    """Which tests/lowest_versions.sh installs."""
    assert [one.operator for one in requirement.specifier].count(">=") == 1


def test_libraries_whose_internals_are_used_have_an_upper_bound():
    bounded = {one.name for one in NEEDED if any(bound.operator == "<" for bound in one.specifier)}
    assert bounded == {"numba", "llvmlite"}
