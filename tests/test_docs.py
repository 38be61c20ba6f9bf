"""What the documentation says is true: its commands run, every command is named, every linked file is there."""

from __future__ import annotations

import io
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from ftft_core.cli.app import _load_commands, cli
from ftft_core.experiments import read_recipe
from tests.conftest import ROOT, Answer, CommandLine

README = (ROOT / "README.md").read_text(encoding="utf-8")
BASH_BLOCKS = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
DOCUMENTS = [ROOT / "README.md", ROOT / "data" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

FTFT = """\
ftft() {{
    local status
    printf '%s\\0' "$#" "$FTFT_WORKSPACE" "$@" >&{}
    read -r status <&{}
    return "$status"
}}
"""
"""What `ftft` is to the shell of the tour: it writes its words into one pipe and reads its exit status from another."""


def test_the_tour_of_the_readme_runs(bare: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell runs it as it stands; its commands are run by this process, for which nothing has to be loaded again."""
    tour = next(block for block in BASH_BLOCKS if "ftft suite add" in block)
    # The environment of the test stands in for the one that `make setup` made.
    commands = tour.replace("source .venv/bin/activate\n", "").replace("/tmp/ftft-tour", str(tmp_path))
    assert "/tmp/ftft-tour" not in commands
    monkeypatch.chdir(ROOT)
    said: list[Answer] = []
    (asked, asks), (is_told, tells) = os.pipe(), os.pipe()
    script = FTFT.format(asks, is_told) + commands
    with subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        pass_fds=(asks, is_told),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as shell:
        os.close(asks)
        os.close(is_told)
        with open(asked, "rb", buffering=0) as asking, open(tells, "wb", buffering=0) as telling:
            words = words_of(asking)
            for count in words:
                monkeypatch.setenv("FTFT_WORKSPACE", next(words))
                said.append(bare(*(next(words) for _ in range(int(count)))))
                telling.write(f"{said[-1].exit_code}\n".encode())
        complained, _ = shell.communicate(timeout=60)
    stdout, stderr = ("".join(getattr(answer, name) for answer in said) for name in ("stdout", "stderr"))
    assert (shell.returncode, complained) == (0, ""), stdout + stderr
    assert len(said) == len(re.findall(r"^ftft ", commands, flags=re.MULTILINE)) > 20
    assert "Out of distribution" in stdout
    assert "Rank correlation" in stdout
    # Its recipe finds the runs that were trained by hand.
    assert "4 runs, 3 of them finished already, 1 to do" in stderr
    assert (tmp_path / "dynamics" / "training_dynamics" / "dynamics_epoch_0.jsonl").exists()
    assert len((tmp_path / "third.jsonl").read_text(encoding="utf-8").splitlines()) == round(0.33 * 140)


def words_of(pipe: io.RawIOBase) -> Iterator[str]:
    """Give the words that are written into a pipe, each ended by a zero, as they come."""
    word = b""
    while byte := pipe.read(1):
        if byte == b"\0":
            yield word.decode()
            word = b""
        else:
            word += byte


def test_the_first_block_names_targets_that_the_makefile_has() -> None:
    targets = re.findall(r"^make (\S+)", BASH_BLOCKS[0], flags=re.MULTILINE)
    assert targets == ["run", "test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in (*targets, "setup", "lint", "bench"):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def _commands(group: click.Group, prefix: str = "ftft") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        found[f"{prefix} {name}"] = command
        if isinstance(command, click.Group):
            found |= _commands(command, f"{prefix} {name}")
    return found


def test_every_command_and_option_has_help_and_every_command_stands_in_the_readme() -> None:
    _load_commands()
    for path, command in _commands(cli).items():
        assert command.help, path
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{path} {parameter.name}"
    for name in cli.commands:
        assert f"ftft {name}" in README, name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    missing = [link for link in links if not (document.parent / link).exists()]
    assert missing == []


def test_the_file_tree_of_the_readme_is_the_tree() -> None:
    tree = README.split("## Where things are")[1].split("```")[1]
    named = {line.split()[0].rstrip("/") for line in tree.splitlines() if line.startswith("  ")}
    rooms = {path.name for path in (ROOT / "ftft_core").iterdir() if not path.name.startswith((".", "_"))}
    assert rooms - named == {"py.typed"}
    assert named - rooms == set()


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_recipes_are_valid(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.suite == yaml.safe_load(path.read_text(encoding="utf-8"))["suite"]
