"""What the documentation says is true: its commands run, every command is named, every linked file is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from ftft_core.cli.app import _load_commands, cli
from ftft_core.config import METHODS, TrainingConfig
from ftft_core.experiments import Recipe, read_recipe
from ftft_core.experiments.recipe import ReferenceModel
from ftft_core.suites.spec import SuiteSpec, TestSourceSpec
from tests.conftest import ROOT, Answer, CommandLine

README = (ROOT / "README.md").read_text(encoding="utf-8")
BASH_BLOCKS = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "data/README.md", "recipes/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]


@pytest.mark.slow
def test_the_tour_of_the_readme_runs(bare: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines are plain commands, and run in this process, for which nothing has to be loaded again."""
    tour = next(block for block in BASH_BLOCKS if "ftft suite add" in block)
    commands = tour.replace("\\\n", " ").replace("/tmp/ftft-tour", str(tmp_path))
    monkeypatch.chdir(ROOT)
    said: list[Answer] = []
    for command, *words in filter(None, (shlex.split(line, comments=True) for line in commands.splitlines())):
        if command == "export":
            monkeypatch.setenv(*words[0].split("=", maxsplit=1))
        elif command != "source":  # The environment of the test stands in for the one that `make setup` made.
            assert command == "ftft", "what a shell does beside it is not tried here"
            said.append(bare(*words))
            assert said[-1].exit_code == 0, f"{words}: {said[-1].stdout}{said[-1].stderr}"
    stdout, stderr = ("".join(getattr(answer, name) for answer in said) for name in ("stdout", "stderr"))
    assert len(said) > 20
    assert "Out of distribution" in stdout
    assert "Rank correlation" in stdout
    # Its recipe finds the runs that were trained by hand.
    assert "4 runs, 3 of them finished already, 1 to do" in stderr
    assert (tmp_path / "dynamics" / "training_dynamics" / "dynamics_epoch_0.jsonl").exists()
    assert len((tmp_path / "third.jsonl").read_text(encoding="utf-8").splitlines()) == round(0.33 * 140)


def test_the_first_block_names_targets_that_the_makefile_has() -> None:
    targets = re.findall(r"^make (\S+)", BASH_BLOCKS[0], flags=re.MULTILINE)
    assert targets == ["run", "test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in (*targets, "test-all", "setup", "lint", "bench"):
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


def test_every_key_of_a_recipe_and_of_a_spec_is_documented() -> None:
    recipes = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
    for model in (Recipe, ReferenceModel, TrainingConfig):
        for name in model.model_fields:
            assert f"`{name}`" in recipes, name
    for name in METHODS:
        assert f"`{name}`" in recipes or name == "reference", name
    suites = (ROOT / "docs" / "suites.md").read_text(encoding="utf-8")
    for model in (SuiteSpec, TestSourceSpec):
        for name in model.model_fields:
            assert f"`{name}`" in suites, name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
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
