"""The data map without a browser: what its panel says, refuses and saves, and what links and bad input come to."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ftft_core.selection import TextCondition, TopCondition, WhereCondition, select
from ftft_core.ui.view import Choice, pack
from tests.ui_workspace import (
    AWKWARD,
    NUM_TRAIN,
    NUM_WIDE_LABELS,
    add_pair_suite,
    add_wide_suite,
    make_workspace,
)

APP = Path(__file__).parents[1] / "app.py"
pytestmark = pytest.mark.usefixtures("app_decides_on_pages")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filled")
    workspace = make_workspace(folder)
    add_pair_suite(workspace, folder)
    add_wide_suite(workspace, folder)
    return workspace


@pytest.fixture
def app(filled, monkeypatch):
    return open_app(filled, monkeypatch)


def open_app(workspace, monkeypatch, **address):
    monkeypatch.setenv("FTFT_WORKSPACE", str(workspace.folder))
    app = AppTest.from_file(str(APP), default_timeout=60)
    return follow_link(app, **address)


def follow_link(app, **address):
    """Open the data map at an address."""
    app.query_params.clear()
    for name, value in {"run": "map-run", **address}.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, app.exception
    return app


def written(app):
    """Everything that the page says in words."""
    said = [element.value for kind in (app.markdown, app.error, app.warning) for element in kind]
    return "\n".join([*said, *(element.proto.body for element in app.get("html"))]).replace("\\", "")


def count(app):
    """How many examples the panel says are selected."""
    (body,) = (each.proto.body for each in app.get("html") if "selection-count" in each.proto.body)
    said = body.split('selection-count">')[1].split(" <span")[0]
    return 0 if said == "None" else int(said.replace(",", ""))


def chips(app):
    return [button.key for button in app.button if button.key.startswith("chip.") and button.key.endswith(".remove")]


def test_a_strategy_is_selected_counted_and_saved_exactly(app, filled):
    app.button(key="take.ambiguous").click().run()
    assert count(app) == 79  # 33 % of 240, half to even
    app.text_input(key="map.name").input("from-page").run()
    save = app.button(key="map.save")
    assert save.label == "Save 79 examples as subset"
    save.click().run()
    assert not app.error
    saved = filled.subset_examples("from-page")["example_id"].tolist()
    assert saved == select(filled.data_map("map-run"), "ambiguous", 0.33).tolist()
    assert filled.subset("from-page").recipe.strategy == "ambiguous"
    assert "Saved as from-page" in written(app)
    app.text_input(key="map.name").input("from-page").run()
    app.button(key="map.save").click().run()
    assert "'from-page' is there already" in app.error[0].value.replace("\\", ""), "a name in use is refused"
    filled.remove_subset("from-page")


def test_after_saving_the_next_step_leads_to_fine_tuning_on_it(app, filled):
    app.button(key="take.hard").click().run()
    app.text_input(key="map.name").input("next-step").run()
    app.button(key="map.save").click().run()
    app.button(key="map.fine_tune").click().run()
    assert app.selectbox(key="ft_subset").value == filled.subset("next-step").subset
    filled.remove_subset("next-step")


def test_a_hint_within_a_share_shows_all_that_it_counted(app):
    app.button(key="take.hard").click().run()
    app.segmented_control(key="panel.part").set_value("Hints").run()
    found = int(re.search(r"(\d+) probable label error", written(app)).group(1))
    assert 0 < found < count(app)
    app.button(key="hint.labels").click().run()
    assert count(app) == found


def test_a_filter_over_the_text_is_answered_by_the_workspace(app):
    app.text_input(key="choice.filter").input('contains(text, "STARS")').run()
    assert count(app) == 1
    assert app.button(key="map.save").label == "Save 1 example as subset"
    assert app.text_input(key="choice.filter").value == "", "the line is free for the next"


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("confidense < 0.6", "confidense"),
        ("confidence <", "was not understood"),
        ('matches(text, "(")', "missing )"),
        ('matches(text, "' + "(a{1,900}){900}" + '")', "invalid repetition size"),
        ("__import__('os')", "was not understood"),
        ('label == "yess"', "There is no label 'yess'"),
    ],
)
def test_a_filter_that_can_not_be_is_refused_in_a_sentence_and_takes_nothing_away(app, expression, said):
    app.text_input(key="choice.filter").input("loss < 0.6").run()
    before = count(app)
    app.text_input(key="choice.filter").input(expression).run()
    assert not app.exception
    assert said in app.error[0].value.replace("\\", "")
    assert len(app.error) == 1
    assert count(app) == before > 0
    assert chips(app) == ["chip.0.remove"]
    assert app.text_input(key="choice.filter").value == expression, "it stays to be mended"
    app.text_input(key="choice.filter").input("confidence < 0.6").run()
    assert not app.error
    assert chips(app) == ["chip.0.remove", "chip.1.remove"]


def test_a_filter_is_pointed_at_where_it_was_not_understood(app):
    app.text_input(key="choice.filter").input("loss < 0.6 and confidense < 0.6").run()
    assert "loss < 0.6 and confidense < 0.6\n               ^^^^^^^^^^" in app.error[0].value


def test_a_filter_that_no_example_meets_takes_none(app):
    app.text_input(key="choice.filter").input("confidence > 2").run()
    assert not app.error
    assert count(app) == 0
    assert app.button(key="map.save").disabled, "nothing can be saved"
    app.button(key="choice.undo").click().run()
    assert "None <span" in written(app)


def test_a_chip_takes_its_condition_away(app):
    app.text_input(key="choice.filter").input("confidence < 0.6").run()
    app.text_input(key="choice.filter").input("loss < 0.6").run()
    assert chips(app) == ["chip.0.remove", "chip.1.remove"]
    app.button(key="chip.0.remove").click().run()
    assert chips(app) == ["chip.0.remove"]
    app.button(key="chip.0.remove").click().run()
    assert count(app) == 0
    assert f'None <span class="ftft-quiet">of {NUM_TRAIN}' in written(app)


@pytest.mark.parametrize(
    "kind",
    ["Score between", "Label", "Predicted label", "Text", "Top share by strategy", "Typed filter", "Saved subset"],
)
def test_every_kind_of_condition_is_added_by_its_form(app, kind):
    app.selectbox(key="choice.add.kind").select(kind).run()
    app.button(key="choice.add.do").click().run()
    assert not app.exception
    assert not app.error
    assert chips(app) == ["chip.0.remove"]
    assert 0 < count(app) <= NUM_TRAIN


def test_a_pattern_that_does_not_compile_is_told_where_it_is_typed(app):
    app.selectbox(key="choice.add.kind").select("Text").run()
    app.text_input(key="choice.add.0.Text.pattern.0").input("(").run()
    app.checkbox(key="choice.add.0.Text.regex.0").check().run()
    app.button(key="choice.add.do").click().run()
    assert not app.exception
    assert "missing )" in app.error[0].value.replace("\\", "")


def test_an_earlier_epoch_has_its_own_map_and_its_recipe_says_so(app, filled):
    follow_link(app, epochs="2")
    app.button(key="take.hard").click().run()
    app.text_input(key="map.name").input("early").run()
    app.button(key="map.save").click().run()
    assert filled.subset("early").recipe.epochs == 2
    expected = select(filled.data_map("map-run", epochs=2), "hard", 0.33).tolist()
    assert filled.subset_examples("early")["example_id"].tolist() == expected
    filled.remove_subset("early")


def test_the_table_holds_a_page_of_rows_with_text_as_it_is(app):
    table = app.dataframe[-1].value
    assert len(table) == 50
    assert table["text"].iloc[0] == AWKWARD
    app.text_input(key="table.search").input("(").run()
    assert len(app.dataframe[-1].value) == 1  # alert(1)
    app.toggle(key="table.regex").set_value(True).run()
    assert "missing )" in app.error[0].value.replace("\\", "")
    assert not app.exception


def test_every_score_and_column_can_be_an_axis_and_a_colour(app, filled):
    colours = ("label", "predicted_label", "forgetting_events", "first_learnt_epoch", "aum", "tag")
    for colour in (*colours, f"subset:{filled.subset('ambiguous-33').subset}"):
        follow_link(app, colour=colour, x="first_learnt_epoch", y="aum")
        assert not app.warning
        assert app.selectbox(key="pick.colour").value == colour


def packed(**choice):
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(choice).encode())).decode().rstrip("=")


def polygon(*points):
    return {"kind": "polygon", "x": "variability", "y": "confidence", "points": points}


def condition(**values):
    return packed(conditions=[values])


BAD_LINKS = {
    "x": ({"x": "foo"}, "The link's x: There is no score 'foo'"),
    "y": ({"y": "DROP TABLE"}, "The link's y: There is no score 'DROP TABLE'"),
    "colour": ({"colour": "<b>red</b>"}, "The link's colour: There is no colour '<b>red</b>'"),
    "beside": ({"beside": "rgone"}, "The link shows run 'rgone' beside, which is not in this suite"),
    "beside itself": ({"beside": "map-run"}, "which is not in this suite"),
    "no number": ({"epochs": "٣"}, "The link's epochs: received '٣'"),
    "negative": ({"epochs": "-3"}, "The link's epochs: received '-3'"),
    "too many": ({"epochs": "99"}, "this run has 4"),
    "example": ({"example": "<i>none</i>"}, "Example '<i>none</i>' is not on this map"),
    "gone colour": ({"colour": "subset:GONE"}, "coloured by subset 'GONE', which is not in this suite"),
    "run and more": ({"run": "rdeleted", "x": "nope"}, "There is no score 'nope'"),
    "run and its choice": ({"run": "rdeleted", "example": "3"}, "What else the link shows is of that run"),
    "run": ({"run": "rdeleted"}, "The link shows run 'rdeleted', which is not in this workspace"),
    "suite": ({"run": "", "suite": "gone"}, "The link shows suite 'gone', which is not in this workspace"),
    "cut": ({"choice": pack(Choice(strategy="hard", fraction=0.1))[:-4]}, "it was cut or changed on its way"),
    "two vertices": (
        {"choice": packed(conditions=[polygon([0, 0], [1, 1])])},
        "Condition 1 (polygon): a polygon needs",
    ),
    "not a number": ({"choice": packed(conditions=[polygon([0, 0], [1, 1], [float("nan"), 0])])}, "finite"),
    "infinite": ({"choice": packed(conditions=[polygon([0, 0], [1, 1], [float("inf"), 0])])}, "finite"),
    "kind": ({"choice": condition(kind="sql", expression="1=1")}, "The link's selection"),
    "strategy": ({"choice": packed(strategy="best", fraction=0.3)}, "best"),
    "no share": ({"choice": packed(strategy="hard")}, "fraction"),
    "share of two": ({"choice": packed(strategy="hard", fraction=2)}, "fraction"),
    "score": ({"choice": condition(kind="threshold", score="nope", low=0.5)}, "nope"),
    "column": ({"choice": condition(kind="labels", labels=["yes"], column="colour")}, "The link's selection"),
    "label": ({"choice": condition(kind="labels", labels=["maybe"])}, "maybe"),
    "other run": ({"choice": condition(kind="threshold", score="loss", low=0.5, run="rgone")}, "rgone"),
    "subset": ({"choice": condition(kind="set", expression="a", operands={"a": "sgone"})}, "sgone"),
    "unknown ids": ({"choice": condition(kind="ids", example_ids=["x1"])}, "x1"),
    "pattern": ({"choice": pack(Choice(conditions=(TextCondition(pattern="a(", regex=True),)))}, "missing )"),
    "filter": ({"choice": pack(Choice(conditions=(WhereCondition(expression="loss << 1"),)))}, "not understood"),
    "crowd": ({"choice": packed(conditions=[{"kind": "excluded"}] * 5_000)}, "The link's selection"),
}


@pytest.fixture(scope="module")
def kept_app():
    return AppTest.from_file(str(APP), default_timeout=60)


@pytest.mark.parametrize("name", BAD_LINKS)
def test_nonsense_in_a_link_is_told_in_a_sentence_and_the_map_is_there(kept_app, filled, monkeypatch, name):
    monkeypatch.setenv("FTFT_WORKSPACE", str(filled.folder))
    address, said = BAD_LINKS[name]
    app = follow_link(kept_app, **address)
    shown = " ".join(each.value for each in [*app.warning, *app.error]).replace("\\", "")
    assert said in shown
    assert len(app.warning) + len(app.error) == 1
    assert f"of {NUM_TRAIN}" in written(app)


def test_what_is_odd_in_a_link_but_can_be_is_taken(app, filled):
    frame = filled.data_map("map-run")
    tiny = Choice(strategy="hard", fraction=0.004)
    assert count(follow_link(app, choice=pack(tiny))) == 1
    top = Choice(conditions=(TopCondition(strategy="easy", fraction=0.004),))
    assert count(follow_link(app, choice=pack(top))) == 1
    assert count(follow_link(app, choice=condition(kind="threshold", score="loss", low=-5, high=1e9))) == NUM_TRAIN
    follow_link(app, x="confidence", y="confidence", choice=packed(conditions=[polygon([0, 0], [9, 0], [9, 9])]))
    assert not app.warning
    assert count(app) == int((frame["variability"] > frame["confidence"]).sum())


def test_links_problems_leave_with_the_next_click(app):
    follow_link(app, x="foo")
    assert app.warning
    app.button(key="take.hard").click().run()
    assert not app.warning


def test_a_run_of_one_epoch_has_a_map_and_refuses_what_needs_two(app):
    follow_link(app, run="pair-once")
    assert "one counted epoch, and variability needs two: AUM stands in its place" in written(app)
    assert app.selectbox(key="pick.x").value == "aum"
    assert app.button(key="take.ambiguous").disabled
    assert "needs two epochs" in app.button(key="take.ambiguous").help
    follow_link(app, run="pair-once", choice=packed(strategy="ambiguous", fraction=0.5))
    assert "'ambiguous' needs at least 2 counted epochs" in app.error[0].value.replace("\\", "")
    app.button(key="choice.undo").click().run()
    app.button(key="take.hard").click().run()
    assert not app.error
    assert count(app) == 40  # 33 % of 120
    follow_link(app, run="pair-run", beside="pair-once")
    assert not app.exception
    assert "epoch" in " ".join(each.value for each in app.error)


def test_150_labels_are_all_there_and_none_crowds_the_page(app):
    follow_link(app, run="wide-run", colour="label")
    app.text_input(key="choice.filter").input('label in ["label 149", "label 003"]').run()
    assert count(app) == 4
    for part in ("Words", "Scores", "Hints", "Summary"):
        app.segmented_control(key="panel.part").set_value(part).run()
        assert not app.exception
        assert not app.error
    app.selectbox(key="choice.add.kind").select("Label").run()
    assert len(app.multiselect(key="choice.add.1.Label.labels.0").options) == NUM_WIDE_LABELS


def test_a_suite_with_null_bytes_is_refused_in_a_sentence(filled, tmp_path):
    (tmp_path / "train.csv").write_text("text,label\na\0b,yes\nc,no\n", encoding="utf-8")
    (tmp_path / "spec.yaml").write_text(
        "text: text\nlabel: label\ntrain: train.csv\ndev: train.csv\n", encoding="utf-8"
    )
    with pytest.raises(Exception, match="has a character that is no text"):
        filled.add_suite("null", tmp_path / "spec.yaml")


def test_awkward_names_of_tags_and_groups_are_conditions_like_any_other(app, filled):
    follow_link(app, run="pair-run", colour="tag")
    for kind, expected in (("Group", 30), ("Tag", 2)):
        app.selectbox(key="choice.add.kind").select(kind).run()
        app.button(key="choice.add.do").click().run()
        assert not app.exception
        assert count(app) == expected
        app.button(key="choice.undo").click().run()
