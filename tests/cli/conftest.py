"""The command line in the test's own process, and a workspace for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ftft_core.workspace import Workspace
from tests.conftest import CommandLine
from tests.ui_workspace import make_workspace

Ask = CommandLine


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that no test changes: the suite toy, the reference map-run, erm and ftft with two seeds."""
    return make_workspace(tmp_path_factory.mktemp("cli"))


@pytest.fixture
def workspace(toy: Workspace, tmp_path: Path) -> Workspace:
    """A copy of it."""
    shutil.copytree(toy.folder, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def ask(bare: Ask, workspace: Workspace) -> Ask:
    """The same with --json, on the copied workspace."""
    return lambda *arguments: bare(*arguments, "--json", "--workspace", workspace.folder)
