"""Comparisons over a workspace's runs: what is averaged, what is missing, pairs, curves and pages of examples."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

from ftft_core.cli import main
from ftft_core.comparison import ROW_COLUMNS, find_candidates
from ftft_core.comparison.pairs import OUTCOMES
from ftft_core.config import BudgetConfig, RunConfig
from ftft_core.errors import InputError, RunError
from ftft_core.selection import Recipe, SetCondition
from tests.compare_workspace import (
    AWKWARD,
    LABELS,
    MERGED,
    STEPS,
    SUITE,
    TWIN,
    Made,
    add_runs,
    finish,
    leave_predictions,
    make_compare_workspace,
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return make_compare_workspace(tmp_path_factory.mktemp("compare"))


@pytest.fixture(scope="module")
def report(workspace):
    return workspace.compare(SUITE)


def row(report, column, split, metric="accuracy"):
    chosen = (report.comparison.marks["column"] == report.column(column).id).to_numpy()
    rows = report.rows[chosen & (report.rows["split"] == split) & (report.rows["metric"] == metric)]
    return rows.iloc[0]


def stored(workspace, run, split):
    """Gold and predicted labels as they are stored, merged by hand."""
    with workspace.database.reading() as connection:
        rows = connection.execute(
            "SELECT label, logits FROM predictions WHERE run_id = ? AND split = ? ORDER BY CAST(example_id AS INTEGER)",
            [workspace.run(run)["run_id"], split],
        ).fetchall()
    logits = np.array([values for _, values in rows], dtype=float)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if split in MERGED:
        names = ["not hateful", "hateful"]
        probabilities = np.stack([probabilities[:, 0] + probabilities[:, 1], probabilities[:, 2]], axis=1)
    else:
        names = list(LABELS)
    return [label for label, _ in rows], [names[index] for index in probabilities.argmax(axis=1)]


def test_columns_are_methods_in_their_versions_with_what_is_missing(report):
    assert [(each.name, each.num_seeds, each.num_wanted) for each in report.columns] == [
        ("erm (learning rate 5e-05)", 3, 3),
        ("erm (learning rate 2e-05)", 2, 2),
        ("erm_matched", 3, 3),
        ("ftft", 3, 4),
        ("random", 3, 3),
    ]
    assert [each.name for each in report.few_seeds()] == ["erm (learning rate 2e-05)"]
    assert report.notes[0] == (
        "ftft: 3 of 4 seeds finished (seed 3 failed: the disk is full). What is shown leaves the others out."
    )


def test_a_difference_in_anything_but_the_seed_is_said(report):
    assert any("differ in training.learning_rate (5e-05 against 2e-05)" in note for note in report.notes)


def test_a_split_with_one_label_is_said(report):
    (said,) = [note for note in report.notes if "'praise' holds one label only" in note]
    assert "('hateful')" in said


@pytest.mark.parametrize("split", ["forum", "news", "checks", "praise"])
def test_scores_are_scikit_learn_s_on_stored_predictions(workspace, report, split):
    means = {"accuracy": [], "macro_f1": []}
    for seed in range(3):
        gold, predicted = stored(workspace, f"ftft-{seed}", split)
        means["accuracy"].append(accuracy_score(gold, predicted))
        labels = sorted(set(gold))
        means["macro_f1"].append(f1_score(gold, predicted, labels=labels, average="macro", zero_division=0))
    for metric, values in means.items():
        found = row(report, "ftft", split, metric)
        assert found["mean"] == pytest.approx(np.mean(values), abs=1e-9)
        assert found["std"] == pytest.approx(np.std(values, ddof=1), abs=1e-9)


def test_every_mean_says_which_runs_it_is_of(workspace, report):
    seeds = report.comparison.seeds
    column = report.column("ftft").id
    found = seeds[(seeds["column"] == column) & (seeds["split"] == "news") & (seeds["metric"] == "accuracy")]
    assert [report.compared.names[run_id] for run_id in found["run_id"]] == ["ftft-0", "ftft-1", "ftft-2"]
    assert found["value"].mean() == pytest.approx(row(report, "ftft", "news")["mean"])


def test_the_cost_of_ftft_holds_its_reference(report):
    costs = report.costs.set_index("method")
    assert costs.loc["ftft", "flops"] == pytest.approx(28e12)
    assert costs.loc["random", "flops"] == pytest.approx(20e12)
    assert costs.loc["ftft", "flops_share"] == pytest.approx(28 / 60)
    assert costs.loc["ftft", "optimizer_steps"] == 2 * STEPS
    assert costs.loc["ftft", "seconds"] == pytest.approx(28e12 / 5e11)


def test_a_method_none_of_whose_runs_finished_has_a_column_of_its_own(tmp_path):
    made = [Made("erm", 1, 60, seeds=(0,), snapshots=0), Made("focal", 1, 60, seeds=(), failed=(0, 1))]
    workspace = make_compare_workspace(tmp_path, made)
    report = workspace.compare(SUITE)
    assert [(each.name, each.num_seeds, each.num_wanted) for each in report.columns] == [("erm", 1, 1), ("focal", 0, 2)]
    assert "focal: no seed finished (seed 0 failed: the disk is full; seed 1 failed" in report.notes[0]
    with pytest.raises(InputError, match="No run of focal has finished"):
        workspace.compare_pair(report, "erm", report.columns[1].id, "news")


def test_a_seed_that_failed_before_its_precision_was_known_is_missing_in_the_column_of_the_others(tmp_path):
    made = [Made("erm", 1, 60, seeds=(0, 1), failed=(2,), snapshots=0, precision="fp32")]
    (column,) = make_compare_workspace(tmp_path, made).compare(SUITE).columns
    assert (column.name, column.num_seeds, column.num_wanted) == ("erm", 2, 3)
    assert column.facts["precision"] == "fp32"


def test_runs_of_another_precision_are_not_averaged_and_what_differs_is_said(tmp_path):
    made = [
        Made("erm", 1, 60, seeds=(0,), snapshots=0, precision="fp32"),
        Made("erm", 1, 60, seeds=(1,), snapshots=0, suffix="-half", precision="bf16"),
        Made("random", 1, 20, seeds=(1,), subset="random-{seed}", snapshots=0, precision="fp16"),
    ]
    report = make_compare_workspace(tmp_path, made).compare(SUITE)
    assert [column.name for column in report.columns] == ["erm (fp32)", "erm (bf16)", "random"]
    assert any("not averaged because they differ in precision (fp32 against bf16)" in note for note in report.notes)
    assert any("differ in more than the method: precision (fp16 against fp32)" in note for note in report.notes)


def test_without_erm_differences_are_left_out_and_curves_have_no_share(tmp_path):
    workspace = make_compare_workspace(tmp_path, [Made("random", 1, 20, subset="random-{seed}", snapshots=2)])
    report = workspace.compare(SUITE)
    assert report.rows["delta"].isna().all()
    curves = workspace.cost_curves(report)
    assert curves.reach.empty
    assert curves.baseline_cost is None
    assert len(curves.curves) == 3


def test_other_subsets_and_other_references_are_columns_of_their_own(tmp_path):
    workspace = make_compare_workspace(
        tmp_path, [Made("ftft", 1, 20, seeds=(0,), subset="ambiguous-{seed}", reference=True, snapshots=0)]
    )
    source = workspace.run("reference-0")["run_id"]
    for name, fields in {"balanced-0": {"balance": "class"}, "early-0": {"epochs": 2}}.items():
        recipe = Recipe(source_run=source, strategy="ambiguous", fraction=0.33, **fields)
        workspace.save_subset(recipe, name=name)
        add_runs(
            workspace, tmp_path / "mini-lm",
            Made("ftft", 1, 20, seeds=(0,), subset=name, reference=True, snapshots=0, suffix=name),
        )  # fmt: skip
    workspace.sync()
    report = workspace.compare(SUITE, baseline="ftft")
    assert [each.detail for each in report.columns] == [
        "unbalanced; whole map", "balanced by class; whole map", "unbalanced; map at epoch 2",
    ]  # fmt: skip


def test_curves_run_over_cost_with_the_reference_paid_first(workspace, report):
    found = workspace.cost_curves(report, metric="accuracy")
    ftft = found.curves[found.curves["column"] == report.column("ftft").id]
    assert ftft["cost"].tolist() == pytest.approx([8e12 + 20e12 * place / 6 for place in range(1, 7)])
    assert ftft["is_end"].tolist() == [False] * 5 + [True]
    end = np.mean([row(report, "ftft", split)["mean"] for split in ("news", "checks", "praise")])
    assert ftft["mean"].iloc[-1] == pytest.approx(end)
    assert found.baseline_cost == pytest.approx(60e12)
    assert found.num_examples == {"news": 200, "checks": 240, "praise": 80}
    reach = found.reach.set_index("column")
    erm = found.curves[found.curves["column"] == report.column("erm").id]
    assert reach["target"].iloc[0] == pytest.approx(erm["mean"].max())
    first = ftft[ftft["mean"] >= erm["mean"].max()]["cost"].min()
    assert reach.loc[report.column("ftft").id, "share"] == pytest.approx(first / 60e12)


def test_curves_of_dev_and_of_what_is_not_there(workspace, report):
    assert workspace.cost_curves(report, role="dev").num_examples == {"dev": 60}
    with pytest.raises(InputError, match="There are no such curves") as failure:
        workspace.cost_curves(report, metric="f1", role="train")
    assert len(failure.value.problems) == 2


def test_a_pair_and_its_examples_agree_with_what_is_stored(workspace, report):
    pair = workspace.compare_pair(report, "ftft", "erm", "news")
    right = {}
    for method in ("ftft", "erm"):
        hits = [np.equal(*map(np.asarray, stored(workspace, f"{method}-{seed}", "news"))) for seed in range(3)]
        right[method] = np.mean(hits, axis=0) > 0.5
    won = np.flatnonzero(right["ftft"] & ~right["erm"])
    assert pair.counts()["won"] == len(won)
    total, page = workspace.pair_examples(report, pair, "won", limit=1000)
    assert total == len(won) == len(page)
    assert set(page["example_id"]) == {str(row) for row in won}
    assert (page["first_right"] > 0.5).all()
    assert (page["second_right"] <= 0.5).all()
    gaps = (page["first_probability"] - page["second_probability"]).abs()
    assert gaps.is_monotonic_decreasing


def test_outcomes_part_all_examples_and_pages_part_an_outcome(workspace, report):
    pair = workspace.compare_pair(report, "ftft", "random", "checks")
    assert sum(pair.counts().values()) == 240
    pages = [workspace.pair_examples(report, pair, "both_right", offset=start, limit=40) for start in range(0, 240, 40)]
    ids = [example_id for _, page in pages for example_id in page["example_id"]]
    assert len(ids) == len(set(ids)) == pages[0][0] == pair.counts()["both_right"]


def test_examples_are_searched_and_filtered_and_texts_come_as_they_are(workspace, report):
    pair = workspace.compare_pair(report, "ftft", "erm", "checks")
    found = [workspace.pair_examples(report, pair, outcome, search="<IMG SRC", limit=5) for outcome in OUTCOMES]
    assert sum(total for total, _ in found) == 1
    (page,) = [page for total, page in found if total]
    assert page["text"].tolist() == [AWKWARD]
    total, page = workspace.pair_examples(report, pair, "both_right", gold="rude", group="negation", limit=300)
    assert total == len(page) > 0
    assert set(page["label"]) == {"rude"}
    assert set(page["group"]) == {"negation"}


def test_a_test_example_that_is_a_training_example_is_linked_to_it(workspace, report):
    pair = workspace.compare_pair(report, "ftft", "erm", "forum")
    pages = pd.concat([workspace.pair_examples(report, pair, outcome, limit=200)[1] for outcome in OUTCOMES])
    linked = pages[pages["training_id"].notna()]
    assert linked["example_id"].tolist() == [str(TWIN)]
    assert linked["training_id"].tolist() == [str(TWIN)]


def test_unknown_things_are_refused_with_what_there_is(workspace, report):
    with pytest.raises(InputError, match="no split to compare on 'train'"):
        workspace.compare_pair(report, "ftft", "erm", "train")
    with pytest.raises(InputError, match="no method in this comparison 'jtt'"):
        workspace.compare_pair(report, "jtt", "erm", "news")
    pair = workspace.compare_pair(report, "ftft", "erm", "news")
    with pytest.raises(InputError, match="no outcome 'draw'"):
        workspace.pair_examples(report, pair, "draw")
    with pytest.raises(InputError, match="offset: received -1"):
        workspace.pair_examples(report, pair, "won", offset=-1)


def test_two_methods_are_compared_from_the_command_line_too(workspace, report, capsys):
    words = ["compare", "--workspace", str(workspace.folder), "--suite", SUITE, "--pair", "ftft", "erm"]
    assert main([*words, "--split", "checks", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    pair = workspace.compare_pair(report, "ftft", "erm", "checks")
    assert said["counts"] == pair.counts()
    assert (said["first"], said["second"]) == (report.column("ftft").id, report.column("erm").id)
    assert said["confusions"]["first"] == pair.first.confusion.tolist()
    assert len(said["groups"]) == 5 * 3
    assert main(words) == 2
    assert "--pair A B and --split go together" in capsys.readouterr().err


def test_budgets_that_match_two_methods_are_two_columns(tmp_path):
    """Matched FLOPs say whose cost is matched, so that those of two references are not averaged."""
    workspace = make_compare_workspace(
        tmp_path, (Made("erm", 1.1, 60, (0, 1)), Made("ftft", 1.3, 20, (0, 1), "ambiguous-{seed}", reference=True))
    )
    model = tmp_path / "mini-lm"
    for seed in (0, 1):
        reference = workspace.queue_run(
            RunConfig(suite=SUITE, model=str(model), layers=4, name=f"larger-{seed}", method="reference", seed=seed)
        )
        finish(workspace, reference, 16e12)
        workspace.sync()
        other = workspace.queue_run(
            RunConfig(suite=SUITE, model=str(model), method="ftft", name=f"ftft-4-{seed}", seed=seed,
                      subset=f"ambiguous-{seed}", reference=reference)
        )  # fmt: skip
        made = Made("ftft", 1.2, 20, suffix="-4")
        leave_predictions(workspace, other, made, seed)
        finish(workspace, other, 20e12)
        workspace.sync()
        for ftft in (f"ftft-{seed}", other):
            budget = BudgetConfig(max_flops=workspace.total_flops(workspace.run(ftft)["run_id"]))
            run = workspace.queue_run(
                RunConfig(suite=SUITE, model=str(model), method="erm_matched", seed=seed, budget=budget)
            )
            leave_predictions(workspace, run, Made("erm_matched", 1.0, 30), seed)
            finish(workspace, run, budget.max_flops)
    workspace.sync()
    matched = [column for column in workspace.compare(SUITE).columns if column.title == "erm_matched"]
    assert [(column.detail, column.num_seeds) for column in matched] == [
        ("cost with reference mini-lm, 2 layers", 2),
        ("cost with reference mini-lm, 4 layers", 2),
    ]
    # They are not one model's seeds on the page of transfer either.
    runs = workspace.with_matched(workspace.runs(SUITE))
    found, notes = find_candidates(runs[runs["method"] == "erm_matched"])
    assert [(each.name, each.seeds) for each in found] == [
        ("mini-lm, 6 layers, cost with reference mini-lm, 2 layers", (0, 1)),
        ("mini-lm, 6 layers, cost with reference mini-lm, 4 layers", (0, 1)),
    ]
    assert notes == []


def test_what_a_subset_came_from_is_part_of_the_cost_whoever_was_named_as_reference(tmp_path):
    """A hand-picked region costs the map that it was picked on, and that map what it was itself chosen by."""
    workspace = make_compare_workspace(
        tmp_path, (Made("erm", 1.1, 60, (0,)), Made("ftft", 1.3, 20, (0,), "ambiguous-{seed}", reference=True))
    )
    model, source = str(tmp_path / "mini-lm"), str(workspace.run("reference-0")["run_id"])
    hard = workspace.save_subset(Recipe(source_run=source, strategy="hard", fraction=0.5), name="hard", suite=SUITE)
    combined = SetCondition(expression="hard", operands={"hard": hard.subset})
    both = workspace.save_subset(Recipe(conditions=(combined,)), name="both")
    drawn = workspace.save_subset(Recipe(strategy="random", fraction=0.5), name="drawn", suite=SUITE)
    for subset, cost in ((hard, 28e12), (both, 28e12), (drawn, 20e12)):
        run = workspace.queue_run(RunConfig(suite=SUITE, model=model, name=subset.name, subset=subset.name))
        finish(workspace, run, 20e12)
        workspace.sync()
        assert workspace.total_flops(subset.name) == cost, subset.name
    # A reference trained on a subset of another's map: that one is paid for too.
    second = workspace.queue_run(
        RunConfig(suite=SUITE, model=model, layers=2, method="reference", name="second", subset="hard")
    )
    finish(workspace, second, 4e12)
    workspace.sync()
    assert workspace.total_flops("second") == 12e12
    # erm 60, ftft 20, three subsets' runs 20 each, and 8 of a reference that ftft and two of those use.
    said = workspace.compare(SUITE).together
    assert "together cost 148 TFLOP, with each reference counted once" in said
    assert said.endswith("it would be 164 TFLOP.")
    # What a removed run cost is not known any more, however it is asked.
    for name in ("second", "hard", "both", "ftft-0"):
        workspace.remove_run(name)
    for name in ("both", "hard", "ambiguous-0"):
        workspace.remove_subset(name)
    workspace.remove_run("reference-0")
    workspace.restore_subset(hard.subset)
    workspace.restore_run("hard")
    with pytest.raises(RunError, match="is not known, so nothing can match it"):
        workspace.total_flops("hard")
    assert workspace.compare(SUITE).together == ""


def test_a_table_as_csv_has_full_precision_averages_and_marks(report):
    table = pd.read_csv(io.StringIO(report.as_csv()))
    assert tuple(table.columns) == (*ROW_COLUMNS, "column", "p_holm", "marked")
    rows = table[table["split"] != "average"]
    assert rows["mean"].tolist() == report.rows["mean"].tolist()
    average = table[(table["split"] == "average") & (table["metric"] == "accuracy") & (table["method"] == "ftft")].iloc[
        0
    ]
    far = rows[(rows["role"] == average["role"]) & (rows["metric"] == "accuracy") & (rows["method"] == "ftft")]
    assert len(far) > 1
    assert average["mean"] == pytest.approx(far["mean"].mean())
    assert bool(average["marked"]) == (average["p_holm"] <= 0.05)


def test_a_budget_in_epochs_is_the_same_as_one_of_as_many_steps(tmp_path):
    workspace = make_compare_workspace(tmp_path, ())
    model = str(tmp_path / "mini-lm")
    for seed, budget in ((0, BudgetConfig(epochs=3)), (1, BudgetConfig(max_steps=12)), (2, BudgetConfig(max_steps=11))):
        run = workspace.queue_run(RunConfig(suite=SUITE, model=model, seed=seed, budget=budget))  # 120 in batches of 32
        leave_predictions(workspace, run, Made("erm", 1.0, 60), seed)
        finish(workspace, run, 60e12)
    workspace.sync()
    columns = [[run.seed for run in column.runs] for column in workspace.compare(SUITE).columns]
    assert columns == [[0, 1], [2]]


def test_budgets_in_flops_that_match_no_run_are_not_averaged(tmp_path):
    workspace = make_compare_workspace(tmp_path, ())
    model = str(tmp_path / "mini-lm")
    for seed, flops in ((0, 1e9), (1, 2e10), (2, 2.01e10)):
        config = RunConfig(
            suite=SUITE, model=model, seed=seed, method="erm_matched", budget=BudgetConfig(max_flops=flops)
        )
        run = workspace.queue_run(config)
        leave_predictions(workspace, run, Made("erm_matched", 1.0, 60), seed)
        finish(workspace, run, flops)
    workspace.sync()
    report = workspace.compare(SUITE)
    assert [([run.seed for run in column.runs], column.detail) for column in report.columns] == [
        ([0], "FLOPs 1e+09"),
        ([1, 2], "FLOPs 2e+10"),
    ]
