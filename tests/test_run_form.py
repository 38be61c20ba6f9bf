"""What the form of a run means, what is said of runs in few words, and their curves."""

from __future__ import annotations

import itertools
import re

import pandas as pd
import pytest

from ftft_core.config import BudgetConfig, RunConfig, TrainingConfig, parse
from ftft_core.errors import InputError
from ftft_core.figures import DARK, LIGHT
from ftft_core.figures.run_charts import SPARK_WIDTH, scores_by_step_figure, sparkline, training_loss_figure
from ftft_core.ui.planning import (
    fitting_methods,
    form_of,
    free_seeds,
    read_form,
    read_seeds,
    read_share,
    seeds_words,
    usual_budget,
)
from ftft_core.ui.run_markup import how_words, ordinal, size_words, state_words, taken_words
from ftft_core.workspace import RunProgress
from tests.ui_workspace import make_workspace


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("3", 3), (" 1 ", 1), ("0-4", [0, 1, 2, 3, 4]), ("0, 2,7", [0, 2, 7]), ("seed 7", [7]), ("7,", [7]),
     ("1, 0-2", [1, 0, 2])],
)  # fmt: skip
def test_seeds_are_how_many_or_which(typed, meant):
    assert read_seeds(typed) == meant


@pytest.mark.parametrize("typed", ["", "0", "many", "4-1", "1.5", "-1", "1-", ",", "seed", "1e3"])
def test_seeds_that_are_neither_are_refused(typed):
    with pytest.raises(InputError, match="must be how many"):
        read_seeds(typed)


def test_more_seeds_than_one_can_mean_are_refused():
    with pytest.raises(InputError, match="at most 50 runs"):
        read_seeds("0-1000")
    with pytest.raises(InputError, match="at most 50 runs"):
        read_seeds("51")


@pytest.mark.parametrize(("typed", "share"), [("1/3", 1 / 3), ("0.25", 0.25), ("33 %", 0.33), ("1", 1.0), ("3/3", 1.0)])
def test_a_share_is_read_as_people_write_it(typed, share):
    assert read_share(typed) == pytest.approx(share)


@pytest.mark.parametrize("typed", ["0", "4/3", "1/0", "half", "", "-1/3", "120 %", "1.2.3"])
def test_a_share_outside_of_zero_to_one_is_refused(typed):
    with pytest.raises(InputError, match="above 0 and at most 1"):
        read_share(typed)


def test_a_share_of_plain_fine_tuning_s_steps_becomes_steps():
    values = {"model": "m", "method": "ftft", "unit": "share", "share": "1/3", "full_epochs": 3.0, "batch_size": 32}
    asked, problems = read_form(values, suite="s", num_train=1000, runs=no_runs(), subset=None)
    assert problems == []
    assert asked[0]["budget"] == {"max_steps": 32}  # a third of 3 epochs of ceil(1000 / 32) = 32 steps


def test_names_of_several_runs_end_with_their_seeds():
    values = {"model": "m", "method": "erm", "seeds": "4-5", "name": "mine"}
    asked, _ = read_form(values, suite="s", num_train=10, runs=no_runs(), subset=None)
    assert [run["name"] for run in asked] == ["mine-4", "mine-5"]


@pytest.mark.parametrize(
    "config",
    [
        RunConfig(suite="s", model="m"),
        RunConfig(suite="s", model="m", layers=2, seed=7, budget=BudgetConfig(max_steps=12), stop="patience",
                  patience=2, training=TrainingConfig(learning_rate=1e-3, gradient_clip_norm=None, snapshots=4,
                                                      trackers=("tensorboard", "wandb"))),
        RunConfig(suite="s", model="m", method="reference", stop="settled", settled_overlap=0.7),
        RunConfig(suite="s", model="m", method="erm_matched", budget=BudgetConfig(max_flops=2.5e15)),
    ],
)  # fmt: skip
def test_a_form_filled_with_a_run_asks_for_that_run_again(config):
    asked, problems = read_form(form_of(config), suite="s", num_train=100, runs=no_runs(), subset=None)
    assert problems == []
    assert [parse(RunConfig, run, what="The run") for run in asked] == [config]


def no_runs():
    return pd.DataFrame(columns=["model", "method", "subset", "num_layers", "status", "seed"])


def test_methods_budgets_and_seeds_are_proposed(tmp_path):
    made = make_workspace(tmp_path)
    runs = made.runs()
    model = runs["model"].iloc[0]
    subset = made.subsets().iloc[0].to_dict()
    assert fitting_methods(None)[:2] == ["erm", "reference"]
    assert fitting_methods({"strategy": "random"}) == ["random"]
    assert fitting_methods({"strategy": None})[0] == "ftft"
    assert usual_budget("ftft") == {"unit": "share", "share": "1/3"}
    assert usual_budget("cartography")["share"] == "1"
    assert usual_budget("erm") == {"unit": "epochs"}
    assert free_seeds(runs, model, None, None, "erm", 2) == [2, 3]
    assert free_seeds(runs, model, None, subset, "ftft", 1) == [2]
    assert free_seeds(runs, model, None, {**subset, "subset": "another"}, "ftft", 1) == [0]
    assert free_seeds(runs, "other", None, None, "erm", 2) == [0, 1]


