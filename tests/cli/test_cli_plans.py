"""`ftft plan`: what runs will cost before they start, and every reason why they can't work."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftft_core.workspace import Workspace
from tests.cli.conftest import Ask
from tests.planning_workspace import config, make_planning_workspace


@pytest.fixture(scope="module")
def planning(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Workspace:
    return make_planning_workspace(tmp_path_factory.mktemp("planning"), tiny_model)


def test_a_plan_is_measured_and_told(bare: Ask, planning: Workspace, tiny_model: Path) -> None:
    given = ("plan", "--workspace", planning.folder, "--suite", "reviews", "--model", tiny_model, "--epochs", 2)
    told = bare(*given, "--batch-size", 16, "--seeds", "0-1,4")
    assert told.exit_code == 0, told.stderr
    assert "Taking a few steps" in told.stderr
    assert "timing steps" in told.stderr
    lines = told.stdout.splitlines()
    assert lines[0].startswith("3 runs, ")
    assert lines[0].endswith(" 100 % of plain fine-tuning.")
    assert [line.split()[:2] for line in lines[2:5]] == [["0", "12"], ["1", "12"], ["4", "12"]]

    again = bare(*given, "--batch-size", 16, "--seed", 4, "--json")
    assert "Taking" not in again.stderr
    answer = again.json
    assert (answer["num_runs"], answer["num_steps"], answer["erm_share"]) == (1, 12, 1.0)
    assert [run["seed"] for run in answer["runs"]] == [4]
    plan = planning.plan([config(tiny_model, seed=4)])
    assert (answer["train_flops"], answer["words"]) == (plan.train_flops, plan.words)
    assert answer["seconds"] == pytest.approx(plan.seconds)


@pytest.mark.parametrize("command", ["plan", "train"])
def test_all_reasons_are_told_at_once(bare: Ask, planning: Workspace, tiny_model: Path, command: str) -> None:
    run = ("--suite", "reviews", "--model", tiny_model, "--workspace", planning.folder)
    wrong = ("--layers", 9, "--subset", "foreign", "--learning-rate", "fast", "--name", "taken")
    answer = bare(command, *run, *wrong, "--json")
    said = answer.failed()
    parts = ("layers: received 9", "Subset 'foreign' is of suite", "learning_rate: received 'fast'", "named 'taken'")
    assert all(part in said for part in parts), said
    assert len(answer.json["problems"]) == len(parts)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--seeds", "0,x"), "--seeds: received '0,x'; it must be whole numbers and ranges such as 0,1,2 or 0-4"),
        (("--seeds", "3-"), "--seeds: received '3-'"),
        (("--seeds", "5-2"), "which is 0 seeds"),
        (("--seeds", "0-9999"), "seeds; allowed are 1 to 1000"),
        (("--seeds", "1", "--seed", "1"), "--seed and --seeds were both given"),
    ],
)
def test_seeds_that_are_none_are_refused(bare: Ask, tmp_path: Path, given: tuple[str, ...], message: str) -> None:
    answer = bare("plan", "--suite", "s", "--model", "m", *given, "--json", "--workspace", tmp_path / "w")
    assert message in answer.failed()


def test_what_to_train_must_be_said(bare: Ask, tmp_path: Path) -> None:
    answer = bare("plan", "--json", "--workspace", tmp_path / "w")
    assert "--suite is required, but missing." in answer.failed()
    assert "--model is required, but missing." in answer.failed()
