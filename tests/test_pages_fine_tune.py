"""The fine-tune page without a browser: what its form asks for and refuses, and what can be done to runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ftft_core.config import BudgetConfig, RunConfig, TrainingConfig
from ftft_core.methods import METHODS
from ftft_core.ui.planning import (
    DEFAULTS,
    form_of,
)
from ftft_core.workspace import Workspace
from tests.ui_workspace import AWKWARD, finish, leave_predictions, make_workspace, queue

APP = Path(__file__).parents[1] / "app.py"
pytestmark = pytest.mark.usefixtures("app_decides_on_pages")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A workspace that no test changes."""
    return make_workspace(tmp_path_factory.mktemp("fine-tune"))


@pytest.fixture
def measured(monkeypatch):
    """What a warm-up was asked for; none is made, since it would outlive the test."""
    asked = []
    monkeypatch.setattr(Workspace, "start_measuring", lambda self, configs: asked.append(configs))
    return asked


@pytest.fixture
def workspace(made, tmp_path, monkeypatch, measured):
    """A copy of it, which the app shows, and in which nothing starts by itself."""
    shutil.copytree(made.folder, tmp_path / "workspace")
    monkeypatch.setenv("FTFT_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setattr("ftft_core.jobs.queue.Queue.ensure_worker", lambda self: None)
    return Workspace(tmp_path / "workspace")


def open_page():
    page = AppTest.from_file(str(APP), default_timeout=60).switch_page("pages/fine_tune.py").run()
    assert not page.exception
    return page


def written(page):
    """Everything that the page says in words."""
    said = [element.value for kind in (page.markdown, page.error, page.warning) for element in kind]
    return "\n".join([*said, *(element.proto.body for element in page.get("html"))]).replace("\u00a0", " ")


def waiting(workspace, name, seed=0):
    return queue(workspace, Path(workspace.run("map-run")["model"]), name=name, method="erm", seed=seed)


def test_what_is_trained_on_a_subset_begins_with_the_settings_of_plain_fine_tuning(workspace):
    row = workspace.run("erm-1")
    plain = workspace.config_of("erm-1")
    changed = plain.model_copy(
        update={
            "seed": 7, "name": "plain-7", "layers": 1, "budget": BudgetConfig(max_steps=20),
            "training": TrainingConfig(learning_rate=3e-4, batch_size=16),
        }
    )  # fmt: skip
    run = workspace.queue_run(changed)
    leave_predictions(workspace, run, skill=1.0, seed=7)
    finish(workspace, run, flops=1e9)

    page = AppTest.from_file(str(APP), default_timeout=60)
    page.session_state["fine_tune.subset"] = workspace.subset("ambiguous-33").subset
    page.switch_page("pages/fine_tune.py").run()
    assert not page.exception
    assert "Model and settings as plain-7; change what you like" in written(page)
    held = {name: page.session_state[f"ft_{name}"] for name in (*DEFAULTS,)}
    assert (held["model"], held["layers"], held["learning_rate"], held["batch_size"]) == (row["model"], 1, "0.0003", 16)
    assert (held["unit"], held["share"], held["full_epochs"]) == ("share", "1/3", 20 / 15)  # 240 in batches of 16
    assert (held["method"], held["name"], held["seeds"]) == ("ftft", "", "1")
    page.button(key="ft_clear").click().run()
    assert page.text_input(key="ft_learning_rate").value == DEFAULTS["learning_rate"]


def test_the_form_queues_one_run_a_seed_and_says_so(workspace):
    page = open_page()
    page.text_input(key="ft_seeds").set_value("2").run()
    page.number_input(key="ft_epochs").set_value(2.0).run()
    page.multiselect(key="ft_trackers").set_value(["tensorboard"]).run()
    button = page.button(key="ft_start")
    assert button.label == "Start 2 runs"
    assert "seeds 2-3" in written(page)  # 0 and 1 are there already
    button.click().run()
    assert not page.error
    queued = workspace.runs()[lambda runs: runs["status"] == "queued"]
    assert queued["seed"].tolist() == [2, 3]
    config = RunConfig.model_validate_json(queued["config"].iloc[0])
    assert (config.method, config.budget.epochs, config.training.snapshots) == ("erm", 2.0, DEFAULTS["snapshots"])
    assert config.training.trackers == ("tensorboard",)


def test_the_cost_is_measured_once_nothing_is_wrong(workspace, measured):
    page = open_page()
    assert len(measured) > 0
    assert "1 run, 24 steps" in written(page)
    measured.clear()
    page.text_input(key="ft_seeds").set_value("many").run()
    assert measured == []


def test_all_that_is_wrong_is_said_at_once_beside_a_button_that_starts_nothing(workspace):
    page = open_page()
    page.text_input(key="ft_seeds").set_value("many").run()
    page.text_input(key="ft_learning_rate").set_value("fast").run()
    page.number_input(key="ft_layers").set_value(40).run()
    said = written(page)
    for reason in ("Seeds: received &#x27;many&#x27;", "learning_rate", "layers"):
        assert reason in said
    assert page.button(key="ft_start").disabled


def test_a_subset_proposes_the_method_and_budget_that_its_strategy_makes(workspace):
    page = open_page()
    page.selectbox(key="ft_subset").select(workspace.subset("ambiguous-33").subset).run()
    assert page.selectbox(key="ft_method").options[:2] == ["ftft", "cartography"]
    assert page.selectbox(key="ft_unit").value == "share"
    page.button(key="ft_start").click().run()
    config = RunConfig.model_validate_json(workspace.runs().iloc[-1]["config"])
    assert config.budget.max_steps == 8  # a third of 3 epochs of 8 steps each


def test_what_the_form_holds_stays_while_another_page_is_looked_at(workspace):
    page = open_page()
    page.text_input(key="ft_seeds").set_value("0, 2, 7").run()
    page.selectbox(key="ft_stop").select("patience").run()
    page.number_input(key="ft_patience").set_value(5).run()
    page.text_input(key="ft_learning_rate").set_value("3e-5").run()
    page.switch_page("pages/subsets.py").run()
    page.switch_page("pages/fine_tune.py").run()
    assert page.text_input(key="ft_seeds").value == "0, 2, 7"
    assert page.number_input(key="ft_patience").value == 5
    assert page.text_input(key="ft_learning_rate").value == "3e-5"
    assert page.button(key="ft_start").label == "Start 3 runs"


def test_a_run_is_opened_with_all_that_is_kept_about_it_and_closed(workspace):
    run = workspace.run("map-run")["run_id"]
    page = open_page()
    page.button(key=f"run-open-{run}").click().run()
    assert not page.exception
    said = written(page)
    assert "Finished, step 30 of 30" in said
    assert workspace.run(run)["suite_fingerprint"] in said
    assert "epochs 4" in said
    page.button(key="run-close").click().run()
    assert f"run-open-{run}" in {button.key for button in page.button}


def test_a_link_to_a_run_that_was_removed_says_so_and_shows_the_list(workspace):
    page = AppTest.from_file(str(APP), default_timeout=60)
    page.session_state["fine_tune.opened"] = "r0000000"
    page.switch_page("pages/fine_tune.py").run()
    assert "may have been removed" in page.warning[0].value
    assert "erm-0" in {button.label.replace("\\", "") for button in page.button}


def test_runs_that_wait_are_moved_cancelled_and_queued_again(workspace):
    first, second = waiting(workspace, "one", seed=5), waiting(workspace, "two", seed=6)
    page = open_page()
    assert page.button(key=f"run-up-{first}").disabled
    assert "next in line" in written(page)
    page.button(key=f"run-up-{second}").click().run()
    assert workspace.queue()["run_id"].tolist() == [second, first]
    assert page.button(key=f"run-up-{second}").disabled
    page.button(key=f"cancel.{second}").click().run()
    assert workspace.run(second)["status"] == "cancelled"
    page.button(key=f"retry.{second}").click().run()
    assert workspace.run(second)["status"] == "queued"


def test_a_duplicate_fills_the_form_with_the_run_s_configuration(workspace):
    page = open_page()
    page.text_input(key="ft_seeds").set_value("0, 2, 7").run()
    subset = workspace.subset("ambiguous-33").subset
    config = RunConfig(
        suite="toy", model=workspace.run("map-run")["model"], subset=subset, method="cartography", seed=4,
        budget=BudgetConfig(max_steps=12), training=TrainingConfig(batch_size=8, gradient_clip_norm=None),
    )  # fmt: skip
    run_id = workspace.queue_run(config)
    page.session_state["ft.to_fill"] = (form_of(workspace.config_of(run_id)), "that-run")
    page.run()
    assert "As that-run; change what you like." in written(page)
    assert page.selectbox(key="ft_method").value == "cartography"
    page.button(key="ft_start").click().run()
    again = workspace.config_of(workspace.runs().iloc[-1]["run_id"])
    assert again == workspace.config_of(run_id)
    page.button(key="ft_clear").click().run()
    assert page.text_input(key="ft_seeds").value == DEFAULTS["seeds"]
    assert page.selectbox(key="ft_method").value == "erm"


def test_a_removed_run_comes_back_by_undo_and_from_the_trash(workspace):
    from ftft_core.ui import run_actions

    page = open_page()
    run = waiting(workspace, "gone", seed=9)
    workspace.cancel(run)
    for way_back in ("undo", "restore"):
        workspace.remove_run(run)
        page.session_state[run_actions.STATE] = run_actions.RunsState(
            removed={run: ("gone", float("inf"))} if way_back == "undo" else {}, shows_trash=True
        )
        page.run()
        assert f"run-open-{run}" not in {button.key for button in page.button}
        page.button(key=f"{way_back}.{run}").click().run()
        assert workspace.run(run)["status"] == "cancelled"
        assert f"run-open-{run}" in {button.key for button in page.button}


def test_the_way_to_a_run_s_map_chooses_it(workspace):
    run = workspace.run("map-run")["run_id"]
    page = open_page()
    assert "finished · 12 s" in written(page)
    assert "75.0 %" in written(page)
    page.button(key=f"show.{run}").click().run()
    assert page.selectbox(key="run").value == run


def test_a_suite_without_runs_says_what_will_stand_there(workspace, tmp_path):
    folder = tmp_path / "again"
    folder.mkdir()
    shutil.copytree(workspace.folder.parent / "workspace", folder / "w")
    workspace.add_suite("fresh", Path(_spec_of(tmp_path)))
    page = open_page()
    page.selectbox(key="suite").select("fresh").run()
    assert "No run of this suite yet" in written(page)


def _spec_of(folder):
    data = folder / "fresh"
    data.mkdir()
    (data / "train.csv").write_text(f"text,label\n{AWKWARD},no\nb,yes\n", encoding="utf-8")
    (data / "spec.yaml").write_text("text: text\nlabel: label\ntrain: train.csv\ndev: train.csv\n", encoding="utf-8")
    return data / "spec.yaml"


# Methods that another run guides


def test_every_method_is_offered_those_that_fit_first_and_others_say_what_they_need(workspace):
    page = open_page()
    box = page.selectbox(key="ft_method")
    assert box.options[:3] == ["erm", "reference", "erm_matched"]
    assert {option.partition(" ")[0] for option in box.options} == set(METHODS)
    box.select("hard").run()
    assert "Method hard trains on the part that the strategy &#x27;hard&#x27; selects, but all examples" in written(
        page
    )
    assert page.button(key="ft_start").disabled
    page.selectbox(key="ft_subset").select(workspace.subset("ambiguous-33").subset).run()
    page.selectbox(key="ft_method").select("jtt").run()
    assert "Method jtt trains on all examples, but a subset is chosen; choose all training examples" in written(page)
    page.selectbox(key="ft_method").select("easy").run()
    assert "subset &#x27;ambiguous-33&#x27; was selected by &#x27;ambiguous&#x27;" in written(page)


def test_a_guided_method_is_offered_the_runs_that_can_guide_it(workspace):
    page = open_page()
    page.selectbox(key="ft_method").select("poe").run()
    reference = workspace.run("map-run")["run_id"]
    assert page.selectbox(key="ft_reference").options == ["map-run"]  # the others have no dynamics
    page.button(key="ft_start").click().run()
    config = RunConfig.model_validate_json(workspace.runs().iloc[-1]["config"])
    assert (config.method, config.reference) == ("poe", reference)


def test_jtt_without_a_reference_that_knows_its_errors_sets_one_up(workspace):
    page = open_page()
    page.selectbox(key="ft_method").select("jtt").run()
    assert "No finished run of this suite knows all its examples and looked for its errors" in written(page)
    assert "Method jtt needs a reference to guide it: set one up above, and start it first." in written(page)
    assert page.button(key="ft_start").disabled
    page.button(key="ft_make_reference").click().run()
    assert (page.selectbox(key="ft_method").value, page.checkbox(key="ft_error_pass").value) == ("reference", True)
    page.button(key="ft_start").click().run()
    made = workspace.runs().iloc[-1]
    assert RunConfig.model_validate_json(made["config"]).error_pass
    plan = workspace.plan([RunConfig(suite="toy", model=made["model"], method="jtt", reference="map-run")])
    assert "did not find out which training examples it gets wrong" in plan.problems[0]


def test_matched_erm_takes_what_ftft_cost(workspace):
    page = open_page()
    page.selectbox(key="ft_method").select("erm_matched").run()
    assert page.text_input(key="ft_max_flops").value == "3e+09"  # 2e9 of ftft, 1e9 of its reference
