"""The comparison page: what it says, marks, links and refuses, without a browser."""

import html
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from ftft_core.comparison.pairs import mcnemar
from ftft_core.config import RunConfig
from ftft_core.figures import LIGHT
from ftft_core.neighbours.__main__ import main as embed
from ftft_core.ui.compare_examples import examples_markup, outcome_words, run_with_map
from ftft_core.ui.compare_export import seeds_csv
from ftft_core.ui.compare_notes import COVERAGE, no_erm_markup, seeds_markup
from ftft_core.ui.compare_pair import (
    MAX_GROUPS,
    default_pins,
    groups_words,
    most_different,
    ordered_groups,
    summary_markup,
)
from ftft_core.ui.paper_table import comparison_table
from ftft_core.workspace.charted import front_points, reach_words
from tests.compare_workspace import AWKWARD, SUITE, Made, finish, leave_predictions, make_compare_workspace

APP = Path(__file__).parents[1] / "app.py"
pytestmark = pytest.mark.usefixtures("app_decides_on_pages")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return make_compare_workspace(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def report(workspace):
    return workspace.compare(SUITE)


@pytest.fixture
def app(workspace, monkeypatch):
    monkeypatch.setenv("FTFT_WORKSPACE", str(workspace.folder))
    return AppTest.from_file(str(APP), default_timeout=60)


def open_compare(app, **address):
    for name, value in {"suite": SUITE, **address}.items():
        app.query_params[name] = value
    page = app.switch_page("pages/compare.py").run()
    assert not page.exception
    return page


def written(page):
    said = [element.value for element in page.markdown]
    return "\n".join([*said, *(element.proto.body for element in page.get("html"))])


def words(markup):
    """What a table says, cell by cell, without what shows on hover."""
    seen = re.sub(r'<span class="tipbox">.*?</span>', "", markup, flags=re.DOTALL)
    cells = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", seen, flags=re.DOTALL)
    return [html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", cell)).strip()) for cell in cells]


def test_the_page_concludes_warns_and_shows_the_table(app):
    page = open_compare(app)
    said = written(page)
    assert '<div class="ftft-summary">ftft reaches' in said  # the only version of its method needs no name
    assert "erm (learning rate 2e-05) has 2 seeds. Under 3 seeds" in said
    assert "3 of 4 seeds" in said
    assert COVERAGE.split(":")[0] in said
    assert "is reached by ftft at" in said
    assert not page.error


def test_the_table_has_methods_in_columns_splits_in_rows_and_costs_below(report):
    said = words(comparison_table(report, "accuracy", LIGHT))
    assert said[:6] == [
        "", "erm learning rate 5e-05 baseline, 3 seeds", "erm learning rate 2e-05 2 seeds", "erm_matched 3 seeds",
        "ftft 3 of 4 seeds", "random 3 seeds",
    ]  # fmt: skip
    assert "Cost as a share of erm’s, the reference’s included" in said
    assert no_erm_markup(report) == ""
    places = [said.index(name) for name in ("In distribution", "forum", "Out of distribution", "news", "average")]
    assert places == sorted(places)
    start = said.index("FLOPs")
    assert said[start : start + 6] == [
        "FLOPs", "100 % 60 TFLOP", "100 % 60 TFLOP", "48 % 29 TFLOP", "47 % 28 TFLOP", "33 % 20 TFLOP",
    ]  # fmt: skip
    row = report.rows[(report.rows["method"] == "ftft") & (report.rows["split"] == "news")].iloc[0]
    cell = said[said.index("news") + 4]
    assert cell.startswith(f"{100 * row['mean']:.1f} ± {100 * row['std']:.1f}")
    assert f"[{100 * row['delta_low']:+.1f}".replace("-", "−") in cell


def test_a_mark_stands_exactly_where_the_corrected_interval_excludes_zero(report):
    table = comparison_table(report, "accuracy", LIGHT)
    chosen = report.rows["metric"] == "accuracy"
    averages = report.comparison.averages
    averages = averages[(averages["metric"] == "accuracy") & (averages["role"] == "out_of_distribution")]
    tests = int(report.comparison.marks[chosen]["marked"].sum()) + int(averages["marked"].sum())
    assert len(re.findall(r'class="delta (?:better|worse)"', table)) == tests > 0
    assert len(re.findall(r"\d\*", table)) == tests


def test_every_number_says_which_runs_and_seeds_it_is_of(report):
    tips = re.findall(r'<span class="tipbox">(.*?)</span>', comparison_table(report, "accuracy", LIGHT), re.DOTALL)
    (news,) = [tip for tip in tips if tip.startswith("ftft, news: accuracy")]
    lines = html.unescape(news).splitlines()
    assert [line.split()[:2] + line.split()[-1:] for line in lines[1:4]] == [
        ["seed", str(seed), f"ftft-{seed}"] for seed in range(3)
    ]
    assert lines[4] == "seed 3 failed: the disk is full"
    assert lines[5].startswith("+") or lines[5].startswith("−")
    (flops,) = [tip for tip in tips if "reference and selecting 8 TFLOP" in tip]
    assert "its own runs 20 TFLOP" in flops


def test_a_column_says_what_its_runs_are(report):
    tips = re.findall(r'<span class="tipbox">(.*?)</span>', comparison_table(report, "accuracy", LIGHT), re.DOTALL)
    (head,) = [html.unescape(tip) for tip in tips if tip.startswith("ftft: mini-lm, 6 layers")]
    assert "120 steps, whole budget" in head
    assert "33.33 % of the training examples, ambiguous" in head
    assert "reference mini-lm, 2 layers, reference 12 steps" in head.replace("\n", " ")
    assert "runs ftft-0, ftft-1, ftft-2" in head


def test_what_is_missing_is_shown(tmp_path):
    made = [
        Made("random", 1, 20, seeds=(0,), subset="random-{seed}", snapshots=0),
        Made("focal", 1, 60, (), failed=(0,)),
    ]
    report = make_compare_workspace(tmp_path, made).compare(SUITE)
    table = comparison_table(report, "macro_f1", LIGHT)
    said = words(table)
    assert said[1:3] == ["random 1 seed", "focal 0 of 1 seeds"]
    assert "Cost, the reference’s included" in said
    assert "There is no finished erm run" in no_erm_markup(report)
    assert said[said.index("news") + 2] == "–"
    assert "seed 0 failed: the disk is full" in table
    assert "random has 1 seed" in seeds_markup(report)
    assert front_points(report, "accuracy").empty
    assert any("no &#x27;erm&#x27; run" in html.escape(note) for note in report.notes)


def test_a_mean_of_fewer_seeds_than_its_column_has_says_so(report):
    rows, seeds = report.rows.copy(), report.comparison.marks["column"] == report.column("ftft").id
    rows.loc[seeds.to_numpy() & (rows["split"] == "news").to_numpy(), "num_seeds"] = 2
    fewer = replace(report, comparison=replace(report.comparison, rows=rows))
    of_all, of_some = (words(comparison_table(each, "accuracy", LIGHT)) for each in (report, fewer))
    assert "2 seeds" in of_some[of_some.index("news") + 4]
    assert "seeds" not in of_all[of_all.index("news") + 4]


def test_when_all_have_failed_the_page_says_so(tmp_path, monkeypatch):
    workspace = make_compare_workspace(tmp_path, [Made("erm", 1, 60, seeds=(), failed=(0, 1))])
    monkeypatch.setenv("FTFT_WORKSPACE", str(workspace.folder))
    page = open_compare(AppTest.from_file(str(APP), default_timeout=60))
    assert "This suite has no finished run to compare yet; 2 ended early." in written(page)


def test_with_many_methods_intervals_move_to_the_hover_and_nothing_is_cut(tmp_path):
    names = ("erm", "focal")
    made = [
        Made(name, 1, 60, seeds=(0,), snapshots=0, training={"batch_size": 8 * size}, suffix=f"-{size}")
        for name in names
        for size in range(1, 6)
    ]
    report = make_compare_workspace(tmp_path, made).compare(SUITE)
    assert len(report.columns) == 10
    table = comparison_table(report, "accuracy", LIGHT)
    assert 'class="ftft-paper dense"' in table
    assert 'class="interval"' not in table
    assert 'title="focal (batch of 8), news: accuracy' in table


def test_every_main_model_has_a_front_of_its_own(tmp_path):
    """A share of a small model's cost is no share of a large one's."""
    made = (Made("erm", 1.4, 60, (0,)), Made("random", 1.3, 20, (0,), "drawn-{seed}"))
    workspace = make_compare_workspace(tmp_path, made)
    for method, skill, flops in (("erm", 0.4, 6e12), ("random", 0.3, 2e12)):
        subset = "drawn-0" if method == "random" else None
        config = RunConfig(suite=SUITE, model=str(tmp_path / "mini-lm"), layers=1, method=method, subset=subset)
        run = workspace.queue_run(config)
        leave_predictions(workspace, run, Made(method, skill, 1), 0)
        finish(workspace, run, flops)
    workspace.sync()
    report = workspace.compare(SUITE)
    said = report.conclusion.splitlines()
    assert [line.partition(" reaches ")[0] for line in said] == [
        "random (mini-lm, 6 layers)",
        "random (mini-lm, 1 layers)",
    ]
    small = next(column.id for column in report.columns if column.name == "random (mini-lm, 1 layers)")
    assert report.conclusions(small, "accuracy") == said[::-1]  # what is pinned comes first
    points = front_points(report, "accuracy")
    # The small model's are worse at the same shares, and stand on a front all the same.
    assert sorted(points["cost_share"].round(2)) == [0.33, 0.33, 1.0, 1.0]
    assert points["on_front"].all()
    assert points["score"].max() - points["score"].min() > 0.1


def test_points_of_the_front_and_words_of_the_curves(workspace, report):
    points = front_points(report, "accuracy").set_index("name")
    assert points.loc["ftft", "cost_share"] == pytest.approx(28 / 60)
    assert points.loc["ftft", "on_front"]
    assert not points.loc["erm_matched", "on_front"]
    curves = workspace.cost_curves(report)
    said = reach_words(report, curves, list(report.columns), "accuracy", "out of distribution")
    share = curves.reach.set_index("column").loc[report.column("ftft").id, "share"]
    assert f"ftft at {100 * share:.0f} %" in said[0]
    assert "Not reached by" in said[1]
    ends = curves.points[curves.points["is_end"] & (curves.points["column"] == report.column("erm").id)]
    assert said[2].startswith(
        f"The 3 seeds of erm spread there by {100 * ends['value'].std():.1f} (standard deviation)"
    )
    assert "200 of news" in said[3]
    assert len(said) == 4
    ends = curves.curves["is_end"] | (curves.curves["column"] != report.column("ftft").id)
    said = reach_words(report, replace(curves, curves=curves.curves[ends]), list(report.columns), "accuracy", "there")
    assert said[4].startswith("ftft is one point: most of the seeds")


def test_the_summary_of_a_pair_counts_what_was_won_and_lost(workspace, report):
    pair = workspace.compare_pair(report, *default_pins(report), "news")
    counts = pair.counts()
    said = re.sub(r"<[^>]+>", "", summary_markup(pair, "ftft", "<i>erm</i>", "accuracy", LIGHT))
    assert said.startswith(f"Of 200 examples only ftft is right in most seeds on {counts['won']}, only")
    assert "&lt;i&gt;erm&lt;/i&gt; on" in said
    assert f"p = {mcnemar(counts['won'], counts['lost']):.2f}"[:8] in said


def test_pins_are_ftft_against_the_baseline_unless_asked_otherwise(report):
    assert default_pins(report) == (report.column("ftft").id, report.columns[0].id)


def test_groups_are_ordered_and_counted(workspace, report):
    pair = workspace.compare_pair(report, *default_pins(report), "checks")
    groups = pair.groups[pair.groups["metric"] == "accuracy"]
    by_delta = ordered_groups(groups, "delta")["delta"]
    assert by_delta.is_monotonic_decreasing
    assert list(ordered_groups(groups, "name")["group"]) == sorted(groups["group"])
    ahead = int((groups["delta"] > 0).sum())
    assert groups_words(groups, "ftft", "erm").startswith(f"ftft is ahead in {ahead}, erm in")


def test_of_too_many_groups_those_that_differ_most_are_drawn():
    deltas = np.linspace(-0.5, 0.3, MAX_GROUPS + 21)
    groups = pd.DataFrame({"group": [f"g{place:02}" for place in range(len(deltas))], "delta": deltas})
    kept = most_different(groups)
    assert len(kept) == MAX_GROUPS
    assert kept["delta"].min() == -0.5
    assert kept["delta"].abs().min() >= groups[~groups.index.isin(kept.index)]["delta"].abs().max()


def test_the_address_sets_score_baseline_pins_and_split(app, report):
    second = report.column("random").id
    page = open_compare(app, metric="ece", baseline="erm_matched", second=second, split="checks")
    assert page.selectbox(key="compare.metric").value == "ece"
    assert page.selectbox(key="compare.baseline").value == "erm_matched"
    assert page.selectbox(key="compare.second").value == second
    assert page.selectbox(key="compare.split").value == "checks"
    assert "lower is better" in written(page)
    assert not page.warning


def test_what_a_link_cannot_show_is_said(app):
    page = open_compare(app, metric="bleu", first="jtt-123456")
    said = [warning.value.replace("\\", "") for warning in page.warning]
    assert any("The link's metric: received 'bleu'; there is accuracy, macro_f1, ece." in each for each in said)
    assert any("The link's first: received 'jtt-123456'" in each for each in said)
    assert page.selectbox(key="compare.metric").value == "accuracy"


def test_what_a_link_says_of_a_part_of_the_page_is_told_as_words(app):
    page = open_compare(app, split="![x](http://far.away/x.png)", curves="up")
    assert any("received '\\!\\[x\\]\\(http" in warning.value for warning in page.warning)
    assert any("The link's curves: received 'up'" in warning.value.replace("\\", "") for warning in page.warning)


def test_choosing_changes_the_page_and_the_address(app, report):
    page = open_compare(app)
    random = report.column("random").id
    page.selectbox(key="compare.second").select(random).run()
    assert page.query_params["second"] == random
    assert "random" in written(page).split('data-testid="pair-summary"')[1]
    page.selectbox(key="compare.metric").select("macro_f1").run()
    assert page.query_params["metric"] == "macro_f1"
    assert page.query_params["second"] == random
    page.selectbox(key="compare.metric").select("accuracy").run()
    assert "metric" not in page.query_params


def test_one_method_against_itself_says_so(app, report):
    erm = report.columns[0].id
    page = open_compare(app, first=erm, second=erm)
    assert "Both are the same method" in written(page)


def test_examples_are_words_as_they_stand(workspace, report):
    pair = workspace.compare_pair(report, *default_pins(report), "checks")
    frames = [workspace.pair_examples(report, pair, outcome, search="<img")[1] for outcome in pair.counts()]
    (rows,) = [frame for frame in frames if len(frame)]
    markup = examples_markup(rows, ("ftft", "<b>erm</b>"), SUITE)
    assert html.escape(AWKWARD) in markup
    assert "<img" not in markup
    assert "<b>erm" not in markup


def test_examples_lead_to_the_training_example_nearest_to_them_once_texts_are_embedded(
    tmp_path, monkeypatch, accelerate_left_as_it_was
):
    workspace = make_compare_workspace(tmp_path)
    monkeypatch.setenv("FTFT_WORKSPACE", str(workspace.folder))
    page = open_compare(AppTest.from_file(str(APP), default_timeout=60), split="checks")
    assert page.button(key="hint.embed").label == "Embed the texts"
    assert "none of these texts is one. Once the texts are embedded" in written(page)

    fingerprint = workspace.suite_facts(SUITE)["fingerprint"]
    assert embed(workspace.folder, fingerprint, "minilm", 32) == 0
    page.run()
    assert "hint.embed" not in {button.key for button in page.button}
    said = written(page)
    links = re.findall(r'<a href="\./\?([^"]+)" target="_self">the nearest training example on the map \(cosine', said)
    report = workspace.compare(SUITE)
    pair = workspace.compare_pair(report, *default_pins(report), "checks")
    _, rows = workspace.pair_examples(report, pair, "won", limit=20)
    assert len(links) == len(rows) > 0
    nearest = workspace.nearest_training(SUITE, "checks", rows["example_id"].tolist())
    assert [link.rpartition("example=")[2] for link in links] == nearest["example_id"].tolist()


def test_examples_are_shown_on_a_map_of_all_examples(monkeypatch):
    listed = pd.DataFrame({"run_id": ["part", "none", "whole"], "counted_epochs": [3, 0, 2], "fraction": [0.3, 1, 1]})
    monkeypatch.setattr("ftft_core.ui.reads.runs", lambda suite: listed)
    for picked, shown in (("part", "whole"), ("whole", "whole"), (None, "whole")):
        now = SimpleNamespace(run=None if picked is None else {"run_id": picked})
        monkeypatch.setattr("ftft_core.ui.compare_examples.chosen", lambda now=now: now)
        assert run_with_map("talk") == shown
    monkeypatch.setattr("ftft_core.ui.reads.runs", lambda suite: listed[:2])
    assert run_with_map("talk") == "part", "better than none"
    monkeypatch.setattr("ftft_core.ui.reads.runs", lambda suite: listed[1:2])
    assert run_with_map("talk") is None


def test_outcomes_are_named_with_their_numbers():
    counts = {"won": 1234, "lost": 5, "both_wrong": 6, "both_right": 7}
    assert list(outcome_words(counts, ("ftft", "erm")).values()) == [
        "only ftft right  1,234", "only erm right  5", "both wrong  6", "both right  7",
    ]  # fmt: skip


def test_names_in_buttons_are_words():
    counts = dict.fromkeys(("won", "lost", "both_wrong", "both_right"), 1)
    assert outcome_words(counts, ("a *b*", "c"))["won"] == "only a \\*b\\* right  1"


def test_every_seed_s_score_can_be_taken_away(report):
    lines = seeds_csv(report).splitlines()
    assert lines[0] == "method,run,run_id,seed,split,role,metric,value"
    assert len(lines) == 1 + 14 * 5 * 3
    assert any(line.startswith("erm (learning rate 2e-05),erm-slow-0,") for line in lines)
