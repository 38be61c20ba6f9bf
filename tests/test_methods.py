"""Methods that a reference guides: what they take from it, that training uses it, and what it costs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from torch.utils.flop_counter import FlopCounterMode

from ftft_core.config import METHODS, RunConfig, parse
from ftft_core.errors import InputError, RunError
from ftft_core.evaluation import predict
from ftft_core.methods import GUIDED_METHODS, REFERENCE_METHODS
from ftft_core.objectives import OBJECTIVES
from ftft_core.run_folder import write_parquet
from ftft_core.selection import Recipe
from ftft_core.training.checkpoint import newest_checkpoint
from ftft_core.training.loop import forward
from ftft_core.training.orders import ORDERS
from ftft_core.training.setup import prepare
from ftft_core.workspace import Workspace
from ftft_core.workspace.guides import GUIDES
from tests.conftest import write_suite_files
from tests.training_runs import Runs, Trained, after, assert_same_tables, assert_same_weights, finish, interrupt
from tests.ui_workspace import LABELS, NUM_EPOCHS, NUM_TRAIN, leave_dynamics, make_workspace, queue
from tests.ui_workspace import finish as finish_run

NUM_EXAMPLES = 96  # six batches of 16


def test_every_method_has_what_it_needs() -> None:
    assert set(GUIDES) == GUIDED_METHODS == {"jtt", "poe", "curriculum"}
    assert set(OBJECTIVES) | set(ORDERS) <= set(METHODS)
    assert {"ftft", "cartography", "hard", "easy", "forgetting", "el2n", "aum"} == REFERENCE_METHODS - GUIDED_METHODS


# -- training ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Runs:
    folder = tmp_path_factory.mktemp("methods")
    return Runs(folder, write_suite_files(folder / "suite"), tiny_model)


def made_up(seed: int = 0) -> dict[str, np.ndarray]:
    """What a reference might say of the examples."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (NUM_EXAMPLES, 2))
    return {
        "confidence": generator.random(NUM_EXAMPLES).astype(np.float32),
        "weight": np.where(generator.random(NUM_EXAMPLES) < 0.3, 5, 1).astype(np.float32),
        "log_probabilities": (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float32),
    }


COLUMN_OF = {"jtt": "weight", "poe": "log_probabilities", "curriculum": "confidence"}


def guide_for(method: str) -> pa.Table | None:
    if method not in COLUMN_OF:
        return None
    values = made_up()[COLUMN_OF[method]]
    column = pa.array(values.tolist(), pa.list_(pa.float32()) if values.ndim == 2 else pa.float32())
    return pa.table({"position": pa.array(np.arange(NUM_EXAMPLES)), COLUMN_OF[method]: column})


@pytest.fixture(scope="module")
def plain(runs: Runs) -> Trained:
    return runs.train("plain", budget={"epochs": 2.5})


@pytest.mark.parametrize("method", ["jtt", "poe", "focal", "curriculum"])
def test_a_resumed_run_gives_the_same_bits(runs: Runs, plain: Trained, method: str) -> None:
    values: dict[str, Any] = {"method": method, "budget": {"epochs": 2.5}, "guide": guide_for(method)}
    if method in GUIDED_METHODS:
        values["reference"] = "r00000000"
    whole = runs.train(f"{method}-whole", **values)
    folder = runs.queue(f"{method}-cut", **values)
    for steps in (4, 5):
        interrupt(folder, after(steps))
    resumed = finish(folder)
    assert_same_tables(resumed.outbox, whole.outbox)
    assert_same_weights(resumed.weights, whole.weights)
    # And it is not plain fine-tuning.
    assert any(not torch.equal(plain.weights[name], whole.weights[name]) for name in plain.weights)
    assert (whole.counters.step, whole.counters.examples_seen) == (15, plain.counters.examples_seen)


