"""Ending before the budget: what decides it, what is kept, and what may not have a say in it."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from ftft_core.cli.runs import _run_values
from ftft_core.config import RunConfig, parse
from ftft_core.dynamics import DynamicsRecorder
from ftft_core.errors import InputError
from ftft_core.training import evaluating
from ftft_core.training.__main__ import main
from ftft_core.training.checkpoint import newest_checkpoint
from ftft_core.training.settling import selection_overlap
from ftft_core.training.stopping import StopState, evaluation_interval, in_words, note_overlap, note_score
from tests.conftest import write_suite_files
from tests.training_runs import (
    Runs,
    Trained,
    after,
    assert_same_tables,
    assert_same_weights,
    finish,
    interrupt,
)
from tests.ui_workspace import leave_predictions, make_workspace, queue

STEPS_PER_EPOCH = 6  # 96 examples, 16 in a batch
SECONDS = dict.fromkeys(("train_seconds", "evaluation_seconds", "snapshot_seconds"), 0.0)
BUDGET = 8 * STEPS_PER_EPOCH
# At this rate the tiny model learns within three epochs, and dev then goes up and down.
PLAIN: dict[str, Any] = {"budget": {"epochs": 8}, "learning_rate": 1e-2}
PATIENT: dict[str, Any] = {**PLAIN, "stop": "patience", "patience": 4, "evaluate_every": 4}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Runs:
    folder = tmp_path_factory.mktemp("stopping")
    return Runs(folder, write_suite_files(folder / "suite"), tiny_model)


@pytest.fixture(scope="module")
def patient(runs: Runs) -> Trained:
    """A run that loses its patience, after its best step."""
    trained = runs.train("patient", **PATIENT)
    assert trained.counters.kept_step < trained.counters.step < BUDGET
    return trained


def assert_same(run: Trained, other: Trained) -> None:
    assert_same_tables(run.outbox, other.outbox)
    assert_same_weights(run.weights, other.weights)
    assert vars(run.counters) | SECONDS == vars(other.counters) | SECONDS


def config_of(**values: Any) -> RunConfig:
    return RunConfig(suite="s", model="m", **values)


# -- from the command line ---------------------------------------------------------------------------------------------


def test_flags_of_stopping() -> None:
    given = {"suite": "s", "model": "m", "stop": "patience", "patience": "2", "min_improvement": "0.01"}
    given |= {"stop_metric": "macro_f1", "evaluate_every": "10", "snapshots": "5"}
    config = parse(RunConfig, _run_values({**given, "subset": None}), what="The run")
    expected = {"patience": 2, "evaluate_every": 10, "min_improvement": 0.01, "stop_metric": "macro_f1"}
    assert config.stop_values == {"stop": "patience", **expected}
    assert config.training.snapshots == 5
    with pytest.raises(InputError, match="No stop was given, but only stop patience knows patience; leave out one or"):
        parse(RunConfig, _run_values({"suite": "s", "model": "m", "patience": "2"}), what="The run")


# -- patience ----------------------------------------------------------------------------------------------------------


def noted(scores: list[float], **values: Any) -> tuple[StopState, list[bool]]:
    """Take in scores of dev at steps 10, 20, ...; give the state, and which weights were the best so far."""
    state, config = StopState(), config_of(stop="patience", **values)
    best = []
    for number, score in enumerate(scores, start=1):
        assert not state.has_stopped
        best.append(note_score(state, config, 10 * number, score))
    return state, best


def test_patience_ends_after_so_many_scores_that_are_no_better() -> None:
    state, best = noted([0.5, 0.7, 0.6, 0.7], patience=2)
    assert best == [True, True, False, False]
    assert (state.has_stopped, state.best_step, state.best_score, state.evaluated_step) == (True, 20, 0.7, 40)
    state, _ = noted([0.5, 0.4, 0.6, 0.5], patience=2)
    assert (state.has_stopped, state.best_step, state.num_without_improvement) == (False, 30, 1)
    state, _ = noted([0.5, 0.5], patience=1)
    assert (state.has_stopped, state.best_step) == (True, 10)


def test_a_small_gain_keeps_the_weights_but_not_the_patience() -> None:
    state, best = noted([0.5, 0.52, 0.54], patience=2, min_improvement=0.05)
    assert (best, state.has_stopped, state.best_step) == ([True, True, True], True, 30)
    # Small gains add up: 0.55 is 0.05 above the score that counted last, whatever the last bits say.
    state, _ = noted([0.5, 0.54, 0.55, 0.59], patience=2, min_improvement=0.05)
    assert (state.has_stopped, state.score_to_beat, state.num_without_improvement) == (False, 0.55, 1)


def test_dev_is_evaluated_ten_times_over_the_budget_unless_a_run_says_otherwise() -> None:
    assert evaluation_interval(config_of(stop="patience"), 376) == 38
    assert evaluation_interval(config_of(stop="patience"), 3) == 1
    assert evaluation_interval(config_of(stop="patience", evaluate_every=25), 376) == 25
    assert evaluation_interval(config_of(stop="settled"), 376) is None
    assert evaluation_interval(config_of(), 376) is None


def test_a_run_out_of_patience_keeps_its_best_model(runs: Runs, patient: Trained) -> None:
    counters, folder = patient.counters, patient.setup.folder
    curve = {record["step"]: record["accuracy"] for record in folder.read_history() if record.get("split") == "dev"}
    steps = [step for step in range(1, counters.step + 1) if step % 4 == 0 or step % STEPS_PER_EPOCH == 0]
    assert list(curve) == steps
    best = max(curve.values())
    assert counters.kept_step == next(step for step, score in curve.items() if score == best)
    # The rule by hand: four evaluations in a row that are no better than the best before them.
    without = 0
    for place, step in enumerate(steps[1:], start=1):
        without = 0 if curve[step] > max(curve[before] for before in steps[:place]) else without + 1
        assert (without == 4) == (step == counters.step)
    # Its weights are those of a run that was cut there and looked at nothing.
    cut = runs.queue("cut", **PLAIN)
    interrupt(cut, after(counters.kept_step))
    checkpoint = newest_checkpoint(cut)
    assert checkpoint is not None
    assert_same_weights(safetensors.torch.load_file(checkpoint / "model.safetensors"), patient.weights)


def test_final_scores_stand_at_the_step_that_is_kept(patient: Trained) -> None:
    for split in ("dev", "test", "shifted"):
        scores = patient.outbox[f"scores-final-{split}"]
        assert set(scores["step"]) == {patient.counters.kept_step}
        assert scores["final"].all()
    then = patient.outbox[f"scores-{patient.counters.kept_step:08d}-dev"]
    assert then["value"].tolist() == patient.outbox["scores-final-dev"]["value"].tolist()
    assert not then["final"].any()


def test_looking_at_dev_does_not_change_the_run(runs: Runs, patient: Trained) -> None:
    plain = runs.train("plain", **PLAIN)
    whole = [name for name in patient.dynamics if len(patient.outbox[name]) == 96]
    assert len(whole) == patient.counters.step // STEPS_PER_EPOCH
    assert_same_tables(*({name: each.outbox[name] for name in whole} for each in (patient, plain)))
    # Without patience dev is evaluated at the ends of epochs, for whoever watches.
    assert [name for name in plain.outbox if name.endswith("-dev") and "final" not in name] == [
        "predictions-dev", *(f"scores-{step:08d}-dev" for step in range(6, BUDGET, 6)),
    ]  # fmt: skip


def test_dev_passes_are_counted(patient: Trained) -> None:
    passes = sum(name.startswith("scores-0") for name in patient.outbox)
    dev = evaluating.TokenisedPart(patient.setup.suite.dev, patient.setup.tokenise(patient.setup.suite.dev))
    assert patient.counters.evaluation_flops == pytest.approx(passes * dev.flops(patient.setup))


@pytest.mark.parametrize("where", ["last-step", "often"])
def test_a_resumed_run_stops_at_the_same_step_with_the_same_weights(runs: Runs, patient: Trained, where: str) -> None:
    kept, last = patient.counters.kept_step, patient.counters.step
    stops = {"last-step": [last], "often": [kept, 1, last - kept - 2]}[where]
    folder = runs.queue(f"cut-{where}", **PATIENT)
    for steps in stops:
        interrupt(folder, after(steps))
    assert_same(finish(folder), patient)


def test_weights_that_were_best_after_the_checkpoint_are_not_taken_for_those_before_it(
    runs: Runs, patient: Trained
) -> None:
    """A process that was killed: the best weights of a step that is yet to be repeated lie in the folder."""
    kept = patient.counters.kept_step
    folder = runs.queue("killed", **PATIENT)
    interrupt(folder, after(kept - 1))
    old = newest_checkpoint(folder)
    assert old is not None
    before = safetensors.torch.load_file(old / "best.safetensors")
    shutil.copytree(old, folder.path / "kept", copy_function=shutil.copyfile)
    interrupt(folder, after(2))
    newer = newest_checkpoint(folder)
    assert newer is not None
    assert newer.name == f"checkpoint-{kept + 1}"
    shutil.rmtree(newer)
    (folder.path / "kept").rename(old)
    assert not torch.equal(
        before["classifier.weight"], safetensors.torch.load_file(folder.path / "best.safetensors")["classifier.weight"]
    )
    assert_same(finish(folder), patient)


def test_a_checkpoint_holds_the_best_weights_and_shares_them_with_the_folder(runs: Runs, patient: Trained) -> None:
    folder = runs.queue("shared", **PATIENT)
    interrupt(folder, after(patient.counters.kept_step + 1))
    checkpoint = newest_checkpoint(folder)
    assert checkpoint is not None
    assert (checkpoint / "best.safetensors").stat().st_nlink == 2
    assert_same_weights(safetensors.torch.load_file(checkpoint / "best.safetensors"), patient.weights)


def test_a_run_that_never_loses_its_patience_uses_its_budget_and_keeps_the_best(runs: Runs) -> None:
    trained = runs.train("never", **{**PATIENT, "patience": 100, "stop_metric": "macro_f1"})
    counters = trained.counters
    assert (counters.step, counters.stop.has_stopped, counters.stop.evaluated_step) == (BUDGET, False, BUDGET)
    curve = {r["step"]: r["macro_f1"] for r in trained.setup.folder.read_history() if r.get("split") == "dev"}
    assert counters.stop.best_score == max(curve.values()) == curve[counters.kept_step]


def test_a_finished_run_says_what_it_kept_and_leaves_nothing_behind(
    runs: Runs, patient: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    folder = runs.queue("process", **PATIENT)
    assert main(folder) == 0
    counters, state = patient.counters, folder.read_state()
    assert state["message"] == (
        f"stopped at step {counters.step} of {BUDGET} after 4 evaluations of dev without improvement; "
        f"kept step {counters.kept_step} (dev accuracy {100 * (counters.stop.best_score or 0):.1f} %)"
    )
    assert (state["kept_step"], state["num_optimizer_steps"]) == (counters.kept_step, counters.step)
    assert state["stopping_flops"] == state["evaluation_flops"] == counters.evaluation_flops > 0
    assert (state["snapshot_flops"], state["num_steps_planned"]) == (0.0, BUDGET)
    progress = folder.read_progress()
    assert (progress["fraction"], progress["seconds_left"], progress["step"]) == (1.0, 0.0, counters.step)
    expected = {"run.json", "state.json", "progress.json", "history.jsonl", "outbox", "model", ".training.lock"}
    assert {path.name for path in folder.path.iterdir()} == expected
    assert_same_weights(safetensors.torch.load_file(folder.model / "model.safetensors"), patient.weights)


# -- settling ----------------------------------------------------------------------------------------------------------


def recorder_of(gold_probabilities: list[list[float]]) -> DynamicsRecorder:
    """A recorder of two classes, all of label 0, that saw these probabilities (epochs, examples)."""
    probabilities = np.array(gold_probabilities)
    num_examples = probabilities.shape[1]
    recorder = DynamicsRecorder([str(n) for n in range(num_examples)], np.zeros(num_examples, int), num_classes=2)
    for epoch, values in enumerate(probabilities):
        recorder.record(epoch, np.arange(num_examples), np.log(np.stack([values, 1 - values], axis=1)))
    return recorder


def test_the_overlap_of_two_selections_by_hand() -> None:
    # Of six examples a third is two: the first two vary most at all times.
    steady = [[0.9, 0.1, 0.5, 0.5, 0.5, 0.5], [0.1, 0.9, 0.5, 0.5, 0.5, 0.5], [0.9, 0.1, 0.5, 0.5, 0.5, 0.5]]
    assert selection_overlap(recorder_of(steady), 1 / 3) == 1.0
    # In the third epoch the last two vary more than the first two did, which come next.
    moving = [[0.6, 0.4, 0.5, 0.5, 0.5, 0.5], [0.4, 0.6, 0.5, 0.5, 0.5, 0.5], [0.6, 0.5, 0.5, 0.5, 0.99, 0.01]]
    assert selection_overlap(recorder_of(moving), 1 / 3) == 0.0
    # Of three, 0, 1 and by its place 2 before; 0, 4 and 5 now: one of five.
    assert selection_overlap(recorder_of(moving), 1 / 2) == 1 / 5
    # Two tie, of which the first is taken before and now.
    assert selection_overlap(recorder_of([[0.5], [0.4], [0.3]]), 1 / 3) == 1.0


def test_selections_of_two_epochs_are_not_compared() -> None:
    assert selection_overlap(recorder_of([[0.9, 0.1, 0.5], [0.1, 0.9, 0.5]]), 1 / 3) is None


def test_an_overlap_that_reaches_the_threshold_ends_the_run() -> None:
    state, config = StopState(), config_of(stop="settled", settled_overlap=0.75)
    for overlap, ends in ((0.5, False), (0.74, False), (0.75, True)):
        note_overlap(state, config, overlap)
        assert state.has_stopped == ends
    assert state.overlaps == [0.5, 0.74, 0.75]


def test_a_run_whose_map_settles_ends_before_its_budget(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    settings: dict[str, Any] = {"stop": "settled", "budget": {"epochs": 5}, "learning_rate": 1e-2}
    folder = runs.queue("settled", settled_overlap=0.01, method="reference", **settings)
    assert main(folder) == 0
    state = folder.read_state()
    (overlap,) = (record for record in folder.read_history() if record["kind"] == "overlap")
    assert (overlap["step"], overlap["epoch"]) == (18, 2)
    assert state["message"] == (
        f"map settled after epoch 3 (overlap {overlap['overlap']:.2f} >= 0.01); 12 of 30 steps saved"
    )
    assert (state["num_optimizer_steps"], state["kept_step"], state["stopping_flops"]) == (18, 18, 0.0)
    names = [path.stem for path in folder.outbox_files()]
    assert [name for name in names if "dynamics" in name] == [f"dynamics-{epoch:05d}" for epoch in range(3)]
    # The final evaluation follows, so dev is not evaluated twice at the end.
    assert [name for name in names if "scores" in name] == [
        "scores-00000006-dev",
        "scores-00000012-dev",
        "scores-final-dev",
    ]


def test_a_settled_run_goes_on_from_a_checkpoint_as_it_was(runs: Runs) -> None:
    settings: dict[str, Any] = {"stop": "settled", "settled_overlap": 0.01, "budget": {"epochs": 4.5}}
    whole = runs.train("settled-whole", **settings)
    folder = runs.queue("settled-cut", **settings)
    for steps in (17, 1):
        interrupt(folder, after(steps))
    assert_same(finish(folder), whole)
    # An epoch that was cut short is not compared: it does not count.
    unsettled = runs.train("unsettled", **{**settings, "settled_overlap": 1.0, "settled_fraction": 0.5})
    assert len(unsettled.counters.stop.overlaps) == 2
    assert unsettled.counters.step == 27


def test_what_a_run_says_in_the_end() -> None:
    def said(state: StopState, step: int, **values: Any) -> str:
        return in_words(state, config_of(**values), step=step, num_steps=564)

    assert said(StopState(), 564) == ""
    best = StopState(best_step=200, best_score=0.8125)
    assert said(best, 240, stop="patience", patience=1) == (
        "stopped at step 240 of 564 after 1 evaluation of dev without improvement; kept step 200 (dev accuracy 81.2 %)"
    )
    assert said(best, 564, stop="patience", stop_metric="macro_f1") == (
        "used its 564 steps; kept step 200 (dev macro_f1 81.2 %)"
    )
    settled = StopState(has_stopped=True, overlaps=[0.5, 0.84])
    assert said(settled, 376, stop="settled", settled_overlap=0.8) == (
        "map settled after epoch 4 (overlap 0.84 >= 0.80); 188 of 564 steps saved"
    )
    assert said(StopState(overlaps=[0.5]), 564, stop="settled", settled_overlap=0.8) == (
        "the map did not settle (overlap 0.50 < 0.80 after epoch 3)"
    )
    assert said(StopState(), 188, stop="settled").startswith("the map could not settle: selections are compared from")


# -- cost --------------------------------------------------------------------------------------------------------------


def test_passes_over_dev_are_part_of_the_cost_where_they_decide(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, with_comparison=False)
    model = Path(workspace.run("map-run")["model"])
    facts = {"patient": {"stopping_flops": 5e8, "stopping_seconds": 2.0, "kept_step": 20}, "plain": {}}
    for seed, (name, its_facts) in enumerate(facts.items()):
        run_id = queue(workspace, model, name=name, method="erm", seed=seed)
        leave_predictions(workspace, run_id, skill=0.9, seed=seed)
        folder = workspace.run_folder(run_id)
        progress = {"step": 30, "num_steps": 40, "train_flops": 6e9, "train_seconds": 12.0, "evaluation_flops": 5e8}
        folder.write_progress({**progress, "examples_seen": 960})
        folder.set_status("finished", "said", snapshot_flops=1e9, **its_facts)
    workspace.sync()
    assert workspace.total_flops("patient") == 6.5e9
    assert workspace.total_flops("plain") == 6e9
    costs = workspace.compare("toy").costs
    assert (costs["flops"].tolist(), costs["seconds"].tolist()) == ([6.25e9], [13.0])
    row = workspace.run("patient")
    assert (row["kept_step"], row["num_optimizer_steps"], row["num_steps_planned"]) == (20, 30, 40)
    assert (row["stopping_flops"], row["snapshot_flops"], row["message"]) == (5e8, 1e9, "said")
    assert workspace.run("plain")["stopping_flops"] is None
