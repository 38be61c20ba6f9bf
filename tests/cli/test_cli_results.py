"""The command line: maps, subsets, interchange and comparisons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ftft_core.comparison.compare import ROW_COLUMNS
from ftft_core.workspace import Workspace
from tests.cli.conftest import Ask
from tests.ui_workspace import NUM_TRAIN

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


def test_a_map_that_tells_little_is_told_beside_the_result(ask: Ask, workspace: Workspace) -> None:
    learnt = workspace.dynamics("map-run")
    workspace.import_dynamics(replace(learnt, logits=np.full_like(learnt.logits, 0.5)), name="lazy", suite="toy")
    for answer in (ask("map", "lazy"), ask("select", "lazy", "--strategy", "ambiguous", "--fraction", 0.5)):
        assert "The model hardly learnt these labels" in answer.stderr
        assert "Hardly any prediction changed between epochs" in answer.stderr
    assert ask("map", "map-run").stderr == ""


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
    assert "ended before any epoch had seen every example" in ask("map", "erm-0").failed(exit_code=1)


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
        (("--strategy", "hard", "--fraction", 0.3, "--where", ""), "--where: received an empty filter"),
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
    problems = answer["workspace"]["problems"]
    assert len(problems) == 4, "the runs that were made without training have predictions, but no dynamics"
    assert all("lacks the dynamics of epoch 0, 1, 2, 3" in problem for problem in problems)
    assert (answer["workspace"]["num_runs"], answer["workspace"]["num_suites"]) == (5, 1)


@pytest.mark.parametrize("place", ["", "file", "a" * 300, "nul\0"])
def test_a_bad_place_for_an_export_is_one_sentence(ask: Ask, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    assert "give a" in ask("export", "map-run", tmp_path / place if place else "").failed()
    taken = ask("import", tmp_path / place if place else "", "--format", "cartography", "--name", "x").failed()
    assert "give" in taken


def test_a_baseline_that_is_no_method_is_bad_input(ask: Ask) -> None:
    assert "no method 'reference'" in ask("compare", "--suite", "toy", "--baseline", "reference").failed()
    said = ask("compare", "--suite", "toy", "--baseline", "emr").failed()
    assert "There is no method 'emr' (known: erm" in said
    assert "Did you mean 'erm'?" in said


def test_a_suite_without_finished_runs_is_compared_in_a_note(bare: Ask, spec: Path) -> None:
    assert bare("suite", "add", "empty", spec).exit_code == 0
    text = bare("compare", "--suite", "empty")
    assert text.exit_code == 0
    assert text.stdout.startswith("There is no finished run to compare")
