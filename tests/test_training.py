"""A training run: repeatable, exact in what it records, and blind to the out-of-distribution splits."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import safetensors.torch
import torch
from accelerate.utils import set_seed
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from ftft_core.config import BudgetConfig
from ftft_core.cost import FlopMeter, steps_within
from ftft_core.errors import FingerprintError, InputError
from ftft_core.evaluation import predict
from ftft_core.run_folder import write_json
from ftft_core.training.__main__ import main
from ftft_core.training.batches import BatchOrder
from ftft_core.training.loop import fit
from ftft_core.training.setup import count_steps, prepare
from tests.conftest import environment, write_suite_files
from tests.training_runs import Runs, Trained, assert_same_tables, assert_same_weights, never, read_outbox


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Runs:
    folder = tmp_path_factory.mktemp("training")
    return Runs(folder, write_suite_files(folder / "suite"), tiny_model)


@pytest.fixture(scope="module")
def first(runs: Runs) -> Trained:
    """Two epochs with seed 0."""
    return runs.train("first")


def test_the_same_configuration_gives_the_same_bits(runs: Runs, first: Trained) -> None:
    second = runs.train("second")
    assert_same_tables(second.outbox, first.outbox)
    assert_same_weights(second.weights, first.weights)


def test_another_seed_gives_other_logits(runs: Runs, first: Trained) -> None:
    other = runs.train("other-seed", seed=1)
    assert sorted(other.outbox) == sorted(first.outbox)
    assert not np.allclose(other.logits("dynamics-00000"), first.logits("dynamics-00000"))
    assert not np.allclose(other.logits("predictions-dev"), first.logits("predictions-dev"))


def test_a_run_leaves_dynamics_predictions_and_scores(first: Trained) -> None:
    assert sorted(first.outbox) == [
        "dynamics-00000",
        "dynamics-00001",
        "predictions-dev",
        "predictions-shifted",
        "predictions-test",
        "scores-00000006-dev",
        "scores-final-dev",
        "scores-final-shifted",
        "scores-final-test",
    ]
    for epoch in (0, 1):
        dynamics = first.outbox[f"dynamics-{epoch:05d}"]
        assert dynamics["epoch"].eq(epoch).all()
        assert dynamics["position"].tolist() == list(range(96))
        assert first.logits(f"dynamics-{epoch:05d}").shape == (96, 2)
    assert first.outbox["predictions-shifted"]["position"].tolist() == list(range(40))
    assert set(first.outbox["scores-final-shifted"]["group"].dropna()) == {"g0", "g1", "g2"}
    counters = first.counters
    assert (counters.step, counters.epoch, counters.batch_in_epoch, counters.examples_seen) == (12, 2, 0, 192)
    assert first.setup.folder.read_progress()["step"] == 12


def test_without_out_of_distribution_splits_the_run_is_the_same(
    first: Trained, tmp_path: Path, tiny_model: Path
) -> None:
    blind = Runs(tmp_path, write_suite_files(tmp_path / "suite", out_of_distribution=False), tiny_model).train("blind")
    assert [split.name for split in blind.setup.suite.splits] == ["train", "dev", "test"]
    expected = {name: table for name, table in first.outbox.items() if "shifted" not in name}
    assert_same_tables(blind.outbox, expected)
    assert_same_weights(blind.weights, first.weights)
    for count in ("step", "epoch", "train_flops", "evaluation_flops"):
        assert getattr(blind.counters, count) == getattr(first.counters, count)


def test_a_reference_run_is_scored_on_dev_alone(runs: Runs, first: Trained) -> None:
    reference = runs.train("reference", method="reference")
    assert {name for name in reference.outbox if "predictions" in name} == {"predictions-dev"}
    assert_same_weights(reference.weights, first.weights)
    assert_same_tables(reference.dynamics, first.dynamics)


def test_dynamics_are_the_logits_of_the_training_pass(runs: Runs, first: Trained) -> None:
    """The first epoch once more, by hand: plain torch, the tokenizer's own padding, no Accelerator."""
    train = runs.suite.train.examples
    order = BatchOrder(first.setup.data.tokens.lengths, batch_size=16, seed=0)
    tokenizer = AutoTokenizer.from_pretrained(runs.model)
    set_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        runs.model, num_hidden_layers=2, num_labels=2, attn_implementation="eager"
    )
    device = first.setup.parts.accelerator.device
    model.to(device)
    set_seed(0)
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}], lr=1e-3
    )
    # 12 steps in all; a warm-up over a fifth of them is 2 steps.
    rates = [0.0, 0.5e-3, *(1e-3 * (12 - step) / 10 for step in range(2, 12))]
    expected = np.zeros((96, 2), dtype=np.float32)
    model.train()
    for step, batch in enumerate(order.epoch(0)):
        texts = train["text"].iloc[batch.rows].tolist()
        inputs = tokenizer(texts, padding=True, pad_to_multiple_of=8, return_tensors="pt").to(device)
        labels = [["negative", "positive"].index(label) for label in train["label"].iloc[batch.rows]]
        logits = model(**inputs).logits
        expected[batch.rows] = logits.detach().cpu().numpy()
        torch.nn.functional.cross_entropy(logits, torch.tensor(labels, device=device)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rates[step]
        optimizer.step()
        optimizer.zero_grad()
    np.testing.assert_allclose(first.logits("dynamics-00000"), expected, rtol=0, atol=1e-5)
    history = [record for record in first.setup.folder.read_history() if record["kind"] == "step"]
    # A record is written after the schedule stepped.
    assert [record["learning_rate"] for record in history] == pytest.approx([*rates[1:], 0.0])


def test_counted_flops_are_those_of_all_steps(first: Trained) -> None:
    batches = [batch for epoch in (0, 1) for batch in first.setup.order.epoch(epoch)]
    assert first.counters.train_flops == sum(first.setup.meter.training(batch.shape) for batch in batches)


def test_a_partial_last_epoch_holds_only_what_was_seen(runs: Runs) -> None:
    partial = runs.train("partial", budget={"epochs": 1.5})
    assert partial.counters.step == 9
    assert partial.setup.num_epochs == 2
    seen = np.sort(np.concatenate([batch.rows for batch in partial.setup.order.epoch(1)[:3]]))
    assert partial.outbox["dynamics-00001"]["position"].tolist() == seen.tolist()
    assert len(seen) == 48
    assert partial.setup.parts.recorder.dynamics().counted_epochs.tolist() == [0]


def test_a_run_on_a_subset_speaks_of_the_training_splits_rows(runs: Runs) -> None:
    chosen = [3, 8, 20, 21, 50, 95]
    subset = pa.table({"position": chosen, "weight": [1.0] * 6})
    trained = runs.train("subset", subset=subset)
    assert trained.counters.step == 2
    assert trained.outbox["dynamics-00001"]["position"].tolist() == chosen
    labels = runs.suite.train.examples["label"].iloc[chosen]
    assert [runs.suite.labels[index] for index in trained.setup.data.labels] == labels.tolist()


def test_weights_of_two_count_twice_and_of_zero_not_at_all(runs: Runs) -> None:
    # One batch of three examples. Losses depend on dropout, which the seed fixes: only the weights differ.
    def gradient_step(run_id: str, weights: list[float]) -> tuple[float, dict[str, torch.Tensor]]:
        subset = pa.table({"position": [0, 1, 2], "weight": weights})
        setup = prepare(runs.queue(run_id, subset=subset, budget={"max_steps": 1}, warmup_fraction=0.0))
        before = {name: tensor.clone() for name, tensor in setup.parts.model.state_dict().items()}
        fit(setup, stop_requested=never)
        after = setup.parts.model.state_dict()
        loss = setup.folder.read_history()[0]["loss"]
        return loss, {name: after[name] - before[name] for name in before}

    plain_loss, plain = gradient_step("weights-1", [1.0, 1.0, 1.0])
    loss, doubled = gradient_step("weights-2", [2.0, 2.0, 2.0])
    assert loss == plain_loss
    for name, change in plain.items():
        torch.testing.assert_close(doubled[name], change, rtol=0, atol=1e-7)
    _, uneven = gradient_step("weights-3", [2.0, 0.0, 1.0])
    assert not torch.equal(uneven["classifier.weight"], plain["classifier.weight"])


def test_a_batch_of_zero_weights_teaches_nothing(runs: Runs) -> None:
    subset = pa.table({"position": [0, 1, 2, 3], "weight": [0.0, 0.0, 0.0, 1.0]})
    trained = runs.train("zero-weights", subset=subset, batch_size=1, budget={"epochs": 1})
    assert all(torch.isfinite(tensor).all() for tensor in trained.weights.values())
    assert trained.outbox["dynamics-00000"]["position"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("weights", [[], [0.0, 0.0]], ids=["no-examples", "no-weight"])
def test_an_empty_subset_is_refused(runs: Runs, weights: list[float]) -> None:
    subset = pa.table(
        {"position": pa.array(range(len(weights)), pa.int64()), "weight": pa.array(weights, pa.float64())}
    )
    folder = runs.queue(f"empty-{len(weights)}", subset=subset)
    with pytest.raises(InputError, match="holds no example with a weight above 0; there is nothing to train on"):
        prepare(folder)


def test_a_suite_that_changed_is_refused(runs: Runs) -> None:
    folder = runs.queue("changed")
    write_json(folder.path / "run.json", {**folder.read_run(), "suite_fingerprint": "0" * 64})
    with pytest.raises(FingerprintError, match="but the run was queued with 000000000000; queue the run again"):
        prepare(folder)


def test_texts_longer_than_the_model_takes_are_refused(tmp_path: Path, tiny_model: Path) -> None:
    spec = write_suite_files(tmp_path / "suite")
    for split in ("train", "dev"):
        path = tmp_path / "suite" / f"{split}.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join([lines[0].replace('"text": "', '"text": "' + "film " * 70), *lines[1:]]) + "\n")
        runs = Runs(tmp_path, spec, tiny_model)
        message = (
            rf"max_length: a text of split '{split}' takes \d+ tokens \(padded\), but the model takes at most 64; "
            "lower max_length to 64"
        )
        with pytest.raises(InputError, match=message):
            fit(prepare(runs.queue(f"long-{split}")), stop_requested=never)
        assert runs.train(f"cut-{split}", max_length=64, budget={"max_steps": 1}).counters.step == 1
        path.write_text("\n".join(lines) + "\n")


# -- budgets ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def order_and_meter(first: Trained) -> tuple[BatchOrder, FlopMeter]:
    return first.setup.order, first.setup.meter


@pytest.mark.parametrize(
    ("budget", "steps"),
    [({"epochs": 3}, 18), ({"epochs": 0.5}, 3), ({"epochs": 1.25}, 8), ({"epochs": 0.01}, 1), ({"max_steps": 7}, 7)],
)
def test_steps_of_a_budget(order_and_meter: tuple[BatchOrder, FlopMeter], budget: dict[str, float], steps: int) -> None:
    assert count_steps(BudgetConfig.model_validate(budget), *order_and_meter) == steps


def test_a_budget_of_flops_takes_the_nearest_number_of_steps(order_and_meter: tuple[BatchOrder, FlopMeter]) -> None:
    order, meter = order_and_meter
    flops = [meter.training(batch.shape) for epoch in (0, 1) for batch in order.epoch(epoch)]
    for steps in (1, 4, 9):
        spent = sum(flops[:steps])
        for budget in (spent, spent + 0.4 * flops[steps], spent - 0.4 * flops[steps - 1]):
            assert count_steps(BudgetConfig(max_flops=budget), order, meter) == steps
    assert count_steps(BudgetConfig(max_flops=1.0), order, meter) == 1
    assert steps_within([10.0, 10.0], 15.0) == 2


def test_the_schedule_spans_the_budget(runs: Runs) -> None:
    trained = runs.train("schedule", budget={"max_steps": 10}, warmup_fraction=0.3, learning_rate=0.7e-3)
    rates = [record["learning_rate"] for record in trained.setup.folder.read_history() if record["kind"] == "step"]
    expected = [1 / 3, 2 / 3, 1, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7, 0]
    assert rates == pytest.approx([0.7e-3 * share for share in expected])


# -- the process -----------------------------------------------------------------------------------------


def test_a_diverging_run_ends_as_failed_with_the_reason(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Weights as a diverged run leaves them: the first forward pass overflows.
    broken = tmp_path / "broken"
    shutil.copytree(runs.model, broken)
    weights = safetensors.torch.load_file(broken / "model.safetensors")
    weights["encoder.layer.1.output.dense.weight"] *= 1e38
    weights["encoder.layer.1.output.dense.weight"] *= 1e3
    safetensors.torch.save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    folder = runs.queue("diverging", model=str(broken))
    assert main(folder) == 1
    state = folder.read_state()
    assert state["status"] == "failed"
    assert "are not finite: the model has diverged; lower the learning rate" in state["message"]


def test_a_cancelled_run_goes_on_and_leaves_nothing_behind(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr("ftft_core.training.__main__._LOOK_SECONDS", 0.0)
    folder = runs.queue("cancelled")
    folder.request_cancel()
    assert main(folder) == 0
    state = folder.read_state()
    assert (state["status"], state["message"]) == ("cancelled", "stopped on request; resume goes on from here")
    assert not folder.cancel_requested
    assert main(folder) == 0
    state = folder.read_state()
    assert (state["status"], state["resumed_from_step"]) == ("finished", 1)
    expected = {"run.json", "state.json", "progress.json", "history.jsonl", "outbox", "model", ".training.lock"}
    assert {path.name for path in folder.path.iterdir()} == expected


def test_two_processes_train_one_run(runs: Runs) -> None:
    folder = runs.queue("two-processes")
    # Accelerate's own launcher starts several processes on accelerators alone; torch's, which it calls, on CPUs too.
    launch = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [sys.executable, "-m", *launch, "-m", "ftft_core.training", str(folder.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        env={**environment(folder.path.parents[1]), "ACCELERATE_USE_CPU": "true"},
    )
    state = folder.read_state()
    assert (done.returncode, state["status"]) == (0, "finished"), done.stdout
    assert (state["num_processes"], state["num_optimizer_steps"], state["num_examples_seen"]) == (2, 12, 192)
    outbox = read_outbox(folder)
    for epoch in (0, 1):
        assert outbox[f"dynamics-{epoch:05d}"]["position"].tolist() == list(range(96))
    assert outbox["predictions-dev"]["position"].tolist() == list(range(40))
    assert not list(folder.path.glob("*checkpoint-*"))
    # The kept model predicts what was written: the processes' shares were put back in order.
    kept = prepare(runs.queue("kept", model=str(folder.model), layers=None))
    dev = next(split for split in kept.suite.splits if split.role == "dev")
    logits = predict(
        kept.parts.model, kept.tokenise(dev), pad_token_id=kept.pad_token_id, accelerator=kept.parts.accelerator
    )
    np.testing.assert_allclose(logits, np.stack(outbox["predictions-dev"]["logits"].to_list()), rtol=0, atol=1e-5)
