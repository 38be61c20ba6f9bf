"""The programs that prepare suites and models for the recipes of results, and those that look at maps."""

from __future__ import annotations

import importlib
import struct
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from ftft_core.suites import load_suite, read_suite
from ftft_core.workspace import Workspace
from tests.conftest import ROOT
from tests.transfer_workspace import MAIN, MAIN_RUNS, SMALL, SMALL_RUNS, make_transfer_workspace
from tests.ui_workspace import NUM_TRAIN, make_workspace

SIZES = {"train": 60, "dev": 20, "forum": 30, "checks": 45}
SPEC = """\
text: [first, second]
label: label
labels: [no, maybe, yes]
train: train.csv
dev: dev.csv
in_distribution: {forum: forum.csv}
out_of_distribution:
  checks: {file: checks.csv, group: kind, label_map: {other: [no, maybe]}}
"""


@pytest.fixture(autouse=True)
def programs() -> Iterator[None]:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield
    sys.path.remove(str(ROOT / "benchmarks"))


def program(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    for split, size in SIZES.items():
        frame = pd.DataFrame({"first": [f'{split} "{row}",\nand so on' for row in range(size)]})
        frame["second"] = "null"
        frame["label"] = ["yes" if row % 3 == 0 else ("no", "maybe")[row % 2] for row in range(size)]
        if split == "checks":
            frame["kind"] = [f"kind {row % 5}" for row in range(size)]
            frame["label"] = frame["label"].replace({"no": "other", "maybe": "other"})
        frame.to_csv(tmp_path / f"{split}.csv", index=False)
    (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
    return tmp_path / "spec.yaml"


def test_a_smaller_suite_keeps_ids_texts_labels_groups_and_shares(spec: Path, tmp_path: Path) -> None:
    whole = load_suite("whole", spec)
    sizes = program("suites").write_sample(whole, tmp_path / "small", train=20, test=25, seed=0)
    small = load_suite("small", tmp_path / "small" / "spec.yaml")
    assert sizes == {"train": "20 of 60", "dev": "20 of 20", "forum": "25 of 30", "checks": "25 of 45"}
    assert small.labels == whole.labels
    for split in small.splits:
        original = whole.split(split.name)
        assert (split.role, split.label_map) == (original.role, original.label_map)
        rows = original.examples.set_index("example_id").loc[split.examples["example_id"]].reset_index()
        pd.testing.assert_frame_equal(split.examples, rows[split.examples.columns], check_dtype=False)
        assert list(rows.index) == sorted(rows.index)
    assert small.train.examples["label"].value_counts().to_dict() == {"maybe": 7, "no": 7, "yes": 6}
    assert small.split("checks").examples["group"].value_counts().tolist() == [5] * 5


def test_a_sample_is_the_same_every_time_and_another_one_with_another_seed(spec: Path) -> None:
    examples = load_suite("whole", spec).train.examples
    sampled_rows = program("suites").sampled_rows
    rows = sampled_rows(examples, 20, seed=0, split="train")
    assert list(rows) == list(sampled_rows(examples, 20, seed=0, split="train"))
    assert list(rows) != list(sampled_rows(examples, 20, seed=1, split="train"))
    assert list(sampled_rows(examples, 60, seed=0, split="train")) == list(range(60))


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def piece(number: int, value: int | bytes) -> bytes:
    """A field of a protocol buffer, written by hand."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


@pytest.mark.parametrize("packed", [False, True])
def test_tensors_and_nodes_of_onnx_are_read(packed: bool) -> None:
    values = np.arange(600, dtype="<f4").reshape(2, 300)
    dims = piece(1, varint(2) + varint(300)) if packed else piece(1, 2) + piece(1, 300)
    tensor = dims + piece(2, 1) + piece(8, b"weight") + piece(9, values.tobytes())
    whole_numbers = piece(1, 1) + piece(2, 7) + piece(8, b"shape") + piece(9, struct.pack("<q", 3))
    node = piece(1, b"x") + piece(1, b"weight") + piece(2, b"y") + piece(3, b"/layer/MatMul") + piece(4, b"MatMul")
    content = piece(1, 8) + piece(7, piece(1, node) + piece(5, tensor) + piece(5, whole_numbers))
    nodes, tensors = program("models").read_onnx(content)
    assert nodes == [{"name": "/layer/MatMul", "op_type": "MatMul", "input": ["x", "weight"]}]
    assert list(tensors) == ["weight"]
    np.testing.assert_array_equal(tensors["weight"], values)


def test_a_wheel_is_found_by_its_version(tmp_path: Path) -> None:
    (tmp_path / "Some_Model-1.0.2-py3-none-any.whl").touch()
    find_wheel = program("models").find_wheel
    assert find_wheel(tmp_path, "some-model==1.0.2") is not None
    assert find_wheel(tmp_path, "some-model==1.0") is None


def test_averages_of_maps_are_held_against_main_runs_of_other_seeds(tmp_path: Path) -> None:
    workspace = make_transfer_workspace(tmp_path)
    rows = pd.DataFrame(program("averages").rows_of(workspace, "toy", 1 / 3))
    assert set(rows["main"]) == {MAIN}
    tops = {run: top_third(workspace.data_map(run)["variability"]) for run in (*MAIN_RUNS, *SMALL_RUNS)}
    by_score = rows[rows["score"] == "variability"].set_index(["average", "num_averaged", "num_main"])
    one = by_score.loc[(SMALL, 1, 1)]
    apart = [("small-0", "main-1"), ("small-0", "main-2"), ("small-1", "main-0"), ("small-1", "main-2")]
    assert one["overlap"] == pytest.approx(np.mean([overlap(tops[a], tops[b]) for a, b in apart]))
    assert one["num_comparisons"] == 4
    both = by_score.loc[(SMALL, 2, 1)]  # a single seed of the main model is in neither
    mean = sum(workspace.data_map(run)["variability"] for run in SMALL_RUNS) / 2
    assert both["overlap"] == pytest.approx(overlap(top_third(mean), tops["main-2"]))
    assert both["overlap_of_one"] == pytest.approx(np.mean([overlap(tops[run], tops["main-2"]) for run in SMALL_RUNS]))
    assert both["cost_share"] == pytest.approx(0.5)
    assert (SMALL, 2, 2) not in by_score.index
    assert both["chance"] == pytest.approx(0.2)


def test_variants_of_the_selection_can_be_made(tmp_path: Path) -> None:
    workspace = make_transfer_workspace(tmp_path)
    runs = [str(workspace.run(each)["run_id"]) for each in SMALL_RUNS]
    sizes = {}
    for name, variant in program("tuning").VARIANTS.items():
        sizes[name] = workspace.find_or_save_subset(variant.choose(runs, 0), suite="toy").size / NUM_TRAIN
        assert 0 < variant.share_of_steps <= 1 / 3
    others = {"a fifth, stopped after a fifth": 0.2, "half of the data": 0.5, "two thirds of the data": 2 / 3}
    others |= {"without the hardest tenth": 0.9, "without the easiest third": 2 / 3}
    assert {name: sizes.pop(name) for name in others} == pytest.approx(others, abs=0.01)
    assert list(sizes.values()) == pytest.approx([1 / 3] * len(sizes), abs=0.05)


@pytest.mark.parametrize("is_pair", [False, True])
def test_what_is_tuned_has_no_test_split_to_look_at(spec: Path, tmp_path: Path, is_pair: bool) -> None:
    if not is_pair:
        spec.write_text(SPEC.replace("[first, second]", "first"), encoding="utf-8")
    workspace = Workspace(tmp_path / "ws")
    whole = workspace.add_suite("whole", spec)
    tuning = program("tuning")
    assert tuning.without_tests(workspace, "whole") == tuning.without_tests(workspace, "whole") == "whole-dev"
    assert list(workspace.suite_splits("whole-dev")["split"]) == ["train", "dev"]
    folder = workspace.folder / "suites" / str(workspace.suite_facts("whole-dev")["fingerprint"])
    copy = read_suite(folder)
    assert copy.labels == whole.labels
    assert copy.training_fingerprint == whole.training_fingerprint
    pd.testing.assert_frame_equal(copy.train.examples, whole.train.examples)


def test_what_was_tried_is_ordered_by_what_it_gains_over_the_suites() -> None:
    def row(variant: str, *by_seed: float, cost: float = 1.0) -> dict[str, object]:
        return {"variant": variant, "dev_accuracy": np.mean(by_seed), "by_seed": by_seed, "cost_share": cost}

    one = [row("erm", 0.8, 0.82), row("worse", 0.7, 0.7, cost=0.5), row("better", 0.83, 0.81, cost=0.3)]
    other = [row("erm", 0.6, 0.6), row("better", 0.63, 0.61, cost=0.5)]
    text = program("overview").tuning_table({"one": {"rows": one}, "other": {"rows": other}})
    assert text.splitlines()[0] == "| variant | cost, share of erm | one | other | mean difference to erm |"
    assert text.splitlines()[2:] == [
        "| better | 0.40 | 82.0 (83.0, 81.0) | 62.0 (63.0, 61.0) | +1.5 |",
        "| erm | 1.00 | 81.0 (80.0, 82.0) | 60.0 (60.0, 60.0) | +0.0 |",
        "| worse | 0.50 | 70.0 (70.0, 70.0) | – | −11.0 |",
    ]


def top_third(scores: pd.Series) -> set[int]:
    return set(np.argsort(-scores.to_numpy(), kind="stable")[: round(len(scores) / 3)])


def overlap(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b)


def test_ranking_is_told_apart_from_the_threshold(tmp_path: Path) -> None:
    """A method that says a label more readily, and ranks just as well, has the same area under the curve."""
    workspace = make_workspace(tmp_path)
    report = workspace.compare("toy")
    first = report.compared.finished[0]
    readier = {
        split: replace(each, logits=each.logits + np.array([0.0, 1.0], dtype=np.float32))
        for split, each in first.predictions.items()
    }
    split = next(iter(first.predictions))
    ranking = program("ranking")
    before = ranking.numbers_of(first, report, split, 1)
    after = ranking.numbers_of(replace(first, predictions=readier), report, split, 1)
    assert after["auroc"] == pytest.approx(before["auroc"])
    assert 0.5 < after["auroc"] < 1
    assert after["said"] > before["said"]
    assert after["true"] == before["true"] == pytest.approx(1 / 3, abs=0.02)
    rows = ranking.rank(report, 1)
    assert {row["split"] for row in rows} >= {split, "mean"}
    assert {row["method"] for row in rows} == {column.name for column in report.columns if column.runs}
