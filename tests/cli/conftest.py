"""The command line in the test's own process, and a workspace for it."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ftft_core import cli as command_line
from ftft_core.workspace import Workspace
from tests.ui_workspace import make_workspace


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that no test changes: the suite toy, the reference map-run, erm and ftft with two seeds."""
    return make_workspace(tmp_path_factory.mktemp("cli"))


@pytest.fixture
def workspace(toy: Workspace, tmp_path: Path) -> Workspace:
    """A copy of it."""
    shutil.copytree(toy.folder, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


class Asked:
    """What a command gave."""

    def __init__(self, exit_code: int, stdout: str, stderr: str) -> None:
        self.exit_code, self.stdout, self.stderr = exit_code, stdout, stderr

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    def failed(self, exit_code: int = 2) -> str:
        """The error and its problems as one text; nothing else may stand in the answer."""
        assert self.exit_code == exit_code, self.stdout
        assert set(self.json) == {"error", "problems"}
        return " | ".join([self.json["error"], *self.json["problems"]])


Ask = Callable[..., Asked]


@pytest.fixture
def bare(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Ask]:
    """Run the command line in this process, with just these arguments."""
    monkeypatch.delenv("FTFT_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    def ask(*arguments: object) -> Asked:
        capsys.readouterr()
        exit_code = command_line.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Asked(exit_code, said.out, said.err)

    yield ask
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def ask(bare: Ask, workspace: Workspace) -> Ask:
    """The same with --json, on the copied workspace."""
    return lambda *arguments: bare(*arguments, "--json", "--workspace", workspace.folder)
