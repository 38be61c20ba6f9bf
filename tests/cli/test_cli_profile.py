"""`ftft profile`: what it prints, what it gives as JSON, and what it refuses."""

from __future__ import annotations

import pytest

from ftft_core.workspace import Workspace
from tests.cli.conftest import Ask


def test_it_prints_sentences_and_tables(bare: Ask, workspace: Workspace) -> None:
    said = bare("profile", "map-run", "--where", "confidence < 0.4", "--workspace", workspace.folder)
    assert said.exit_code == 0, said.stderr
    assert "of 240 examples" in said.stdout
    assert "all of run map-run, where confidence < 0.4" in said.stdout
    assert "Confidence lower than in nearly all of the rest" in said.stdout
    for heading in ("Labels", "Scores, most different first", "Probable label errors: Confident learning"):
        assert heading in said.stdout
    assert "Groups" not in said.stdout


def test_its_json_holds_every_part(ask: Ask) -> None:
    found = ask("profile", "map-run", "--strategy", "ambiguous", "--fraction", "0.25", "--epochs", "2").json
    assert (found["num_selected"], found["num_rest"]) == (60, 180)
    assert [row["value"] for row in found["labels"]] == ["no", "yes"]
    assert sum(row["num_selected"] for row in found["labels"]) == 60
    assert found["groups"] == []
    assert found["scores"][0]["score"] in {"variability", "aleatoric"}
    assert found["scores"][0]["probability_higher"] > 0.9
    assert [row["epoch"] for row in found["curves"]] == [0, 1]
    assert found["lengths"]["selected"]["num_examples"] == 60
    assert sum(sum(row.values()) for row in found["given_against_predicted"].values()) == 60
    assert set(found["num_label_issues"]) == {"selected", "rest"}


def test_a_subset_and_a_filter_combine(ask: Ask, workspace: Workspace) -> None:
    everything = ask("profile", "map-run", "--subset", "ambiguous-33").json
    assert everything["num_selected"] == workspace.subset("ambiguous-33").size
    some = ask("profile", "map-run", "--subset", "ambiguous-33", "--where", 'label == "yes"').json
    assert 0 < some["num_selected"] < everything["num_selected"]
    assert some["labels"][0]["num_selected"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Which examples"),
        (("--where", "confidence > 2"), "leaves none of 240 examples"),
        (("--where", " "), "--where: received an empty filter"),
        (("--strategy", "ambiguous"), "A strategy needs either a fraction or quotas"),
        (("--subset", "nothing"), "There is no subset 'nothing'"),
        (("--where", "confidence < 1", "--epochs", "9"), "it must be a whole number from 1 to 4"),
    ],
)
def test_what_cannot_be_profiled_is_refused(ask: Ask, arguments: tuple[str, ...], message: str) -> None:
    assert message in ask("profile", "map-run", *arguments).failed()


def test_a_run_without_dynamics_is_refused(ask: Ask) -> None:
    assert "has no data map" in ask("profile", "erm-0", "--where", "confidence < 1").failed(exit_code=1)
