"""Snapshots: scores of some test examples on the way, which change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ftft_core.training import evaluating
from ftft_core.training.random_state import random_tensors, undisturbed
from tests.conftest import write_suite_files
from tests.test_training_stopping import BUDGET, PATIENT, PLAIN, SECONDS
from tests.training_runs import Runs, assert_same_tables, assert_same_weights


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Runs:
    folder = tmp_path_factory.mktemp("snapshots")
    return Runs(folder, write_suite_files(folder / "suite"), tiny_model)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_snapshots_change_nothing(
    runs: Runs, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.setattr(evaluating, "SNAPSHOT_EXAMPLES", 10)
    settings = {**PATIENT, "patience": 3, "budget": {"epochs": 5}, "precision": precision}
    unwatched = runs.train(f"unwatched-{precision}", **settings)
    watched = runs.train(f"watched-{precision}", snapshots=4, **settings)
    blind_runs = Runs(tmp_path, write_suite_files(tmp_path / "suite", out_of_distribution=False), tiny_model)
    blind = blind_runs.train("blind", snapshots=4, **settings)
    snapshots = {name for name in watched.outbox if name.startswith("scores-0") and not name.endswith("dev")}
    assert snapshots == {
        f"scores-{step:08d}-{split}"
        for step in (6, 12, 18, 24) if step <= watched.counters.step
        for split in ("test", "shifted")
    }  # fmt: skip
    assert_same_tables(
        {name: table for name, table in watched.outbox.items() if name not in snapshots}, unwatched.outbox
    )
    assert_same_tables(
        {name: table for name, table in blind.outbox.items() if name not in snapshots},
        {name: table for name, table in unwatched.outbox.items() if "shifted" not in name},
    )
    for each in (watched, blind):
        assert_same_weights(each.weights, unwatched.weights)
        apart = {**SECONDS, "snapshot_flops": 0.0}
        assert vars(each.counters) | apart == vars(unwatched.counters) | apart
    assert unwatched.counters.snapshot_flops == 0 < blind.counters.snapshot_flops < watched.counters.snapshot_flops


def test_a_snapshot_is_the_score_of_some_examples_at_its_step(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluating, "SNAPSHOT_EXAMPLES", 10)
    trained = runs.train("snapshot", snapshots=1, method="reference", **PLAIN)
    scores = trained.outbox[f"scores-{BUDGET // 2:08d}-shifted"]
    assert scores["group"].isna().all()
    assert not scores["final"].any()
    assert scores["metric"].tolist() == ["accuracy", "macro_f1", "ece"]
    # Ten examples: accuracy comes in tenths.
    accuracy = scores["value"].iloc[0]
    assert accuracy == pytest.approx(round(10 * accuracy) / 10)
    assert not any(name.startswith("predictions-") and name != "predictions-dev" for name in trained.outbox)
    parts = evaluating.make_evaluator(trained.setup).snapshot
    assert [len(part.split.examples) for part in parts] == [10, 10]
    assert trained.counters.snapshot_flops == sum(part.flops(trained.setup) for part in parts)
    history = trained.setup.folder.read_history()
    (record,) = (each for each in history if each.get("split") == "shifted")
    assert (record["step"], record["accuracy"], record["final"]) == (BUDGET // 2, accuracy, False)
    assert record["num_examples"] == 10


def test_random_numbers_go_on_undisturbed() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    before = random_tensors()
    with undisturbed():
        torch.rand(5)
        np.random.rand(3)
    assert torch.equal(torch.rand(2), expected)
    for name, tensor in before.items():
        if name != "torch":
            assert torch.equal(random_tensors()[name], tensor)
