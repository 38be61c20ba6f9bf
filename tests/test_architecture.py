"""The order of the rooms: imports point up one list, and heavy libraries stay where they belong."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import ftft_core
from tests.conftest import LONGEST, ROOT

ROOMS = (
    *("errors", "methods", "config", "dynamics", "cartography", "selection", "profile", "metrics", "comparison"),
    *("suites", "run_folder", "modeling", "evaluation", "objectives", "cost", "training"),
    *("planning", "store", "jobs", "neighbours"),
    *("workspace", "experiments", "interchange", "figures", "cli", "ui"),
)
TRAINING_SIDE = {"modeling", "evaluation", "objectives", "cost", "training"}
HOMES = {
    "torch": TRAINING_SIDE,
    "accelerate": TRAINING_SIDE,
    "safetensors": TRAINING_SIDE,
    "transformers": TRAINING_SIDE | {"suites"},
    "duckdb": {"store"},
    "streamlit": {"ui", "app", "pages"},
}
LONGEST_MODULE = 400


def modules() -> Iterator[tuple[str, Path]]:
    """Room and path of every module; the app and its pages are rooms below all others."""
    for path in sorted((ROOT / "ftft_core").rglob("*.py")):
        yield path.relative_to(ROOT / "ftft_core").parts[0].removesuffix(".py"), path
    yield "app", ROOT / "app.py"
    yield from (("pages", path) for path in sorted((ROOT / "pages").glob("*.py")))


@cache
def imports(path: Path, *, also_for_types: bool) -> list[tuple[str, int]]:
    """Absolute names that a module imports, wherever in it, and their lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    nodes = list(ast.walk(tree))
    for_types = {
        inner
        for node in nodes
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = []
    for node in nodes:
        if node in for_types and not also_for_types:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide which room is meant"
            assert node.module is not None
            found += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
    return found


def test_every_room_is_on_the_list() -> None:
    rooms = {room for room, _ in modules()} - {"__init__", "__main__", "app", "pages"}
    assert rooms == set(ROOMS)


def test_imports_point_up_the_list() -> None:
    wrong = []
    for room, path in modules():
        if room not in ROOMS:
            continue
        for name, line in imports(path, also_for_types=True):
            package, _, rest = name.partition(".")
            target = rest.split(".")[0]
            if package == "ftft_core" and ROOMS.index(room) < ROOMS.index(target):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {room} imports {target}, which is below it")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_imported_only_at_home(library: str) -> None:
    strays = [
        f"{path.relative_to(ROOT)}:{line}"
        for room, path in modules()
        if room not in HOMES[library]
        for name, line in imports(path, also_for_types=False)
        if name.split(".")[0] == library
    ]
    assert not strays, f"{library} is imported outside of {sorted(HOMES[library])}: {strays}"


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for _, path in modules()}
    assert {path: length for path, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(path) for _, path in modules() if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert silent == []


HEAVY = ("torch", "transformers", "datasets", "accelerate", "sklearn", "faiss", "cleanlab", "scipy.stats")
"""What would make every command start late."""


@pytest.fixture(scope="module")
def heavy_after_import() -> dict[str, list[str]]:
    """The heavy libraries that a fresh interpreter has after importing each of these, one after the other."""
    names = ["ftft_core", "ftft_core.workspace", "ftft_core.cli", "ftft_core.ui", "API"]
    code = f"""
import importlib, json, sys
found = {{}}
for name in {names}:
    if name == "API":
        import ftft_core
        for each in ftft_core.__all__:
            getattr(ftft_core, each)
    else:
        importlib.import_module(name)
    if name == "ftft_core.cli":
        sys.modules["ftft_core.cli.app"]._load_commands()
    found[name] = [each for each in {HEAVY} if each in sys.modules]
print(json.dumps(found))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("name", ["ftft_core", "ftft_core.workspace", "ftft_core.cli", "ftft_core.ui", "API"])
def test_importing_brings_nothing_heavy(heavy_after_import: dict[str, list[str]], name: str) -> None:
    assert heavy_after_import[name] == []


def test_the_api_is_importable_from_the_package() -> None:
    promised = {
        *("Workspace", "Suite", "TrainingDynamics", "compute_data_map", "select", "DynamicsRecorder"),
        "DynamicsCallback",
    }
    assert set(ftft_core.__all__) == promised
    assert promised <= set(dir(ftft_core))
    for name in promised:
        assert getattr(ftft_core, name).__name__ == name


def test_the_package_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="module 'ftft_core' has no attribute 'Runs'"):
        _ = ftft_core.Runs


def test_the_test_files_that_are_begun_first_are_there() -> None:
    assert [name for name in LONGEST if not (ROOT / "tests" / name).exists()] == []
