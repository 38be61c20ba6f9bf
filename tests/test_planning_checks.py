"""What can't work is refused before anything is spent: every reason by itself, and all of them at once."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ftft_core.config import TRACKERS, missing_trackers
from ftft_core.errors import InputError, NameTakenError, NotFoundError
from ftft_core.planning import checks
from ftft_core.planning.models import read_model_files, supported_architectures
from ftft_core.workspace import Workspace
from tests.planning_workspace import change_config, config, make_planning_workspace, spoilt, with_head


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Workspace:
    return make_planning_workspace(tmp_path_factory.mktemp("planning"), tiny_model)


def problems_of(workspace: Workspace, folder: Path, /, **changes: Any) -> tuple[str, ...]:
    asked = {"suite": "reviews", "model": str(folder), "batch_size": 16} | changes
    return workspace.plan([asked]).problems


def test_what_works_has_no_problem(workspace: Workspace, tiny_model: Path) -> None:
    plan = workspace.plan([config(tiny_model), config(tiny_model, seed=1, subset="third", method="random")])
    assert (plan.problems, plan.remarks) == ((), ())
    assert (plan.num_runs, plan.num_steps, plan.is_measured) == (2, 12 + 4, False)
    assert (plan.train_flops, plan.seconds, plan.erm_share, plan.peak_memory_bytes) == (None, None, None, None)
    assert plan.words == "2 runs, 16 steps, not measured yet"


NOT_INSTALLED = next((name for name in TRACKERS if missing_trackers([name])), "")
"""A tracker that this environment lacks."""

REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown suite": ({"suite": "review"}, r"There is no suite 'review' .* Did you mean 'reviews'\?"),
    "missing folder": ({"model": "/nowhere/model"}, "Model '/nowhere/model': there is no such folder"),
    "unknown on the hub": ({"model": "nobody/nothing"}, "Model 'nobody/nothing' is neither a folder here nor a known"),
    "too many layers": ({"layers": 9}, r"layers: received 9, but model '.*tiny' has 4; allowed is 1 to 4\."),
    "unknown subset": ({"subset": "thirt"}, "There is no subset 'thirt'"),
    "subset of another suite": ({"subset": "foreign"}, "Subset 'foreign' is of suite 'other', not of 'reviews'"),
    "no subset for random": ({"method": "random"}, "Method 'random' trains on a part of the examples, but no subset"),
    "no subset for ftft": ({"method": "ftft", "reference": "taken"}, "Method 'ftft' trains on a part of the examples"),
    "no reference": ({"method": "ftft", "subset": "third"}, "Method 'ftft' needs to know which run's dynamics chose"),
    "no guide": ({"method": "poe"}, "Method 'poe' needs a run that has learnt the same data before"),
    "unknown reference": ({"reference": "takn"}, "There is no run 'takn'"),
    "reference on another suite": ({"reference": "elsewhere"}, "Reference 'elsewhere' is a run on suite 'other'"),
    "two budgets": ({"epochs": 2, "max_steps": 3}, r"exactly one of epochs, max_steps and max_flops; received epochs"),
    "settled too soon": (
        {"stop": "settled", "epochs": 2},
        "Stop settled compares selections from epoch 3 on, but the budget is 2 epochs",
    ),
    "settled too few steps": (
        {"stop": "settled", "max_steps": 17},
        "budget: received max_steps 17, but stop settled .* which ends with step 18; give at least that",
    ),
    "wrong value": ({"learning_rate": -1}, r"learning_rate: received -1; it must be above 0\."),
    "unknown field": ({"learning_rat": 1}, "learning_rat: unknown key"),
    "unknown tracker": ({"trackers": "wandbb"}, r"There is no tracker 'wandbb' \(known: wandb, mlflow, tensorboard"),
    "tracker that is not installed": (
        {"trackers": ["tensorboard", NOT_INSTALLED]},
        f"trackers: received {NOT_INSTALLED}, but the package {NOT_INSTALLED} is not installed; install it with",
    ),
    "unknown precision": ({"precision": "fp8"}, "There is no precision 'fp8'"),
    "name in use": ({"name": "taken"}, "A run named 'taken' is there already"),
    "texts longer than positions": (
        {"suite": "long"},
        r"max_length: received 128, but model '.*' takes at most 64 tokens, and a text of split 'train' has \d+ words; "
        "lower max_length to 64",
    ),
    "test texts longer than positions": ({"suite": "long-test"}, "a text of split 'essays' has"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refused(workspace: Workspace, tiny_model: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
    changes, message = REFUSALS[case]
    if case == "tracker that is not installed" and not NOT_INSTALLED:
        pytest.skip("every tracker is installed")
    problems = problems_of(workspace, tiny_model, **changes)
    assert len(problems) == 1, problems
    assert re.search(message, problems[0]), problems[0]


@pytest.mark.parametrize(
    "changes", [{"suite": "long", "max_length": 64}, {"suite": "long-test", "method": "reference"}]
)
def test_long_texts_are_no_problem_where_they_are_cut_or_not_read(
    workspace: Workspace, tiny_model: Path, changes: dict[str, Any]
) -> None:
    assert problems_of(workspace, tiny_model, **changes) == ()


def _remove(*names: str) -> Callable[[Path], object]:
    return lambda folder: [(folder / name).unlink(missing_ok=True) for name in names]


def _pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def _cut_off(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def _shards(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    text = '{"weight_map": {"a": "model-00001-of-00002.safetensors"}}'
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (_remove("config.json"), "the folder has no config.json"),
    "no tokenizer": (
        _remove("tokenizer.json", "vocab.txt"),
        "has no tokenizer: none of its files holds a vocabulary",
    ),
    "no weights": (_remove("model.safetensors"), r"has no weights as safetensors \(none\)"),
    "pickled weights": (_pickle, "its weights are pickled"),
    "cut off": (_cut_off, r"its weights can't be read: model\.safetensors has [\d,]+ bytes where its header speaks of"),
    "an error page": (
        lambda folder: (folder / "model.safetensors").write_text("<html>not found</html>" * 9, encoding="utf-8"),
        r"model\.safetensors is not a safetensors file",
    ),
    "missing shard": (_shards, r"model-00001-of-00002\.safetensors is missing"),
    "images": (lambda folder: change_config(folder, model_type="vit"), "is of the architecture 'vit', for which"),
    "no layers": (lambda folder: change_config(folder, num_hidden_layers=0), "does not say how many layers it has"),
    "labels in another order": (
        lambda folder: with_head(folder, "positive", "negative"),
        r"has a head for the labels positive, negative, in this order; the suite's order is negative, positive\.",
    ),
    "other labels": (
        lambda folder: with_head(folder, "hate", "fine"),
        "has a head for the labels hate, fine, in this order; the suite's labels are negative, positive",
    ),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_model_that_cannot_work_is_refused(workspace: Workspace, tiny_model: Path, tmp_path: Path, case: str) -> None:
    spoil, message = SPOILT[case]
    problems = problems_of(workspace, spoilt(tiny_model, tmp_path / "model", spoil))
    assert len(problems) == 1, problems
    assert re.search(message, problems[0]), problems[0]


@pytest.mark.parametrize(
    "labels", [("NEGATIVE", "Positive"), ("LABEL_0", "LABEL_1"), ("no", "perhaps", "yes")], ids=lambda each: each[0]
)
def test_heads_that_fit_or_are_replaced_are_no_problem(
    workspace: Workspace, tiny_model: Path, tmp_path: Path, labels: tuple[str, ...]
) -> None:
    model = spoilt(tiny_model, tmp_path / "model", lambda folder: with_head(folder, *labels))
    plan = workspace.plan([config(model)])
    assert plan.problems == ()
    said = "brings a head for no, perhaps, yes; it is replaced by a new one for negative, positive"
    assert [said in remark for remark in plan.remarks] == ([True] if len(labels) == 3 else [])


def test_a_file_is_no_model(workspace: Workspace, tiny_model: Path) -> None:
    (problem,) = problems_of(workspace, tiny_model / "config.json")
    assert "is a file; give the folder that holds its config.json" in problem


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA does fp16")
def test_a_precision_that_the_device_cannot_do_is_refused(workspace: Workspace, tiny_model: Path) -> None:
    (problem,) = problems_of(workspace, tiny_model, precision="fp16")
    assert re.fullmatch(r"precision: fp16 needs CUDA, but this machine's device is \w+; use bf16 or fp32\.", problem)


def test_a_model_larger_than_memory_is_refused_whatever_its_batch(
    workspace: Workspace, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "free_memory_mib", lambda: 0.25)
    (problem,) = problems_of(workspace, tiny_model)
    assert re.search(r"takes about .* MiB, but 0\.25 MiB are free; not even batches of one example would fit", problem)


def test_a_disk_too_small_for_checkpoints_is_refused(
    workspace: Workspace, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "free_disk_mib", lambda _: 0.5)
    (problem,) = problems_of(workspace, tiny_model)
    assert re.search(r"disk: the checkpoints and the model of a run take up to .* MiB, but .* are free on", problem)
    monkeypatch.setattr(checks, "free_disk_mib", lambda _: 5.0)
    assert problems_of(workspace, tiny_model) == ()


def test_a_suite_without_texts_is_refused(workspace: Workspace, tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(workspace.folder, tmp_path / "workspace")
    copied = Workspace(tmp_path / "workspace")
    shutil.rmtree(copied.folder / "suites" / copied.suite_facts("other")["fingerprint"])
    (problem,) = problems_of(copied, tiny_model, suite="other")
    assert "Suite 'other' has no texts" in problem


def test_runs_of_one_plan_cannot_share_a_name(workspace: Workspace, tiny_model: Path) -> None:
    plan = workspace.plan([config(tiny_model, seed=seed, name="same") for seed in (0, 1)])
    assert plan.problems == ("name: 2 of these runs would be named 'same'; leave the name out, or give each its own.",)


def test_all_reasons_come_at_once_and_training_gives_the_same(
    workspace: Workspace, tiny_model: Path, tmp_path: Path
) -> None:
    model = spoilt(tiny_model, tmp_path / "model", _remove("tokenizer.json", "vocab.txt", "model.safetensors"))
    with_head(model, "hate", "fine")
    asked = config(model, layers=9, subset="foreign", reference="elsewhere", name="taken", precision="bf16")
    wanted = (
        *("Subset 'foreign'", "Reference 'elsewhere'", "A run named 'taken'", "has no tokenizer", "has no weights"),
        *("layers: received 9", "has a head for the labels"),
    )
    problems = workspace.plan([asked]).problems
    assert len(problems) == len(wanted)
    assert all(any(part in problem for problem in problems) for part in wanted), problems
    with pytest.raises(InputError, match=f"The run can't work, for {len(wanted)} reasons") as caught:
        workspace.submit(asked)
    assert tuple(caught.value.problems) == problems


def test_what_is_misspelt_does_not_hide_the_rest(workspace: Workspace, tiny_model: Path) -> None:
    problems = problems_of(
        workspace, tiny_model, learning_rate="fast", max_length=2, epochs=1, max_steps=1, layers=9, subset="none"
    )
    parts = ("learning_rate: received 'fast'", "max_length: received 2", "exactly one of", "layers: received 9")
    assert all(any(part in problem for problem in problems) for part in (*parts, "There is no subset 'none'")), problems
    assert len(problems) == 5
    assert workspace.plan([{"suite": "reviews"}]).problems == ("model: is required, but missing.",)


@pytest.mark.parametrize(
    ("changes", "error"), [({"suite": "nosuch"}, NotFoundError), ({"name": "taken"}, NameTakenError)]
)
def test_a_single_reason_keeps_its_kind(
    workspace: Workspace, tiny_model: Path, changes: dict[str, Any], error: type[InputError]
) -> None:
    with pytest.raises(error):
        workspace.submit(config(tiny_model, **changes))


def test_what_a_model_says_is_read_from_its_files(tiny_model: Path, tmp_path: Path) -> None:
    files = read_model_files(str(tiny_model))
    tensors = load_file(tiny_model / "model.safetensors")
    assert files.num_parameters(None) == sum(tensor.numel() for tensor in tensors.values())
    kept = sum(tensor.numel() for name, tensor in tensors.items() if not re.search(r"layer\.[23]\.", name))
    assert files.num_parameters(2) == kept
    assert (files.num_layers, files.longest_input, files.head_labels) == (4, 64, None)
    roberta = spoilt(
        tiny_model,
        tmp_path / "roberta",
        lambda folder: change_config(folder, model_type="roberta", max_position_embeddings=514, pad_token_id=1),
    )
    assert read_model_files(str(roberta)).longest_input == 512


def test_the_list_of_architectures_is_that_of_transformers() -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

    assert supported_architectures() == set(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES)
