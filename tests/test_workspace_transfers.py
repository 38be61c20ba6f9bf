"""Transfer over a workspace's runs: groups, costs, averaged subsets, probes, and the command line."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ftft_core import cli as command_line
from ftft_core.comparison import find_candidates
from ftft_core.config import BudgetConfig, RunConfig, parse
from ftft_core.errors import InputError, NotFoundError
from ftft_core.selection import Recipe, select
from ftft_core.workspace import Workspace
from tests.transfer_workspace import (
    COSTS,
    MAIN,
    MAIN_RUNS,
    NUM_PROBED,
    PROBE,
    SMALL,
    SMALL_RUNS,
    WEAK,
    WEAK_RUN,
    leave_epochs,
    make_transfer_workspace,
)
from tests.ui_workspace import NUM_EPOCHS, NUM_TRAIN

EVERYTHING = (*MAIN_RUNS, *SMALL_RUNS, WEAK_RUN)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that no test changes."""
    return make_transfer_workspace(tmp_path_factory.mktemp("transfer"))


@pytest.fixture
def workspace(made: Workspace, tmp_path: Path) -> Workspace:
    """A copy of it."""
    shutil.copytree(made.folder, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def asked(capsys: pytest.CaptureFixture[str], workspace: Workspace, *arguments: object) -> tuple[int, str]:
    capsys.readouterr()
    code = command_line.main([*map(str, arguments), "--workspace", str(workspace.folder)])
    return code, capsys.readouterr().out


def test_a_report_groups_seeds_and_names_the_cheapest_reference(made: Workspace) -> None:
    report = made.transfer_report(EVERYTHING)
    assert [each.name for each in report.candidates] == [MAIN, SMALL, WEAK]
    assert report.main.runs == MAIN_RUNS
    assert report.advice.chosen == SMALL
    table = report.advice.references.set_index("reference")
    assert table.loc[SMALL, "cost_share"] == pytest.approx(COSTS["small"] / COSTS["main"])
    assert table.loc[WEAK, "easy_share"] > 0.5 > table.loc[SMALL, "easy_share"]
    assert "at 25 % of the cost of a main run" in report.advice.sentences[0]
    assert report.ceiling("overlap") == pytest.approx(
        np.mean(
            report.transfer.overlaps.query("run_a.str.startswith('main') and run_b.str.startswith('main')")["jaccard"]
        )
    )
    assert set(report.averages["kind"]) == {"run", "seeds", "epochs", "references", "main"}


def test_every_score_has_its_correlation_with_other_seeds_of_the_main_model(made: Workspace) -> None:
    found = made.transfer_report(EVERYTHING).scores.set_index(["score", "group"])["correlation"]
    maps = {name: made.data_map(name) for name in EVERYTHING}

    def mean(score: str, pairs: list[tuple[str, str]]) -> float:
        return float(np.mean([stats.spearmanr(maps[a][score], maps[b][score]).statistic for a, b in pairs]))

    apart = [("small-0", "main-1"), ("small-0", "main-2"), ("small-1", "main-0"), ("small-1", "main-2")]
    own = [("main-0", "main-1"), ("main-0", "main-2"), ("main-1", "main-2")]
    for score in ("aum", "forgetting_events", "variability"):
        assert found[score, SMALL] == pytest.approx(mean(score, apart))
        assert found[score, MAIN] == pytest.approx(mean(score, own))


def test_another_main_model_may_be_chosen(made: Workspace) -> None:
    assert made.transfer_report(EVERYTHING, main=SMALL_RUNS[1]).main.name == SMALL
    assert made.transfer_report(EVERYTHING, main=WEAK).main.name == WEAK
    with pytest.raises(InputError, match="There is no main model or run of it 'tiny'"):
        made.transfer_report(EVERYTHING, main="tiny")


def test_of_one_seed_run_twice_the_last_counts(made: Workspace) -> None:
    report = made.transfer_report([*EVERYTHING, "map-run"])  # the same model, budget and seed as main-0
    assert report.main.runs == MAIN_RUNS
    assert f"{MAIN}: a seed was run more than once; only its last run counts. Left out: map-run." in report.notes


def test_runs_that_differ_in_their_budget_are_apart(made: Workspace) -> None:
    found, _ = find_candidates(made.runs("toy"))
    assert [each.name for each in found] == [f"{MAIN}, 4 epochs", SMALL, WEAK, f"{MAIN}, 3 steps"]


def test_a_run_that_has_not_finished_is_no_seed_of_those_that_have(workspace: Workspace) -> None:
    model = str(workspace.run("main-0")["model"])
    budget = BudgetConfig(epochs=NUM_EPOCHS)
    run = workspace.queue_run(RunConfig(suite="toy", model=model, name="cut", method="erm", seed=9, budget=budget))
    leave_epochs(workspace, run, np.zeros(NUM_TRAIN), noise=0.3, seed=9, num_epochs=2)
    workspace.sync()
    workspace.cancel(run)
    report = workspace.transfer_report([*EVERYTHING, "cut"])
    assert report.main.runs == MAIN_RUNS
    assert [each.name for each in report.candidates] == [MAIN, SMALL, WEAK, f"{MAIN}, cancelled after 2 epochs"]


def test_a_method_that_does_not_train_on_all_data_alike_is_named(made: Workspace) -> None:
    row = made.runs("toy").query("name == 'main-0'").iloc[0].to_dict()
    shorter = json.dumps({**json.loads(row["config"]), "budget": {"max_steps": 5}})
    other = {**row, "run_id": "r9", "name": "focal-0", "method": "focal", "config": shorter}
    found, _ = find_candidates(pd.DataFrame([row, other]))
    assert [each.name for each in found] == [MAIN, f"{MAIN}, focal"]


def test_budgets_in_flops_are_one_only_where_they_are_the_same(made: Workspace) -> None:
    row = made.runs("toy").query("name == 'main-0'").iloc[0].to_dict()
    config = json.loads(row["config"])
    rows = []
    for seed, flops in enumerate((1e13, 1e13, 2e13)):
        budget = {"budget": {"epochs": None, "max_steps": None, "max_flops": flops}}
        words = json.dumps({**config, **budget})
        rows.append({**row, "run_id": f"r{seed}", "name": f"run-{seed}", "seed": seed, "config": words})
    found, _ = find_candidates(pd.DataFrame(rows))
    assert [(each.name, each.runs) for each in found] == [
        (f"{MAIN}, 1e+13 FLOPs", ("run-0", "run-1")),
        (f"{MAIN}, 2e+13 FLOPs", ("run-2",)),
    ]


def test_imported_runs_are_grouped_only_where_somebody_named_the_model(workspace: Workspace) -> None:
    dynamics = workspace.dynamics("main-0")
    for name, model in (("i1", "imported"), ("i2", "imported"), ("g1", "gru"), ("g2", "gru")):
        workspace.import_dynamics(dynamics, name=name, suite="toy", model=model)
    found, notes = find_candidates(workspace.runs("toy").query("name in ['i1', 'i2', 'g1', 'g2']"))
    assert [(each.name, each.runs) for each in found] == [
        ("imported, i1", ("i1",)),
        ("imported, i2", ("i2",)),
        ("gru", ("g1", "g2")),
    ]
    assert notes == []
    assert found[2].cost is None


def test_a_subset_of_an_averaged_map_can_be_made_again(workspace: Workspace) -> None:
    ids = tuple(workspace.run(name)["run_id"] for name in SMALL_RUNS)
    recipe = Recipe(source_run=SMALL_RUNS[0], source_runs=SMALL_RUNS, strategy="ambiguous", fraction=0.33)
    saved = workspace.save_subset(recipe, name="both")
    assert (saved.recipe.source_run, saved.recipe.source_runs) == (ids[0], ids)
    mean = sum(workspace.data_map(name)["variability"] for name in SMALL_RUNS) / 2
    expected = workspace.data_map(SMALL_RUNS[0]).assign(variability=mean)
    assert workspace.subset_examples("both")["example_id"].tolist() == list(select(expected, "ambiguous", 0.33))
    assert workspace.recipe_words(saved.recipe) == "ambiguous 33 % of the average of runs small-0 and small-1"
    assert not workspace.remake_subset("both").differs
    # A run on it has two references: which of them to count is not guessed.
    config = RunConfig(suite="toy", model=str(workspace.run("main-0")["model"]), subset="both", method="ftft")
    with pytest.raises(InputError, match="does not come from exactly one run"):
        workspace.queue_run(config)


def test_what_is_excluded_is_left_out_of_an_average(workspace: Workspace) -> None:
    first = workspace.save_subset(workspace.average_recipe(SMALL_RUNS, "ambiguous", 0.33), name="all")
    gone = workspace.subset_examples("all")["example_id"].tolist()[:5]
    workspace.mark("toy", gone, "exclude", author="mia")
    second = workspace.save_subset(workspace.average_recipe(SMALL_RUNS, "ambiguous", 0.33), name="rest")
    assert first.size == 79
    assert second.size == round(0.33 * 235)
    assert not set(gone) & set(workspace.subset_examples("rest")["example_id"])


def test_recipes_name_averaged_runs_soundly() -> None:
    for values, said in (
        ({"source_run": "a", "source_runs": ["b", "a"]}, "must be the first of source_runs"),
        ({"source_run": "a", "source_runs": ["a", "a"]}, "names a run twice"),
        ({"source_run": "a", "source_runs": ["a"]}, "at least 2 items"),
    ):
        with pytest.raises(InputError) as failure:
            parse(Recipe, {**values, "strategy": "hard", "fraction": 0.5}, what="The recipe")
        assert said in " ".join(failure.value.problems)
    old = json.dumps({"source_run": "a", "strategy": "hard", "fraction": 0.5})
    assert Recipe.model_validate_json(old).source_runs is None


def test_an_unknown_run_in_an_average_is_told(workspace: Workspace) -> None:
    recipe = Recipe(source_run="small-0", source_runs=("small-0", "nobody"), strategy="hard", fraction=0.5)
    with pytest.raises(NotFoundError, match="There is no run 'nobody'"):
        workspace.save_subset(recipe)


def test_a_probe_of_a_part_of_an_epoch(made: Workspace) -> None:
    assert made.run(PROBE)["counted_epochs"] == 0
    assert PROBE in made.possible_probes("toy")["name"].tolist()
    assert not set(MAIN_RUNS) & set(made.possible_probes("toy")["name"])
    report = made.estimate_transfer(PROBE, EVERYTHING)  # the main model's own runs are left out
    assert report.estimate.references["reference"].tolist() == [WEAK, SMALL]
    assert report.estimate.references["num_examples"].tolist() == [NUM_PROBED] * 2
    assert report.estimate.chosen == SMALL
    assert report.cost == COSTS["probe"]
    with pytest.raises(InputError, match="fraction: received 1; all examples are in every set then"):
        made.estimate_transfer(PROBE, EVERYTHING, fraction=1)
    with pytest.raises(InputError, match="fraction: received 1; all examples are in every set then"):
        made.transfer_report(EVERYTHING, fraction=1)
    with pytest.raises(InputError, match="Every run given is of the model of probe 'probe'"):
        made.estimate_transfer(PROBE, MAIN_RUNS)


def test_the_command_prints_what_it_printed_and_more(made: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = asked(capsys, made, "transfer", *EVERYTHING, "--json")
    document = json.loads(out)
    assert code == 0
    assert {"correlations", "overlaps", "ambiguous_sets", "notes"} <= set(document)
    pair = next(row for row in document["overlaps"] if (row["run_a"], row["run_b"]) == ("main-0", "small-1"))
    maps = [made.data_map(name)["variability"] for name in ("main-0", "small-1")]
    tops = [set(np.argsort(-each.to_numpy(), kind="stable")[:80]) for each in maps]
    assert pair["jaccard"] == pytest.approx(len(tops[0] & tops[1]) / len(tops[0] | tops[1]))
    row = next(
        row for row in document["correlations"]
        if (row["run_a"], row["run_b"], row["score"]) == ("main-0", "small-1", "variability")
    )  # fmt: skip
    assert row["spearman"] == pytest.approx(stats.spearmanr(*maps).statistic)
    assert (document["main"], document["chosen"]) == (MAIN, SMALL)
    code, out = asked(capsys, made, "transfer", *EVERYTHING)
    assert code == 0
    assert "Rank correlation" in out
    assert "How far a map can be trusted" in out
    unsure = [row["reference"] for row in document["references"] if row["corrected_is_unsure"]]
    said = f"corrected: unsure for {', '.join(unsure)}, "
    assert said in out if unsure else "corrected: unsure" not in out


def test_the_command_averages_and_estimates(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ("--average", "--strategy", "ambiguous", "--fraction", 0.33, "--name", "avg", "--json")
    code, out = asked(capsys, workspace, "transfer", *SMALL_RUNS, *options)
    assert code == 0
    assert {key: json.loads(out)[key] for key in ("name", "size")} == {"name": "avg", "size": 79}
    code, _ = asked(capsys, workspace, "transfer", *SMALL_RUNS, "--average", "--out", tmp_path / "map.csv")
    written = pd.read_csv(tmp_path / "map.csv")
    mean = sum(workspace.data_map(name)["confidence"] for name in SMALL_RUNS) / 2
    np.testing.assert_allclose(written["confidence"], mean)
    code, out = asked(capsys, workspace, "transfer", *EVERYTHING, "--probe", PROBE, "--json")
    assert (code, json.loads(out)["chosen"]) == (0, SMALL)
    code, out = asked(capsys, workspace, "transfer", *EVERYTHING, "--probe", PROBE)
    assert "not been measured yet" in out or "of this project's benchmark" in out or "benchmark suites" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--average",), "needs to know what becomes of the map"),
        (("--average", "--name", "x", "--out", "m.csv"), "give --strategy too"),
        (("--average", "--strategy", "hard"), "strategy needs either a fraction or quotas"),
        (("--average", "--strategy", "hard", "--main", "main-0"), "leave out --main"),
        (("--average", "--strategy", "hard", "--fraction", "0.5", "--score", "aum"), "leave out --score"),
        (("--probe", PROBE, "--main", "main-0"), "leave out --main"),
        (("--name", "x"), "only --average saves a subset"),
        (("--score", "varability"), "There is no score 'varability'"),
        (("--fraction", "0"), "must be above 0"),
        (("--main", "nobody"), "There is no main model or run of it 'nobody'"),
    ],
)
def test_bad_options_are_told(
    made: Workspace, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    code, out = asked(capsys, made, "transfer", *EVERYTHING, *options, "--json")
    document = json.loads(out)
    assert code == 2
    assert said in " ".join([document["error"], *document["problems"]])


def test_runs_of_which_no_batch_is_known_are_not_compared_by_adjusted_variability(workspace: Workspace) -> None:
    whole = workspace.transferable_runs("toy")["name"].tolist()
    dynamics = dataclasses.replace(workspace.dynamics("main-0"), steps=None)
    workspace.import_dynamics(dynamics, name="imported", suite="toy")
    assert "imported" in workspace.transferable_runs("toy")["name"].tolist()
    able = workspace.transferable_runs("toy", score="adjusted_variability")["name"].tolist()
    assert "imported" not in able
    assert {"main-0", "main-1", "small-0"} <= set(able) <= set(whole)
    report = workspace.transfer_report(["main-0", "main-1", "small-0"], score="adjusted_variability")
    assert report.score == "adjusted_variability"
    assert report.scores[report.scores["score"] == "adjusted_variability"]["correlation"].notna().any()
