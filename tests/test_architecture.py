"""Rules for the source as a whole that import-linter (pyproject.toml) cannot check."""

import ast
import configparser
import graphlib
import re
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ("kernels", "parallel", "driver", "experiments", "src")

#: Most lines of a file, and of a function with its docstring.
LONGEST_FILE, LONGEST_FUNCTION = 400, 60


@cache
def sources(*folders):
    """Return (path relative to the root, syntax tree, lines) of each source file."""
    texts = {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
    }
    return [(name, ast.parse(text), len(text.splitlines())) for name, text in texts.items()]


def module_of(name):
    """Return the name under which a source file is installed."""
    parts = Path(name).with_suffix("").parts
    parts = parts[1:] if parts[0] == "src" else ("ptyxrf", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree):
    """Yield the modules, and names of modules, that a syntax tree imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_circle_of_files():
    """Imports inside functions count."""
    trees = {module_of(name): tree for name, tree, _ in sources(*PACKAGE)}
    graph = {module: trees.keys() & set(imports(tree)) - {module} for module, tree in trees.items()}
    assert sum(map(len, graph.values())) > 500
    graphlib.TopologicalSorter(graph).prepare()


def test_files_and_functions_are_short():
    long = set()
    for name, tree, lines in sources(*PACKAGE):
        long |= {name} if lines > LONGEST_FILE else set()
        long |= {
            f"{name}: {node.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.end_lineno - node.lineno >= LONGEST_FUNCTION
        }
    assert not long


def test_kernels_open_no_files():
    """But for the folder of the compiled ones, in which processes that compile side by side write in turn."""
    for name, tree, _ in sources("kernels"):
        found = {module.split(".")[0] for module in imports(tree)} & {"io", "os", "pathlib", "shutil"}
        assert found == ({"os"} if name.endswith("compiled.py") else set()), name
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert "open" not in used, name


def test_no_reduction_of_objects():
    """They hold the interpreter lock while they wait, so that the watchdog could send no heartbeat."""
    for name, tree, _ in sources("parallel", "driver", "experiments"):
        for node in ast.walk(tree):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Attribute) and called.attr in ("allreduce", "reduce", "scan", "exscan"):
                assert isinstance(called.value, ast.Name) and "comm" not in called.value.id, (
                    name,
                    node.lineno,
                )


def world_uses(tree):
    """Count the uses of COMM_WORLD in code; docstrings may speak of it."""
    return sum(
        (isinstance(node, ast.Attribute) and node.attr == "COMM_WORLD")
        or (isinstance(node, ast.ImportFrom) and any(alias.name == "COMM_WORLD" for alias in node.names))
        for node in ast.walk(tree)
    )


def test_the_world_communicator_is_taken_once():
    folders = (*PACKAGE, "benchmarks", "examples", "docs")
    uses = {name: world_uses(tree) for name, tree, _ in sources(*folders)}
    assert {name: count for name, count in uses.items() if count} == {"driver/job/world.py": 1}


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("from mpi4py import MPI\n'MPI.COMM_WORLD'\ncomm = MPI.COMM_WORLD", 1),
        ("from mpi4py.MPI import COMM_WORLD as w", 1),
        ("'''MPI.COMM_WORLD'''", 0),
    ],
)
def test_the_counter_of_worlds(source, count):
    assert world_uses(ast.parse(source)) == count


def test_no_folder_shadows_the_package():
    assert not (ROOT / "ptyxrf").exists()
    assert not (ROOT / "ptyxrf.py").exists()


def test_the_wheel_holds_every_file(tmp_path):
    """An editable installation would hide a package that setup.cfg does not list."""
    copy = tmp_path / "project"
    copy.mkdir()
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in PACKAGE:
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    words = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(copy)]
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    folders = dict(line.split(" = ") for line in settings["options"]["package_dir"].strip().splitlines())
    expected = {
        f"{package.replace('.', '/')}/{path.relative_to(ROOT / folder)}"
        for package, folder in folders.items()
        for path in (ROOT / folder).rglob("*.py*")
        if path.suffix in (".py", ".pyi")
    } | {"ptyxrf/py.typed"}
    assert packed == expected


def test_pages_name_files_that_exist():
    """Paths that the contributors' page answers with."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = set(
        re.findall(r"`((?:kernels|parallel|driver|experiments|tests|benchmarks)/[\w/.]+\.(?:py|sh))`", text)
    )
    assert len(paths) > 20
    assert not [path for path in paths if not (ROOT / path).exists()]
