"""Results that are kept: small files without texts, from which the same comparison comes without training."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ftft_core.errors import InputError
from ftft_core.workspace import Workspace
from ftft_core.workspace.kept_files import pack_dynamics, portable_model, round_logits, run_file, unpack_dynamics
from tests.compare_workspace import SUITE, Made, add_runs, make_compare_workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    return make_compare_workspace(tmp_path_factory.mktemp("compare"))


@pytest.fixture(scope="module")
def results(workspace, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    workspace.keep_results(SUITE, folder)
    return folder


@pytest.fixture(scope="module")
def restored(results, tmp_path_factory) -> Workspace:
    again = Workspace(tmp_path_factory.mktemp("restored"))
    assert again.restore_results(results / SUITE) == SUITE
    return again


def portable(records: list[dict]) -> list[dict]:
    """Rows with models named as others can: all that may differ."""
    names = ("model", "reference_model")
    return [{**row, **{name: row[name] and portable_model(row[name]) for name in names}} for row in records]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_comparison_is_exactly_the_same(workspace, restored):
    before, after = workspace.compare(SUITE).comparison, restored.compare(SUITE).comparison
    assert after.records() == portable(before.records())
    pd.testing.assert_frame_equal(before.marks.drop(columns="column"), after.marks.drop(columns="column"))
    pd.testing.assert_frame_equal(before.groups.drop(columns=["model", "reference_model"]),
                                  after.groups.drop(columns=["model", "reference_model"]))  # fmt: skip


def test_costs_and_curves_are_the_same(workspace, restored):
    before, after = workspace.compare(SUITE), restored.compare(SUITE)
    keys = ["model", "reference_model"]
    pd.testing.assert_frame_equal(before.costs.drop(columns=keys), after.costs.drop(columns=keys))
    for role in ("out_of_distribution", "dev"):
        one, two = (each.cost_curves(report, role=role).curves for each, report in
                    ((workspace, before), (restored, after)))  # fmt: skip
        pd.testing.assert_frame_equal(one.drop(columns="column"), two.drop(columns="column"))


def test_maps_of_references_agree_but_for_half_precision(workspace, restored):
    for seed in range(3):
        before, after = (each.map_frame(f"reference-{seed}") for each in (workspace, restored))
        assert list(before["example_id"]) == list(after["example_id"])
        np.testing.assert_allclose(before["variability"], after["variability"], atol=2e-3)
        assert list(before["correctness"]) == list(after["correctness"])
        assert list(before["forgetting_events"]) == list(after["forgetting_events"])


def test_keeping_again_changes_nothing_and_new_runs_are_added(tmp_path):
    workspace = make_compare_workspace(tmp_path / "first", (Made("erm", 1.15, 60, seeds=(0, 1)),))
    results = tmp_path / "results"
    assert workspace.keep_results(SUITE, results).added == ("erm-0", "erm-1")
    before = contents(results)
    again = workspace.keep_results(SUITE, results)
    assert (again.added, again.known) == ((), ("erm-0", "erm-1"))
    assert contents(results) == before
    other = make_compare_workspace(tmp_path / "second", (Made("erm", 1.15, 60, seeds=(1,)),))
    add_runs(other, tmp_path / "second" / "mini-lm", Made("ftft", 1.3, 20, (0,), "ambiguous-{seed}", reference=True))
    other.sync()
    kept = other.keep_results(SUITE, results)
    assert (kept.added, kept.known) == (("reference-0", "ftft-0"), ("erm-1",))
    after = contents(results)
    assert {name: after[name] for name in before if name.endswith(".parquet")} == {
        name: content for name, content in before.items() if name.endswith(".parquet")
    }
    restored = Workspace(tmp_path / "restored")
    restored.restore_results(results / SUITE)
    found = {(column.title, column.num_seeds) for column in restored.compare(SUITE).columns}
    assert found == {("erm", 2), ("ftft", 1)}
    replaced = other.keep_results(SUITE, results, again=True)
    assert replaced.added == ("erm-1", "reference-0", "ftft-0")
    assert len(json_lines(results)) == 4


def json_lines(results: Path) -> list[dict]:
    return [json.loads(line) for line in (results / SUITE / "runs.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_run_that_an_earlier_version_named_otherwise_is_not_kept_twice(workspace, tmp_path):
    workspace.keep_results(SUITE, tmp_path)
    folder = tmp_path / SUITE
    lines = [json.loads(line) for line in (folder / "runs.jsonl").read_text(encoding="utf-8").splitlines()]
    named = next(line["key"] for line in lines if line["method"] == "erm")
    (folder / "runs.jsonl").write_text(
        (folder / "runs.jsonl").read_text(encoding="utf-8").replace(f'"{named}"', '"erm-before-0"'), encoding="utf-8"
    )
    run_file(folder, named).rename(run_file(folder, "erm-before-0"))
    before = contents(folder)
    kept = workspace.keep_results(SUITE, tmp_path)
    assert kept.added == ()
    assert contents(folder) == before


def test_unfinished_runs_are_left_out_with_a_reason(workspace, tmp_path):
    kept = workspace.keep_results(SUITE, tmp_path)
    assert kept.left_out == ("ftft-3: it is failed",)


def test_no_text_and_no_path_is_kept(workspace, results):
    said = b"somebody says something"
    place = str(workspace.folder.parent).encode()
    for name, content in contents(results).items():
        assert said not in content, name
        assert place not in content, name
    columns = pq.read_table(results / SUITE / "examples.parquet").column_names
    assert columns == ["split", "example_id", "label", "group"]


def test_another_version_of_the_suite_is_refused(workspace, results, tmp_path):
    facts = json.loads((results / SUITE / "suite.json").read_text(encoding="utf-8"))
    changed = tmp_path / "talk"
    changed.mkdir()
    facts["fingerprint"] = "0" * 64
    facts["splits"][-1]["fingerprint"] = "1" * 64
    (changed / "suite.json").write_text(json.dumps(facts), encoding="utf-8")
    (changed / "runs.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"another version of suite 'talk' \(000000, here") as caught:
        workspace.keep_results(SUITE, tmp_path)
    assert caught.value.problems == ["split 'praise' differs"]
    assert sorted(path.name for path in changed.iterdir()) == ["runs.jsonl", "suite.json"]


def test_a_missing_file_is_told_before_anything_is_made(results, tmp_path):
    copy = tmp_path / SUITE
    for name, content in contents(results / SUITE).items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(content)
    lost = run_file(copy, json_lines(results)[-1]["key"])
    lost.unlink()
    again = Workspace(tmp_path / "again")
    with pytest.raises(InputError, match=re.escape(lost.name)):
        again.restore_results(copy)
    assert again.suites().empty
    with pytest.raises(InputError, match="No results of a suite are kept in"):
        again.restore_results(tmp_path / "nowhere")


@pytest.mark.parametrize("num_labels", [2, 3, 5])
def test_packed_dynamics_keep_the_gold_probability_and_what_was_right(num_labels):
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (500, num_labels)).astype(np.float32)
    logits[0] = 0.0  # a tie goes to the first label
    gold = random.integers(0, num_labels, 500)
    log_odds, is_right = pack_dynamics(logits, gold)
    again = unpack_dynamics(log_odds, is_right, gold, num_labels)
    assert ((again.argmax(axis=1) == gold) == is_right).all()
    probabilities = [np.exp(each) / np.exp(each).sum(axis=1, keepdims=True) for each in (logits, again)]
    rows = np.arange(500)
    np.testing.assert_allclose(probabilities[0][rows, gold], probabilities[1][rows, gold], atol=3e-4)


def test_models_are_named_as_others_can():
    assert portable_model("minilm") == "minilm"
    assert portable_model("microsoft/deberta-v3-large") == "microsoft/deberta-v3-large"
    assert portable_model("/somewhere/models/mpnet") == portable_model("build/models/mpnet") == "mpnet"
    assert portable_model("./mpnet") == "mpnet"


def test_rounded_results_are_smaller_and_right_where_the_others_are(workspace, results, tmp_path):
    workspace.keep_results(SUITE, tmp_path, rounded=True)
    key = json_lines(results)[0]["key"]
    assert run_file(tmp_path / SUITE, key).stat().st_size < 0.8 * run_file(results / SUITE, key).stat().st_size
    again = Workspace(tmp_path / "restored")
    again.restore_results(tmp_path / SUITE)
    before, after = (each.compare(SUITE).rows for each in (workspace, again))
    exact = before["metric"] != "ece"
    columns = ["mean", "std", "delta", "delta_low", "delta_high"]
    pd.testing.assert_frame_equal(before.loc[exact, columns], after.loc[exact, columns])
    np.testing.assert_allclose(before["mean"], after["mean"], atol=5e-3)


def test_rounding_never_changes_a_prediction():
    logits = np.random.default_rng(0).normal(0, 3, (20_000, 3)).astype(np.float32)
    logits[:5000, 1] = logits[:5000, 0] + np.float32(1e-6)  # nearly tied
    rounded = round_logits(logits)
    assert (rounded.argmax(axis=1) == logits.argmax(axis=1)).all()
    np.testing.assert_allclose(rounded, logits, rtol=2.5e-4)
