"""The command line: options, help, wrong usage, suites and runs."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ftft_core.cli.app import cli as root_command
from ftft_core.cli.runs import _run_values
from ftft_core.config import RunConfig
from ftft_core.workspace import Workspace
from tests.cli.conftest import Ask
from tests.conftest import CommandLine

# -- options and help --------------------------------------------------------------------------------------------------


def commands(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            yield from commands(command, (*path, name))


def all_commands() -> list[tuple[str, ...]]:
    sys.modules["ftft_core.cli.app"]._load_commands()
    return sorted(commands(root_command))


def test_the_promised_commands_are_there() -> None:
    promised = (
        *("demo", "serve", "suite add", "suite list", "suite show", "suite remove", "train", "runs list", "runs show"),
        *("runs cancel", "runs resume", "runs remove", "map", "select", "subset list", "subset show", "subset combine"),
        *("subset export", "subset remove", "experiment", "compare", "transfer", "import", "export", "doctor"),
    )
    assert {tuple(each.split()) for each in promised} <= set(all_commands())


@pytest.mark.parametrize("path", all_commands(), ids=" ".join)
def test_every_command_has_help(bare: Ask, path: tuple[str, ...]) -> None:
    answer = bare(*path, "--help")
    assert answer.exit_code == 0
    assert answer.stdout.startswith(" ".join(["Usage: ftft", *path]))
    assert "--workspace" in answer.stdout
    assert "--json" in answer.stdout
    command: click.Command = root_command
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    for parameter in command.params:
        assert not isinstance(parameter, click.Option) or parameter.help, parameter.name


def test_options_of_every_command_stand_before_or_after_it(bare: Ask, workspace: Workspace) -> None:
    folder = workspace.folder
    for arguments in (
        ("--workspace", folder, "--json", "suite", "list"),
        ("suite", "--workspace", folder, "--json", "list"),
        ("suite", "list", "--workspace", folder, "--json"),
    ):
        assert [row["suite"] for row in bare(*arguments).json] == ["toy"]


def test_the_option_outranks_the_variable_wherever_it_stands(
    bare: Ask, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FTFT_WORKSPACE", str(tmp_path / "other"))
    assert bare("suite", "list", "--json").json == []
    assert len(bare("--workspace", workspace.folder, "suite", "list", "--json").json) == 1
    assert len(bare("suite", "list", "--json", "--workspace", workspace.folder).json) == 1


def test_a_new_workspace_is_empty_and_made_where_it_is_said(bare: Ask, tmp_path: Path) -> None:
    for arguments in (("suite", "list"), ("runs", "list"), ("subset", "list")):
        assert bare(*arguments, "--json").json == []
        assert "There is no" in bare(*arguments).stdout
    assert (tmp_path / "workspace" / "ftft.duckdb").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("runs", "list", "--colour"), "No such option"),
        (("fly",), "No such command 'fly'"),
        (("runs",), "Missing command"),
        (("map",), "Missing argument 'RUN'"),
        (("select", "map-run", "--strategy"), "requires an argument"),
    ],
)
def test_wrong_usage_is_bad_input(bare: Ask, arguments: tuple[str, ...], said: str) -> None:
    assert said in bare("--json", *arguments).failed()
    text = bare(*arguments)
    assert text.exit_code == 2
    assert said in text.stderr or "Usage: ftft" in text.stdout


def test_a_workspace_that_is_a_file_is_bad_input(bare: Ask, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "can't be made" in bare("runs", "list", "--json", "--workspace", tmp_path / "file").failed()


def test_an_error_for_people_goes_to_stderr(bare: Ask, workspace: Workspace) -> None:
    answer = bare("runs", "show", "map-rum", "--workspace", workspace.folder)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert answer.stderr.startswith("ftft: There is no run 'map-rum'")
    assert "Did you mean 'map-run'?" in answer.stderr


def test_a_damaged_database_is_a_failure(bare: Ask, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "ftft.duckdb").write_bytes(b"no database" * 999)
    assert "not a valid DuckDB" in bare("runs", "list", "--json", "--workspace", tmp_path / "w").failed(exit_code=1)


# -- suites and runs ---------------------------------------------------------------------------------------------------


def test_suites_are_added_shown_and_removed(bare: Ask, spec: Path) -> None:
    added = bare("suite", "add", "reviews", spec, "--json").json
    assert set(added) == {"suite", "splits", "warnings"}
    assert [(row["split"], row["role"], row["num_examples"]) for row in added["splits"]] == [
        ("train", "train", 96),
        ("dev", "dev", 40),
        ("test", "in_distribution", 40),
        ("shifted", "out_of_distribution", 40),
    ]
    row = bare("suite", "list", "--json").json[0]
    assert (row["suite"], row["labels"], row["num_train"]) == ("reviews", ["negative", "positive"], 96)
    assert bare("suite", "show", "reviews", "--json").json["fingerprint"] == row["fingerprint"]
    assert "A suite named 'reviews' is there already" in bare("suite", "add", "reviews", spec, "--json").failed()
    assert bare("suite", "remove", "reviews", "--json").json == {"removed": "reviews"}
    assert "There is no suite 'reviews'" in bare("suite", "show", "reviews", "--json").failed()
    assert bare("suite", "add", "reviews", spec, "--json").exit_code == 0


def test_a_spec_is_read_from_standard_input(bare: Ask, spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = spec.read_text(encoding="utf-8")
    for folder, exit_code in ((spec.parent / "nowhere", 2), (spec.parent, 0)):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        assert bare("suite", "add", "reviews", "-", "--folder", folder, "--json").exit_code == exit_code


def test_examples_of_a_split_are_searched_and_shown(ask: Ask) -> None:
    found = ask("suite", "examples", "toy", "far", "--search", "number 1", "--label", "no", "--limit", "2").json
    assert (found["total"], [row["example_id"] for row in found["examples"]]) == (8, ["1", "10"])
    assert "There is no split 'near'" in ask("suite", "examples", "toy", "near").failed()


def test_a_bad_spec_is_told_with_all_its_problems(bare: Ask, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("text: text\nlabels: x\ntrain: a.csv\ncolour: red\n", encoding="utf-8")
    answer = bare("suite", "add", "bad", tmp_path / "bad.yaml", "--json")
    answer.failed()
    assert len(answer.json["problems"]) >= 3


def test_runs_are_listed_with_the_columns_of_the_view(ask: Ask, workspace: Workspace) -> None:
    rows = ask("runs", "list").json
    with workspace.database.reading() as connection:
        columns = [column[0] for column in connection.execute("FROM runs").description]
    assert [list(row) for row in rows] == [[*columns, "position", "seconds_left"]] * len(rows)
    # All have finished: the newest first, as on the page.
    assert [row["name"] for row in rows] == ["ftft-1", "erm-1", "ftft-0", "erm-0", "map-run"]
    assert type(rows[4]["num_optimizer_steps"]) is int
    assert rows[4]["subset"] is None
    assert rows[2]["reference_run"] == rows[4]["run_id"]
    for key in ("ftft-0", rows[2]["run_id"]):
        shown = ask("runs", "show", key).json
        assert shown.pop("disk_bytes") > 0
        assert shown.pop("expected_seconds") is None
        assert {**shown, "created_at": 0, "finished_at": 0} == {**rows[2], "created_at": 0, "finished_at": 0}
    assert "There is no suite 'toys'" in ask("runs", "list", "--suite", "toys").failed()


def test_whole_numbers_stay_whole_beside_a_run_that_has_none(ask: Ask, workspace: Workspace, tmp_path: Path) -> None:
    assert ask("export", "map-run", tmp_path / "out").exit_code == 0
    assert ask("import", tmp_path / "out", "--format", "cartography", "--name", "alien").exit_code == 0
    rows = {row["name"]: row["num_optimizer_steps"] for row in ask("runs", "list").json}
    assert (rows["erm-0"], rows["alien"]) == (30, None)
    assert type(rows["erm-0"]) is int


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--suite is required, but missing. | --model is required, but missing."),
        (("--suite", "toy", "--model", "/no/such"), "there is no such folder"),
        (("--suite", "toy", "--model", "{model}", "--layers", "7"), "allowed is 1 to 2"),
        (("--suite", "toys", "--model", "{model}"), "There is no suite 'toys'"),
        (("--suite", "toy", "--model", "{model}", "--subset", "half"), "There is no subset 'half'"),
        (("--suite", "toy", "--model", "{model}", "--reference", "nobody"), "There is no run 'nobody'"),
        (("--suite", "toy", "--model", "{model}", "--name", "erm-0"), "A run named 'erm-0' is there already"),
        (("--suite", "toy", "--model", "{model}", "--name", "a b"), "it must be letters, digits, dots"),
        (("--suite", "toy", "--model", "{model}", "--epochs", "0"), "budget.epochs: received '0'; it must be above 0"),
        (("--suite", "toy", "--model", "{model}", "--epochs", "1", "--max-steps", "3"), "exactly one of epochs"),
        (("--suite", "toy", "--model", "{model}", "--method", "magic", "--seed", "x"), "There is no method 'magic'"),
        (("--suite", "toy", "--model", "{model}", "--method", "ftft"), "but no subset was given: give --subset"),
        (("--suite", "toy", "--model", "{model}", "--method", "poe"), "name it with --reference"),
    ],
)
def test_a_run_that_cannot_be_is_not_queued(
    ask: Ask, workspace: Workspace, arguments: tuple[str, ...], said: str
) -> None:
    model = workspace.runs().iloc[0]["model"]
    before = len(workspace.runs())
    answer = ask("train", *(argument.format(model=model) for argument in arguments))
    assert said in answer.failed()
    assert len(workspace.runs()) == before


def test_several_problems_of_one_run_are_told_together(ask: Ask) -> None:
    answer = ask("train", "--suite", "toy", "--model", "./m", "--seed", "x", "--method", "magic", "--batch-size", "0")
    answer.failed()
    # The three fields, and that there is no such model.
    assert len(answer.json["problems"]) == 4


def test_what_is_in_use_is_not_removed(ask: Ask) -> None:
    said = ask("suite", "remove", "toy").failed()
    assert "run erm-0" in said
    assert "subset ambiguous-33" in said
    said = ask("runs", "remove", "map-run").failed()
    assert "run ftft-0" in said
    assert "subset ambiguous-33" in said
    assert "run ftft-1" in ask("subset", "remove", "ambiguous-33").failed()
    for name in ("ftft-0", "ftft-1"):
        assert ask("runs", "remove", name).json["removed"] == name
    assert ask("subset", "remove", "ambiguous-33").exit_code == 0
    assert ask("runs", "remove", "map-run").exit_code == 0


def test_finished_runs_are_neither_cancelled_nor_resumed(ask: Ask, workspace: Workspace) -> None:
    assert "is finished already; there is nothing to cancel" in ask("runs", "cancel", "erm-0").failed(exit_code=1)
    answer = ask("runs", "resume", "erm-0")
    assert (answer.exit_code, answer.json["status"], answer.json["name"]) == (0, "finished", "erm-0")
    assert set(answer.json) == {"run_id", "name", "status"}


@pytest.mark.parametrize("word", ["none", "None", "null"])
def test_clipping_is_turned_off_by_a_word(word: str) -> None:
    config = RunConfig.model_validate(_run_values({"suite": "s", "model": "m", "gradient_clip_norm": word}))
    assert config.training.gradient_clip_norm is None
    assert RunConfig.model_validate(_run_values({"suite": "s", "model": "m"})).training.gradient_clip_norm == 1.0


def test_help_says_what_a_reference_is_evaluated_on(bare: Ask) -> None:
    assert "A run with the method reference is evaluated on dev alone" in bare("train", "--help").stdout


def test_an_empty_workspace_name_is_bad_input(bare: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "received an empty name; give a folder" in bare("runs", "list", "--json", "--workspace", "").failed()
    monkeypatch.setenv("FTFT_WORKSPACE", " ")
    assert "received an empty name" in bare("runs", "list", "--json").failed()
    assert not (tmp_path / " ").exists()


def test_a_recipe_that_cannot_be_is_bad_input(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("suite: toy\nmain_model: {model: m}\nmethods: [erm]\nepochs: .inf\n", encoding="utf-8")
    assert "epochs: received inf; it must be" in ask("experiment", path).failed()
    assert "can't be read" in ask("experiment", tmp_path / "nowhere.yaml").failed()


def test_a_suite_without_a_test_split_is_warned_of(bare: Ask, spec: Path) -> None:
    lines = spec.read_text(encoding="utf-8").split("in_distribution:")[0]
    spec.write_text(lines, encoding="utf-8")
    assert "no test split" in " ".join(bare("suite", "add", "bare", spec, "--json").json["warnings"])


def test_a_process_of_its_own_prints_one_document(ftft: CommandLine) -> None:
    answer = ftft("runs", "list", "--json")
    assert (answer.exit_code, answer.json, answer.stderr) == (0, [], "")
    failed = ftft("runs", "show", "nobody", "--json")
    assert failed.exit_code == 2
    assert set(failed.json) == {"error", "problems"}
    assert failed.stderr == ""
