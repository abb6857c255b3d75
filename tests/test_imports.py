"""The layers hold: who imports whom, read from the source and not from what happens to be loaded."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("kernels", "parallel", "driver", "experiments", "src", "benchmarks", "examples", "docs")
ALLOWED = {
    "kernels": {"kernels"},
    "parallel": {"kernels", "parallel"},
    "driver": {"kernels", "parallel", "driver", "experiments"},
}


def sources(*folders):
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def layers_imported(source):
    """Yield (line, layer) of each import of the package; the layer is '' for the package itself."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            whole = node.module == "ptyxrf"
            names = [f"ptyxrf.{alias.name}" if whole else str(node.module) for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "ptyxrf":
                yield node.lineno, parts[1] if len(parts) > 1 else ""


def world_uses(source):
    """Count the uses of COMM_WORLD in code; docstrings may speak of it."""
    return sum(
        (isinstance(node, ast.Attribute) and node.attr == "COMM_WORLD")
        or (isinstance(node, ast.ImportFrom) and any(alias.name == "COMM_WORLD" for alias in node.names))
        for node in ast.walk(ast.parse(source))
    )


@pytest.mark.parametrize("layer", ALLOWED)
def test_direction_of_imports(layer):
    paths = sources(layer)
    assert paths
    for path in paths:
        for line, imported in layers_imported(path.read_text(encoding="utf-8")):
            # names of the public face (`from ptyxrf import __version__`) are for the driver only
            allowed = imported in ALLOWED[layer] or (layer == "driver" and not (ROOT / imported).is_dir())
            assert allowed, f"{path.relative_to(ROOT)}:{line} imports ptyxrf.{imported}"


@pytest.mark.parametrize("layer", ["kernels"])
def test_kernels_know_no_mpi_and_no_files(layer):
    for path in sources(layer):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"mpi4py", "h5py"}, path


def test_no_reduction_of_objects():
    """They keep the interpreter to themselves while they wait, and the watchdog would fall silent."""
    for path in sources("parallel", "driver", "experiments"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Attribute) and called.attr in ("allreduce", "reduce", "scan", "exscan"):
                assert isinstance(called.value, ast.Name) and "comm" not in called.value.id, (
                    path,
                    node.lineno,
                )


def test_the_world_appears_once():
    uses = {path: world_uses(path.read_text(encoding="utf-8")) for path in sources(*FOLDERS)}
    assert sum(uses.values()) <= 1, [str(path) for path, count in uses.items() if count]


def test_no_folder_shadows_the_package():
    assert not (ROOT / "ptyxrf").exists()
    assert not (ROOT / "ptyxrf.py").exists()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import ptyxrf.driver.data.scan", ["driver"]),
        ("import numpy, ptyxrf.parallel as p", ["parallel"]),
        ("from ptyxrf.driver.data.scan import Scan", ["driver"]),
        ("from ptyxrf import driver, kernels", ["driver", "kernels"]),
        ("def f():\n    import ptyxrf", [""]),
        ("import ptyxrfoid.driver\nfrom os import path", []),
    ],
)
def test_the_reader_of_imports(source, expected):
    assert [layer for _, layer in layers_imported(source)] == expected


def test_the_reader_of_worlds():
    assert world_uses("from mpi4py import MPI\n'MPI.COMM_WORLD'\ncomm = MPI.COMM_WORLD") == 1
    assert world_uses("from mpi4py.MPI import COMM_WORLD as w") == 1
    assert world_uses("'''MPI.COMM_WORLD'''") == 0