def test_losses_are_told_what_the_reference_says_of_their_own_examples(runs: Runs) -> None:
    """On a subset, whose rows are not those of the training split."""
    positions = np.array([3, 4, 10, 41, 42, 43, 77, 95])
    subset = pa.table({"position": positions, "weight": np.full(8, 2.0)})
    folder = runs.queue("poe-subset", method="poe", reference="r0", subset=subset, guide=guide_for("poe"))
    setup = prepare(folder)
    (batch,) = setup.order.epoch(0)
    logits, losses, weights = forward(setup, batch)
    rows = positions[batch.rows]
    both = logits.detach().cpu().numpy() + made_up()["log_probabilities"][rows]
    gold = (runs.suite.train.examples["label"] == "positive").to_numpy().astype(int)[rows]
    by_hand = np.log(np.exp(both).sum(axis=1)) - both[np.arange(8), gold]
    np.testing.assert_allclose(losses.detach().cpu().numpy(), by_hand, rtol=1e-5)
    assert weights.tolist() == [2.0] * 8


def test_weights_of_errors_multiply_those_of_a_subset(runs: Runs) -> None:
    positions = np.array([0, 5, 9, 50])
    subset = pa.table({"position": positions, "weight": [1.0, 2.0, 0.0, 1.0]})
    folder = runs.queue("jtt-subset", method="jtt", reference="r0", subset=subset, guide=guide_for("jtt"))
    expected = made_up()["weight"][positions] * [1, 2, 0, 1]
    assert prepare(folder).data.weights.tolist() == expected.tolist()


def test_a_run_without_its_guide_is_not_taken_for_plain_fine_tuning(runs: Runs) -> None:
    with pytest.raises(InputError, match=r"guide\.parquet, which its method needs, is missing; queue the run again"):
        prepare(runs.queue("lost-guide", method="poe", reference="r0"))


def test_epochs_of_a_curriculum_leave_what_they_saw(runs: Runs) -> None:
    trained = runs.train(
        "short", method="curriculum", reference="r0", guide=guide_for("curriculum"), budget={"epochs": 3}
    )
    assert [len(table) for table in trained.dynamics.values()] == [
        len(set(np.concatenate([batch.rows for batch in trained.setup.order.epoch(epoch)]))) for epoch in range(3)
    ]
    assert len(trained.outbox["dynamics-00000"]) < NUM_EXAMPLES
    assert len(trained.outbox["dynamics-00002"]) == NUM_EXAMPLES


# -- the pass that finds a reference's errors --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def looking(runs: Runs) -> Trained:
    return runs.train("looking", method="reference", error_pass=True)


def errors_of(trained: Trained) -> pa.Table:
    return pq.read_table(trained.setup.folder.errors)


def test_looking_for_errors_changes_nothing_in_the_run(runs: Runs, looking: Trained) -> None:
    blind = runs.train("blind", method="reference")
    assert_same_tables(looking.outbox, blind.outbox)
    assert_same_weights(looking.weights, blind.weights)
    seconds = {"train_seconds": 0.0, "evaluation_seconds": 0.0}
    assert vars(looking.counters) | seconds == vars(blind.counters) | seconds
    assert not blind.setup.folder.errors.exists()


def test_errors_are_those_of_the_weights_after_the_first_epoch_without_dropout(
    tmp_path: Path, tiny_model: Path
) -> None:
    runs = Runs(tmp_path, write_suite_files(tmp_path / "suite", num_train=480), tiny_model)
    # Small steps, and many of them: the model has learnt something, and not all.
    training = {"batch_size": 2, "learning_rate": 5e-4, "warmup_fraction": 0.1}
    folder = runs.queue("looking", method="reference", error_pass=True, budget={"max_steps": 242}, **training)
    interrupt(folder, after(240))
    checkpoint = newest_checkpoint(folder)
    assert checkpoint is not None
    setup = prepare(folder)
    safetensors.torch.load_model(setup.parts.model, str(checkpoint / "model.safetensors"))
    with FlopCounterMode(display=False) as counter:
        logits = predict(setup.parts.model, setup.data.tokens, pad_token_id=0, accelerator=setup.parts.accelerator)
    wrong = logits.argmax(axis=1) != setup.data.labels
    assert 20 < wrong.sum() < 120
    table = errors_of(finish(folder))
    assert table["position"].to_pylist() == list(range(480))
    assert table["is_error"].to_pylist() == wrong.tolist()
    assert float(table.schema.metadata[b"flops"]) == counter.get_total_flops()
    assert float(table.schema.metadata[b"seconds"]) > 0


