"""The recipes in packaging/ and CITATION.cff say what pyproject.toml says."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
#: Names in conda-forge that are not those in PyPI.
CONDA = {"isal": "python-isal", "matplotlib": "matplotlib-base"}


def read_recipe():
    text = (ROOT / "packaging" / "recipe.yaml").read_text()
    for name, value in yaml.safe_load(text)["context"].items():
        text = text.replace(f"${{{{ {name} }}}}", value)
    return yaml.safe_load(text)


def bounds(texts):
    """Name and version bounds of requirements of either kind."""
    pairs = (re.fullmatch(r"([\w.-]+) *(.*)", text).groups() for text in texts)
    return {name: set(version.split(",")) for name, version in pairs}


def of_project(texts):
    found = map(Requirement, texts)
    return {CONDA.get(one.name, one.name): {str(bound) for bound in one.specifier} for one in found}


def test_the_conda_recipe_has_the_requirements_of_the_project():
    recipe = read_recipe()
    assert recipe["package"] == {"name": PROJECT["name"], "version": PROJECT["version"]}
    run = bounds(recipe["requirements"]["run"])
    assert run.pop("python") == {PROJECT["requires-python"]}
    assert run == of_project(PROJECT["dependencies"])
    optional = (*EXTRAS["mpi"], *EXTRAS["tiff"], *EXTRAS["images"])
    assert bounds(recipe["requirements"]["run_constraints"]) == of_project(optional)
    scripts = [f"{name} = {target}" for name, target in PROJECT["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == scripts
    assert recipe["about"]["license"] == PROJECT["license"]


def sections_of(definition):
    """Lines of each section of an Apptainer definition, without comments; the header has no name."""
    name, found = "", {"": []}
    for line in definition.splitlines():
        if line.startswith("%"):
            name = line[1:].strip()
            assert name not in found
            found[name] = []
        elif line.strip() and not line.lstrip().startswith("#"):
            found[name].append(line.strip())
    return found


@pytest.fixture(scope="module")
def container():
    return sections_of((ROOT / "packaging" / "ptyxrf.def").read_text())


def test_the_container_has_all_folders_of_the_package(container):
    copied = dict(line.split() for line in container["files"])
    packages = re.findall(r"^ +ptyxrf(?:\.\w+)? = (\w+)", (ROOT / "setup.cfg").read_text(), re.MULTILINE)
    assert packages
    assert copied.keys() == {"pyproject.toml", "setup.cfg", "README.md", "LICENSE", *packages}
    for source, target in copied.items():
        assert target == ("/opt/ptyxrf/" if (ROOT / source).is_file() else f"/opt/ptyxrf/{source}")
    [extras] = re.findall(r"/opt/ptyxrf\[(.*?)\]", "\n".join(container["post"]))
    assert set(extras.split(",")) <= set(EXTRAS)


def test_the_sections_of_the_container_are_apptainers_and_shell(container):
    assert container.keys() == {"", "files", "post", "environment", "runscript", "test"}
    header = dict(line.split(": ", 1) for line in container[""])
    assert header.keys() == {"Bootstrap", "From"}
    [python] = re.findall(r"^python:([\d.]+)-slim", header["From"])
    assert python in SpecifierSet(PROJECT["requires-python"])
    for name in ("post", "environment", "runscript", "test"):
        script = "\n".join(container[name])
        checked = subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True)
        assert checked.returncode == 0, checked.stderr
    assert container["runscript"] == ['exec ptyxrf "$@"']


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