def progress(**said):
    usual = {name: None for name in RunProgress.__dataclass_fields__}
    return RunProgress(**{**usual, "message": "", "fraction": 0.0, "dev_scores": {}, "can_resume": False, **said})


def test_a_line_says_in_few_words_how_a_run_is_doing():
    running = progress(status="running", step=40, num_steps=100, seconds_left=720.0, fraction=0.4)
    assert how_words(running, 0) == "12 min left · 40 %"
    assert how_words(progress(status="running"), 0) == "starting"
    assert how_words(progress(status="queued", expected_seconds=240.0), 1) == "next in line · about 4 min"
    assert how_words(progress(status="queued"), 2) == "2nd in line"
    assert how_words(progress(status="finished", seconds_elapsed=258.0), None) == "finished · 4 min"
    assert how_words(progress(status="lost", step=3, fraction=0.25), None) == "lost at 25 %"


def test_a_run_that_stopped_says_why_and_what_to_press():
    failed = progress(status="failed", message="the disk is full", step=3, num_steps=9, can_resume=True)
    said = state_words(failed, position=None)
    assert said == "Failed at step 3 of 9: the disk is full. Resume goes on from its newest checkpoint."
    stopped = progress(status="cancelled", message="cancelled before it started; resume queues it again")
    assert state_words(stopped, position=None).startswith("Cancelled before it started. It has no checkpoint yet")
    assert "Try again starts it from its first step" in state_words(progress(status="cancelled"), position=None)
    resumed = progress(status="running", stage="training", step=50, num_steps=90, resumed_from_step=40)
    assert state_words(resumed, position=0) == "Training, step 50 of 90. It went on from step 40."
    assert "after the 2 runs before it" in state_words(progress(status="queued"), position=3)


def test_sizes_places_and_times_are_worded():
    assert [size_words(size) for size in (12, 2048, 312 * 2**20, 1.25 * 2**30)] == [
        "12 bytes", "2.0 KiB", "312 MiB", "1.2 GiB",
    ]  # fmt: skip
    assert [ordinal(number) for number in (1, 2, 3, 4, 11, 22)] == ["1st", "2nd", "3rd", "4th", "11th", "22nd"]
    assert seeds_words([4]) == "seed 4"
    assert seeds_words([0, 1, 2]) == "seeds 0-2"
    assert seeds_words([0, 2, 7]) == "seeds 0, 2, 7"
    assert taken_words(progress(status="finished", expected_seconds=246.0), 258.0) == "took 4.3 min, expected 4.1 min"


def curves(**roles):
    rows = [(step, 0, "loss", None, "train", 1.0 / step) for step in range(1, 6)]
    rows += [(step, 0, "accuracy", split, role, 0.5 + step / 100) for split, role in roles.items() for step in (10, 20)]
    return pd.DataFrame(rows, columns=["step", "epoch", "what", "split", "role", "value"])


def test_in_and_out_of_distribution_have_their_colours_and_dev_that_of_the_text():
    found = curves(far="out_of_distribution", usual="in_distribution", dev="dev", farther="out_of_distribution")
    for theme in (LIGHT, DARK):
        figure = scores_by_step_figure(found, theme, metric="accuracy", num_steps=40)
        colours = [trace.line.color for trace in figure.data]
        assert colours == [theme.text, theme.in_distribution, theme.out_of_distribution, theme.out_of_distribution]
        assert figure.data[2].line.dash != figure.data[3].line.dash


def test_names_beside_the_curves_do_not_touch():
    same = {f"split {number}": "out_of_distribution" for number in range(6)}
    figure = scores_by_step_figure(curves(**same), LIGHT, metric="accuracy", num_steps=None)
    places = sorted(note.y for note in figure.layout.annotations)
    assert min(high - low for low, high in itertools.pairwise(places)) > 0.08
    assert places[-1] <= 1.0


def test_the_axis_of_steps_ends_with_the_budget_so_that_a_growing_curve_moves_nothing():
    figure = training_loss_figure(curves(), LIGHT, num_steps=400)
    assert figure.layout.xaxis.range == (0, 404)
    assert not len(training_loss_figure(curves().iloc[:0], LIGHT, num_steps=None).data[0].x)


def test_a_sparkline_takes_the_share_of_its_width_that_the_run_has_come():
    import base64

    def last_x(share):
        picture = base64.b64decode(sparkline([3, 2, 1], LIGHT, share=share).partition(",")[2]).decode()
        return float(re.search(r'cx="([0-9.]+)"', picture)[1])

    assert sparkline([1.0], LIGHT) == ""
    assert last_x(1.0) == SPARK_WIDTH - 3
    assert last_x(0.5) < 0.55 * SPARK_WIDTH
