"""The experiment view of the fine-tune page without a browser: what its form asks for, and what can be done."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
import yaml
from streamlit.testing.v1 import AppTest

from ftft_core import experiments
from ftft_core.config import parse
from ftft_core.experiments import ExperimentPlan, Recipe, mapping_of, record
from ftft_core.ui.experiment_markup import cost_markup
from ftft_core.ui.experiment_words import DEFAULTS, form_of, hidden_words, read_form, share_words
from ftft_core.workspace import Workspace
from tests.test_pages_fine_tune import written
from tests.ui_workspace import make_workspace

APP = Path(__file__).parents[1] / "app.py"
pytestmark = pytest.mark.usefixtures("app_decides_on_pages")
NOBODY = 2**22 + 1
"""No process has this number: it is past the largest."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A workspace that no test changes."""
    return make_workspace(tmp_path_factory.mktemp("experiment"))


@pytest.fixture
def workspace(made, tmp_path, monkeypatch):
    """A copy of it, which the app shows, and in which nothing starts by itself."""
    shutil.copytree(made.folder, tmp_path / "workspace")
    monkeypatch.setenv("FTFT_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setattr("ftft_core.jobs.queue.Queue.ensure_worker", lambda self: None)
    monkeypatch.setattr(Workspace, "start_measuring", lambda self, configs: None)
    # This process stands in for the one that works on an experiment, and does nothing.
    monkeypatch.setattr("ftft_core.experiments.driving.start_detached", lambda *_, **__: os.getpid())
    return Workspace(tmp_path / "workspace")


def open_page(**state):
    page = AppTest.from_file(str(APP), default_timeout=60)
    page.session_state["fine_tune.view"] = "experiment"
    for name, value in state.items():
        page.session_state[name] = value
    page.switch_page("pages/fine_tune.py").run()
    assert not page.exception
    return page


def buttons(page):
    return {button.key: button for button in page.button}


def started(workspace):
    """The one experiment of the workspace."""
    (experiment,) = experiments.experiments(workspace)
    return experiment


def test_what_is_there_and_what_is_missing_is_said_with_its_price_before_it_starts(workspace):
    page = open_page()
    page.pills(key="ex_methods").set_value(["erm", "ftft", "random"]).run()
    page.number_input(key="ex_epochs").set_value(4.0).run()
    said = written(page)
    assert "4 runs, 2 of them finished already, 2 to do: 1.5 GFLOP, about 8.8 seconds" in said  # 22 steps
    assert "as much as 0.23 plain fine-tunings" in said  # of 32 steps, three times as dear
    button = page.button(key="ex_start")
    assert (button.label, button.disabled) == ("Start 2 runs", False)
    assert len(workspace.subsets()) == 1, "looking saves nothing"
    button.click().run()
    assert not page.error
    experiment = started(workspace)
    assert experiment.status == "running"
    assert experiment.recipe.epochs == 4
    assert [line.status for line in experiment.runs].count("finished") == 2
    said = written(page)
    assert re.findall("Under way.*?left", said) == ["Under way: 2 of 4 runs finished, about 8 s left"]
    assert page.button(key="ex_start").disabled
    assert "It is under way already" in said


def test_all_that_is_wrong_is_said_at_once_and_nothing_starts(workspace):
    page = open_page()
    page.text_input(key="ex_seeds").set_value("many").run()
    page.text_input(key="ex_fraction").set_value("1/3, 4").run()
    page.text_input(key="ex_learning_rate").set_value("fast").run()
    page.number_input(key="ex_layers").set_value(40).run()
    said = written(page)
    for reason in ("Seeds: received &#x27;many&#x27;", "Fractions: received &#x27; 4&#x27;", "learning_rate", "layers"):
        assert reason in said
    assert page.button(key="ex_start").disabled
    assert experiments.experiments(workspace) == []


def test_methods_need_what_they_need(workspace):
    page = open_page()
    page.button(key="ex_drop_0").click().run()
    assert "A reference_model is needed by erm_matched, ftft, but missing" in written(page)
    page.button(key="ex_add").click().run()
    assert not page.button(key="ex_start").disabled


def test_form_and_yaml_are_two_views_of_one_recipe(workspace):
    page = open_page()
    page.text_input(key="ex_seeds").set_value("0-2").run()
    page.segmented_control(key="ex_mode").set_value("YAML").run()
    recipe = yaml.safe_load(page.text_area(key="ex_yaml").value)
    assert (recipe["suite"], recipe["seeds"]) == ("toy", [0, 1, 2])
    assert recipe["methods"] == ["erm", "erm_matched", "ftft", "random"]
    assert "15 runs" in written(page)

    page.text_area(key="ex_yaml").set_value(
        "suite: toy\nmain_model: {model: nowhere}\nmethods: [magic]\nepochs: x"
    ).run()
    said = written(page)
    for reason in ("There is no method &#x27;magic&#x27;", "epochs: received", "nowhere"):
        assert reason in said
    page.segmented_control(key="ex_mode").set_value("Form").run()
    assert page.segmented_control(key="ex_mode").value == "YAML"
    assert "The form can show it once" in written(page)

    recipe |= {"seeds": [7], "training": {"weight_decay": 0.5, "batch_size": 8}}
    recipe["main_model"]["stop"] = "patience"
    page.text_area(key="ex_yaml").set_value(yaml.safe_dump(recipe)).run()
    page.segmented_control(key="ex_mode").set_value("Form").run()
    assert page.text_input(key="ex_seeds").value == "seed 7"
    assert page.number_input(key="ex_batch_size").value == 8
    assert "The recipe also sets main model: stop" in written(page)
    assert "training: weight decay" in written(page)
    page.button(key="ex_start").click().run()
    kept = started(workspace).recipe
    assert (kept.training.weight_decay, kept.main_model.stop, kept.seeds) == (0.5, "patience", (7,))


def test_a_recipe_for_another_suite_says_so(workspace):
    page = open_page()
    page.segmented_control(key="ex_mode").set_value("YAML").run()
    text = page.text_area(key="ex_yaml").value
    page.text_area(key="ex_yaml").set_value(text.replace("suite: toy", "suite: elsewhere")).run()
    assert "There is no suite &#x27;elsewhere&#x27;" in written(page)
    assert page.button(key="ex_start").disabled


def recipe_for(workspace, **changes):
    model = workspace.run("map-run")["model"]
    values = {
        "suite": "toy", "main_model": {"model": model}, "reference_model": {"model": model}, "epochs": 4,
        "methods": ["erm", "ftft"], **changes,
    }  # fmt: skip
    return parse(Recipe, values, what="The recipe")


def test_one_under_way_is_seen_by_any_tab_stopped_and_gone_on_with(workspace):
    experiment = experiments.start_experiment(workspace, recipe_for(workspace)).experiment
    page = AppTest.from_file(str(APP), default_timeout=60).switch_page("pages/fine_tune.py").run()
    assert page.segmented_control(key="ft_view").value == "experiment", "who comes back finds it"
    page.button(key=f"ex-open-{experiment}").click().run()
    assert "after reference" not in written(page)  # that one is there already
    page.button(key=f"ex-stop-{experiment}").click().run()
    folder = record.find(workspace.folder, experiment)
    assert folder.is_to_stop
    assert "Stopping: runs that train finish their step" in written(page)
    assert buttons(page)[f"ex-stop-{experiment}"].disabled

    folder.change(status="stopped")
    page.run()
    page.button(key=f"ex-go-{experiment}").click().run()
    assert started(workspace).status == "running"
    assert not folder.is_to_stop


def test_a_dead_driver_is_seen_as_such_and_can_be_gone_on_with(workspace):
    experiment = experiments.start_experiment(workspace, recipe_for(workspace)).experiment
    record.find(workspace.folder, experiment).change(pid=NOBODY)
    page = open_page(**{"fine_tune.experiment": experiment})
    assert "Interrupted. 2 of 3 runs finished; its process ended without a word" in written(page)
    page.button(key=f"ex-go-{experiment}").click().run()
    assert started(workspace).status == "running"


def test_one_that_was_forgotten_meanwhile_gives_a_sentence(workspace):
    page = open_page(**{"fine_tune.experiment": "e0000000"})
    assert "may have been forgotten" in page.warning[0].value
    assert "No experiment on this suite yet" in written(page)


def test_an_experiment_whose_runs_are_all_there_leads_to_the_comparison(workspace):
    page = open_page()
    page.number_input(key="ex_epochs").set_value(4.0).run()
    page.pills(key="ex_methods").set_value(["erm"]).run()
    assert "1 run, 1 of them finished already, 0 to do" in written(page)
    assert "ex_compare" in buttons(page)


# What the form means


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"seeds": [0, 1, 2], "fraction": [0.1, 0.5], "max_steps": 50, "epochs": None},
        {"seeds": [3, 5], "methods": ["jtt", "poe", "focal"], "error_weight": 3, "early_stop": 0.25},
        {"training": {"learning_rate": 1e-4, "max_length": 64, "weight_decay": 0.2,
                      "reference": {"learning_rate": 2e-4, "batch_size": 4}}},
        {"main_model": {"model": "m", "layers": 3, "stop": "patience", "patience": 2},
         "reference_model": [{"model": "r", "epochs": 5, "stop": "settled"}, {"model": "t", "max_steps": 7}]},
    ],
)  # fmt: skip
def test_a_form_filled_with_a_recipe_asks_for_that_recipe_again(changes):
    values = {"suite": "s", "main_model": {"model": "m"}, "reference_model": {"model": "r", "layers": 1},
              "methods": ["erm", "ftft"], "epochs": 3, **changes}  # fmt: skip
    recipe = parse(Recipe, {name: value for name, value in values.items() if value is not None}, what="The recipe")
    filled, references, rest = form_of(mapping_of(recipe))
    again, problems = read_form(filled, references, rest, suite="s")
    assert problems == []
    assert parse(Recipe, again, what="The recipe") == recipe


def test_what_the_form_does_not_show_is_named():
    rest = {"training": {"weight_decay": 0.1, "reference": {"batch_size": 4, "learning_rate": 1}}}
    said = hidden_words([{"rest": {"stop": "settled"}}], rest)
    assert said == "The recipe also sets training: weight decay; training of references: batch size; reference 1: stop."
    assert hidden_words([{}], {}) == ""


def test_an_empty_form_says_what_is_missing():
    _, problems = read_form({**DEFAULTS, "methods": [], "fraction": ""}, [], {}, suite="s")
    assert [problem.partition(":")[0] for problem in problems] == ["Main model", "Methods", "Fractions"]
    assert [share_words(1 / 3), share_words(0.33), share_words(1.0)] == ["1/3", "0.33", "1"]
    assert float(share_words(2 / 3)) == 2 / 3


def test_remarks_that_begin_alike_are_all_told() -> None:
    remarks = tuple(f"ftft, minilm 4 layers, 0.1 %: {said}" for said in ("trains on 3 examples.", "takes one step."))
    markup = cost_markup(ExperimentPlan((), remarks, (), ()), None)
    assert [remark in markup for remark in remarks] == [True, True]
