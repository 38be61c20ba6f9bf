"""The command line: what it prints as JSON, its exit codes, and that it says what is wrong."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest

from ftft_core import cli as command_line
from ftft_core.cli.app import cli as root_command
from ftft_core.comparison.compare import ROW_COLUMNS
from ftft_core.workspace import Workspace
from tests.conftest import CommandLine
from tests.ui_workspace import NUM_TRAIN, make_workspace


@pytest.fixture(scope="module")
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


def test_a_bad_spec_is_told_with_all_its_problems(bare: Ask, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("text: text\nlabels: x\ntrain: a.csv\ncolour: red\n", encoding="utf-8")
    answer = bare("suite", "add", "bad", tmp_path / "bad.yaml", "--json")
    answer.failed()
    assert len(answer.json["problems"]) >= 3


def test_runs_are_listed_with_the_columns_of_the_view(ask: Ask, workspace: Workspace) -> None:
    rows = ask("runs", "list").json
    with workspace.database.reading() as connection:
        columns = [column[0] for column in connection.execute("FROM runs").description]
    assert [list(row) for row in rows] == [columns] * len(rows)
    assert [row["name"] for row in rows] == ["map-run", "erm-0", "ftft-0", "erm-1", "ftft-1"]
    assert type(rows[0]["num_optimizer_steps"]) is int
    assert rows[0]["subset"] is None
    assert rows[2]["reference_run"] == rows[0]["run_id"]
    for key in ("ftft-0", rows[2]["run_id"]):
        shown = ask("runs", "show", key).json
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
        (("--suite", "toy", "--model", "{model}", "--method", "ftft"), "Name the run with --reference"),
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
    answer = ask("train", "--suite", "toy", "--model", "m", "--seed", "x", "--method", "magic", "--batch-size", "0")
    answer.failed()
    assert len(answer.json["problems"]) == 3


def test_what_is_in_use_is_not_removed(ask: Ask) -> None:
    said = ask("suite", "remove", "toy").failed()
    assert "run erm-0" in said
    assert "subset ambiguous-33" in said
    said = ask("runs", "remove", "map-run").failed()
    assert "run ftft-0" in said
    assert "subset ambiguous-33" in said
    assert "run ftft-1" in ask("subset", "remove", "ambiguous-33").failed()
    for name in ("ftft-0", "ftft-1"):
        assert ask("runs", "remove", name).json == {"removed": name}
    assert ask("subset", "remove", "ambiguous-33").exit_code == 0
    assert ask("runs", "remove", "map-run").exit_code == 0


def test_finished_runs_are_neither_cancelled_nor_resumed(ask: Ask, workspace: Workspace) -> None:
    assert "is finished already; there is nothing to cancel" in ask("runs", "cancel", "erm-0").failed(exit_code=1)
    answer = ask("runs", "resume", "erm-0")
    assert (answer.exit_code, answer.json["status"], answer.json["name"]) == (0, "finished", "erm-0")
    assert set(answer.json) == {"run_id", "name", "status"}


# -- maps and subsets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_a_map_is_written_whole(ask: Ask, workspace: Workspace, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"map{ending}"
    assert ask("map", "map-run", "--out", path).json == {"file": str(path), "num_examples": NUM_TRAIN}
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": lambda each: pd.read_csv(each, dtype={"example_id": str}),
        ".parquet": pd.read_parquet,
        ".jsonl": lambda each: pd.read_json(each, lines=True, dtype={"example_id": str}),
    }
    read, expected = readers[ending](path), workspace.data_map("map-run")
    assert read["example_id"].tolist() == expected["example_id"].tolist()
    np.testing.assert_allclose(read["variability"], expected["variability"], rtol=1e-9)
    assert sorted(each.name for each in tmp_path.glob("*map*")) == [path.name]


def test_a_map_of_the_first_epochs(ask: Ask, workspace: Workspace) -> None:
    rows = ask("map", "map-run", "--epochs", 2).json
    assert [row["variability"] for row in rows] == workspace.data_map("map-run", epochs=2)["variability"].tolist()
    assert "9" in ask("map", "map-run", "--epochs", 9).failed()
    assert "0" in ask("map", "map-run", "--epochs", 0).failed()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("map.xlsx", "received the ending '.xlsx'; allowed are .csv, .parquet, .jsonl"),
        ("map", "received the ending ''"),
        ("no/such/map.csv", "can't be written"),
        ("no/such/map.parquet", "can't be written"),
        ("file/map.jsonl", "can't be written"),
    ],
)
def test_a_map_that_cannot_be_written_leaves_nothing(ask: Ask, tmp_path: Path, path: str, said: str) -> None:
    (tmp_path / "file").touch()
    answer = ask("map", "map-run", "--out", tmp_path / path).failed()
    assert said in answer
    assert "None" not in answer
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "workspace"]


def test_a_run_without_an_epoch_has_no_map(ask: Ask) -> None:
    assert "has no epoch yet that saw every example" in ask("map", "erm-0").failed(exit_code=1)


@pytest.mark.parametrize("fraction", [0.33, 0.5, 0.001, 1])
def test_a_selection_has_exactly_the_size_asked_for(ask: Ask, fraction: float) -> None:
    answer = ask("select", "map-run", "--strategy", "ambiguous", "--fraction", fraction, "--name", "x").json
    assert set(answer) == {"subset", "name", "size"}
    assert answer["size"] == max(1, round(fraction * NUM_TRAIN))
    assert ask("subset", "show", answer["subset"]).json["size"] == answer["size"]


def test_a_balanced_selection_takes_the_same_share_of_each_label(ask: Ask) -> None:
    arguments = ("--strategy", "hard", "--fraction", 0.25, "--balance", "class", "--name", "even")
    assert ask("select", "map-run", *arguments).json["size"] == 60
    assert ask("subset", "show", "even").json["labels"] == {"no": 40, "yes": 20}


def test_a_filter_stands_before_the_fraction(ask: Ask, workspace: Workspace) -> None:
    number = int((workspace.data_map("map-run")["confidence"] < 0.4).sum())
    arguments = ("--strategy", "easy", "--fraction", 0.5, "--where", "confidence < 0.4", "--name", "filtered")
    assert ask("select", "map-run", *arguments).json["size"] == round(0.5 * number)
    chosen = workspace.subset_examples("filtered")["example_id"]
    assert workspace.data_map("map-run").set_index("example_id").loc[chosen, "confidence"].max() < 0.4
    words = ("--strategy", "random", "--fraction", 1, "--where", 'contains(text, "number 23")', "--name", "words")
    assert ask("select", "map-run", *words).json["size"] == 11


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--strategy", "ambiguos", "--fraction", 0.3), "Did you mean 'ambiguous'?"),
        (("--strategy", "hard"), "A strategy needs either a fraction or quotas"),
        (("--strategy", "hard", "--fraction", 1.5), "it must be at most 1"),
        (("--strategy", "hard", "--fraction", "half"), "fraction: received 'half'"),
        (("--strategy", "hard", "--fraction", 0.3, "--where", "confidence < 0"), "none of 240 examples"),
        (("--strategy", "hard", "--fraction", 0.3, "--where", "1; DROP TABLE base.runs"), "DROP"),
        (("--strategy", "hard", "--fraction", 0.3, "--name", "ambiguous-33"), "is there already"),
        (("--strategy", "hard", "--fraction", 0.3, "--name", "a b"), "name: received 'a b'"),
        (("--strategy", "ambiguous", "--fraction", 0.3, "--epochs", 1), "needs at least 2 counted epochs"),
    ],
)
def test_a_selection_that_cannot_be_is_bad_input(ask: Ask, arguments: tuple[object, ...], said: str) -> None:
    assert said in ask("select", "map-run", *arguments).failed()
    assert len(ask("subset", "list").json) == 1


def test_subsets_are_combined(ask: Ask, workspace: Workspace) -> None:
    for name, strategy in (("h-1", "hard"), ("e-1", "easy"), ("r-1", "random")):
        ask("select", "map-run", "--strategy", strategy, "--fraction", 0.5, "--name", name)
    members = {name: set(workspace.subset_examples(name)["example_id"]) for name in ("h-1", "e-1", "r-1")}
    h, e, r = members.values()
    for number, (expression, expected) in enumerate(
        {"h-1 & r-1": h & r, "h-1 | e-1": h | e, "h-1 - r-1": h - r, "h-1 | e-1 & r-1": h | (e & r)}.items()
    ):
        answer = ask("subset", "combine", expression, "--name", f"c{number}").json
        assert (set(answer), answer["size"]) == ({"subset", "name", "size"}, len(expected))
        assert set(workspace.subset_examples(answer["subset"])["example_id"]) == expected
    assert "There is no subset 'nobody'" in ask("subset", "combine", "h-1 & nobody", "--name", "x").failed()
    ask("subset", "combine", "h-1 &", "--name", "x").failed()
    assert "leaves none of 240" in ask("subset", "combine", "h-1 - h-1", "--name", "x").failed()


def test_a_subset_is_exported_with_its_texts(ask: Ask, tmp_path: Path) -> None:
    answer = ask("subset", "export", "ambiguous-33", tmp_path / "x.csv").json
    assert answer["file"] == str(tmp_path / "x.csv")
    frame = pd.read_csv(tmp_path / "x.csv", dtype=str)
    assert list(frame.columns) == ["example_id", "text", "label", "weight"]
    assert len(frame) == answer["size"] == 79


# -- interchange, comparisons ------------------------------------------------------------------------------------------


def test_dynamics_come_back_as_they_were_exported(ask: Ask, workspace: Workspace, tmp_path: Path) -> None:
    assert ask("export", "map-run", tmp_path / "out").exit_code == 0
    answer = ask("import", tmp_path / "out", "--format", "cartography", "--name", "back", "--suite", "toy").json
    assert answer["status"] == "finished"
    ours, theirs = workspace.dynamics("map-run"), workspace.dynamics("back")
    np.testing.assert_array_equal(ours.logits, theirs.logits)
    assert ours.example_ids.tolist() == theirs.example_ids.tolist()
    pd.testing.assert_frame_equal(workspace.data_map("map-run"), workspace.data_map("back"), check_exact=True)
    ask("export", "map-run", tmp_path / "out").failed()
    taken = ask("import", tmp_path / "out", "--format", "cartography", "--name", "back", "--suite", "toy").failed()
    assert "A run named 'back' is there already" in taken
    assert "There is no format 'x'" in ask("import", tmp_path / "out", "--format", "x", "--name", "y").failed()

    # Without a suite one is made, that has maps and subsets but nothing to train on.
    assert ask("import", tmp_path / "out", "--format", "cartography", "--name", "alone").exit_code == 0
    assert ask("select", "alone", "--strategy", "hard", "--fraction", 0.1, "--name", "s").json["size"] == 24
    model = workspace.run("map-run")["model"]
    said = ask("train", "--suite", "alone", "--model", model).failed()
    assert "has no texts" in said
    wrong = ask("train", "--suite", "toy", "--model", model, "--subset", "s").failed()
    assert "Subset 's' is of suite 'alone', not of 'toy'" in wrong


def test_a_comparison_has_the_promised_rows(ask: Ask, tmp_path: Path) -> None:
    rows = ask("compare", "--suite", "toy").json
    assert [list(row) for row in rows] == [list(ROW_COLUMNS)] * len(rows)
    assert {row["method"] for row in rows} == {"erm", "ftft"}
    assert {row["metric"] for row in rows} == {"accuracy", "macro_f1", "ece"}
    far = next(r for r in rows if (r["method"], r["split"], r["metric"]) == ("ftft", "far", "accuracy"))
    assert far["cost_share"] == pytest.approx((2e9 + 1e9) / 6e9)
    assert (far["num_seeds"], far["reference_layers"], far["role"]) == (2, 2, "out_of_distribution")
    for ending in (".csv", ".md", ".tex"):
        assert ask("compare", "--suite", "toy", "--out", tmp_path / f"table{ending}").exit_code == 0
        assert (tmp_path / f"table{ending}").stat().st_size > 0
    assert "received the ending '.png'" in ask("compare", "--suite", "toy", "--out", tmp_path / "t.png").failed()
    assert "There is no suite 'nope'" in ask("compare", "--suite", "nope").failed()


def test_a_comparison_with_little_to_compare(bare: Ask, ask: Ask, workspace: Workspace, spec: Path) -> None:
    assert ask("suite", "add", "empty", spec).exit_code == 0
    assert ask("compare", "--suite", "empty").json == []
    for name in ("erm-1", "ftft-1", "ftft-0"):
        ask("runs", "remove", name)
    assert {row["delta"] for row in ask("compare", "--suite", "toy").json} == {0.0}
    text = bare("compare", "--suite", "toy", "--workspace", workspace.folder)
    assert text.exit_code == 0
    answer = ask("compare", "--suite", "toy", "--baseline", "random")
    assert {row["delta"] for row in answer.json} == {None}


def test_a_transfer_needs_two_runs(ask: Ask) -> None:
    assert "at least two different runs" in ask("transfer", "map-run").failed()


def test_doctor_says_what_the_machine_and_the_workspace_have(ask: Ask) -> None:
    answer = ask("doctor").json
    assert set(answer) == {"machine", "versions", "workspace"}
    assert answer["workspace"]["problems"] == []
    assert (answer["workspace"]["num_runs"], answer["workspace"]["num_suites"]) == (5, 1)


def test_a_process_of_its_own_prints_one_document(ftft: CommandLine) -> None:
    answer = ftft("runs", "list", "--json")
    assert (answer.exit_code, answer.json, answer.stderr) == (0, [], "")
    failed = ftft("runs", "show", "nobody", "--json")
    assert failed.exit_code == 2
    assert set(failed.json) == {"error", "problems"}
    assert failed.stderr == ""