@pytest.mark.parametrize("stops", [(3,), (6,), (9,)], ids=["before", "at-its-step", "after"])
def test_errors_are_the_same_after_a_resume(runs: Runs, looking: Trained, stops: tuple[int, ...]) -> None:
    folder = runs.queue(f"looking-cut-{stops[0]}", method="reference", error_pass=True)
    for steps in stops:
        interrupt(folder, after(steps))
    resumed = finish(folder)
    assert errors_of(resumed).equals(errors_of(looking))
    assert_same_weights(resumed.weights, looking.weights)
    assert_same_tables(resumed.outbox, looking.outbox)


def test_a_budget_below_an_epoch_can_not_look_for_errors(runs: Runs) -> None:
    with pytest.raises(InputError, match=r"first epoch \(6 steps\), but the budget is 5; give at least one epoch"):
        prepare(runs.queue("too-short", method="reference", error_pass=True, budget={"max_steps": 5}))
    with pytest.raises(InputError, match=r"the budget of 0\.5 epochs ends before; give at least 1"):
        parse(RunConfig, {"suite": "s", "model": "m", "error_pass": True, "budget": {"epochs": 0.5}}, what="The run")


# -- what is taken from a reference ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("guides"), with_comparison=False)


@pytest.fixture
def workspace(toy: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(toy.folder, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def config_for(workspace: Workspace, method: str, **values: Any) -> RunConfig:
    model = workspace.run("map-run")["model"]
    known = {"suite": "toy", "model": model, "method": method, "reference": "map-run", "budget": {"max_steps": 8}}
    return parse(RunConfig, {**known, **values}, what="The run")


def queued_guide(workspace: Workspace, config: RunConfig) -> pa.Table:
    return pq.read_table(workspace.run_folder(workspace.queue_run(config)).guide)


def test_the_expert_is_the_references_last_counted_epoch(workspace: Workspace) -> None:
    guide = queued_guide(workspace, config_for(workspace, "poe"))
    dynamics = workspace.dynamics("map-run")
    assert dynamics.label_names == LABELS
    last = dynamics.logits[NUM_EPOCHS - 1].astype(np.float64)
    expected = last - np.log(np.exp(last).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(np.stack(guide["log_probabilities"].to_pylist()), expected, atol=1e-6)
    assert guide["position"].to_pylist() == list(range(NUM_TRAIN))


def test_a_last_epoch_that_was_cut_short_is_no_expert(workspace: Workspace) -> None:
    before = queued_guide(workspace, config_for(workspace, "poe"))
    table = {"epoch": pa.array([NUM_EPOCHS], pa.int32()), "position": [0], "logits": pa.array([[9.0, -9.0]])}
    write_parquet(workspace.run_folder("map-run").outbox / "dynamics-00004.parquet", pa.table(table))
    workspace.sync()
    assert queued_guide(workspace, config_for(workspace, "poe")).equals(before)


def test_a_curriculum_goes_by_the_references_confidence(workspace: Workspace) -> None:
    guide = queued_guide(workspace, config_for(workspace, "curriculum"))
    np.testing.assert_allclose(guide["confidence"].to_numpy(), workspace.map_frame("map-run")["confidence"], rtol=1e-6)


def leave_errors(workspace: Workspace, *, flops: float) -> list[bool]:
    is_error = [position % 7 == 0 for position in range(NUM_TRAIN)]
    table = pa.table({"position": pa.array(range(NUM_TRAIN), pa.int64()), "is_error": is_error})
    cost = {"flops": repr(flops), "seconds": "2.5"}
    write_parquet(workspace.run_folder("map-run").errors, table.replace_schema_metadata(cost))
    return is_error


def test_errors_weigh_more_and_only_jtt_pays_for_finding_them(workspace: Workspace) -> None:
    is_error = leave_errors(workspace, flops=3e8)
    run_id = workspace.queue_run(config_for(workspace, "jtt"))
    guide = pq.read_table(workspace.run_folder(run_id).guide)
    assert guide["weight"].to_pylist() == [5.0 if wrong else 1.0 for wrong in is_error]
    heavier = queued_guide(workspace, config_for(workspace, "jtt", error_weight=20))
    assert set(heavier["weight"].to_pylist()) == {1.0, 20.0}
    poe = workspace.queue_run(config_for(workspace, "poe"))
    for run in (run_id, poe):
        finish_run(workspace, run, flops=4e9)
    # Its own training, its reference's (1e9), and the pass.
    assert workspace.total_flops(run_id) == pytest.approx(4e9 + 1e9 + 3e8)
    assert workspace.total_flops(poe) == pytest.approx(4e9 + 1e9)
    row = workspace.run(run_id)
    assert (row["fraction"], row["subset"], row["selecting_flops"], row["selecting_seconds"]) == (1.0, None, 3e8, 2.5)


def test_a_run_keeps_what_it_took_whatever_becomes_of_the_reference(workspace: Workspace) -> None:
    run_id = workspace.queue_run(config_for(workspace, "poe"))
    before = pq.read_table(workspace.run_folder(run_id).guide)
    leave_dynamics(workspace, "map-run")
    workspace.sync()
    assert pq.read_table(workspace.run_folder(run_id).guide).equals(before)


def test_a_reference_that_cannot_guide_is_refused(workspace: Workspace) -> None:
    with pytest.raises(RunError, match=r"did not find out which training examples it gets wrong .* --error-pass true"):
        workspace.queue_run(config_for(workspace, "jtt"))
    for method in sorted(GUIDED_METHODS):
        with pytest.raises(InputError, match=f"Method '{method}' needs a run that has learnt the same data before"):
            workspace.queue_run(config_for(workspace, method, reference=None))
    model = Path(workspace.run("map-run")["model"])
    unfinished = queue(workspace, model, name="unfinished", method="reference")
    with pytest.raises(RunError, match="'unfinished' is queued; method poe needs all that it learns"):
        workspace.queue_run(config_for(workspace, "poe", reference="unfinished"))
    finish_run(workspace, unfinished, flops=1e9)
    with pytest.raises(RunError, match="'unfinished' ended before any epoch had seen every example"):
        workspace.queue_run(config_for(workspace, "curriculum", reference="unfinished"))
    names = set(workspace.runs()["name"])
    assert names == {"map-run", "unfinished"}, "nothing is left of what was refused"


def test_a_reference_that_knows_a_part_of_the_examples_guides_a_run_on_them_alone(workspace: Workspace) -> None:
    subset = workspace.save_subset(Recipe(strategy="random", fraction=0.5, seed=1), suite="toy", name="half")
    model = Path(workspace.run("map-run")["model"])
    part = queue(workspace, model, name="part", method="random", subset=subset.subset)
    known = workspace.map_frame("map-run").set_index("example_id")["position"]
    positions = sorted(known[workspace.subset_examples("half")["example_id"]])
    logits = [[0.1 * position, 0.0] for position in positions]
    table = {"epoch": pa.array([0] * len(positions), pa.int32()), "position": positions, "logits": pa.array(logits)}
    write_parquet(workspace.run_folder(part).outbox / "dynamics-00000.parquet", pa.table(table))
    finish_run(workspace, part, flops=1e9)
    with pytest.raises(InputError, match="'part' was not trained on 120 of the 240 examples of this run"):
        workspace.queue_run(config_for(workspace, "poe", reference="part"))
    guide = queued_guide(workspace, config_for(workspace, "poe", reference="part", subset="half"))
    assert guide["position"].to_pylist() == positions


# -- configuration -----------------------------------------------------------------------------------------------------


def test_the_weight_of_errors_is_jtts_alone() -> None:
    values = {"suite": "s", "model": "m", "budget": {"max_steps": 1}}
    assert parse(RunConfig, {**values, "method": "jtt"}, what="It").error_weight == 5.0
    assert parse(RunConfig, {**values, "method": "jtt", "error_weight": 50}, what="It").error_weight == 50.0
    assert parse(RunConfig, values, what="It").error_weight is None
    with pytest.raises(InputError, match="The method is erm, but only method jtt knows error_weight"):
        parse(RunConfig, {**values, "error_weight": 5}, what="It")
    with pytest.raises(InputError, match=r"error_weight: received 0\.5; it must be at least 1"):
        parse(RunConfig, {**values, "method": "jtt", "error_weight": 0.5}, what="It")
