"""The state behind the data map: gestures, undo, and the address that reproduces it."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import pytest

from ftft_core.errors import InputError
from ftft_core.selection import (
    BoxCondition,
    IdsCondition,
    LabelCondition,
    PolygonCondition,
    TextCondition,
    ThresholdCondition,
)
from ftft_core.ui import condition_forms, gestures
from ftft_core.ui.condition_forms import begin
from ftft_core.ui.view import (
    Choice,
    History,
    MapState,
    as_address,
    choose,
    fits_address,
    history,
    pack,
    redo,
    undo,
    unpack,
)

TRIANGLE = PolygonCondition(x="variability", y="confidence", points=((0.1, 0.1), (0.2, 0.1), (0.15, 0.3)))
BOX = BoxCondition(x="variability", y="confidence", x_range=(0, 0.1), y_range=(0.5, 1))
POSITIVE = LabelCondition(labels=("pos",))


def kinds(choice):
    return [(item.join, item.negated, item.kind) for item in choice.conditions]


def test_a_new_outline_replaces_what_was_drawn_and_keeps_the_filters():
    choice = Choice(conditions=(TRIANGLE, POSITIVE, BOX.model_copy(update={"join": "or"})))
    assert kinds(gestures.with_outline(choice, BOX, "replace")) == [("and", False, "box"), ("and", False, "labels")]
    assert kinds(gestures.with_outline(Choice(conditions=(POSITIVE,)), BOX, "replace")) == [
        ("and", False, "box"),
        ("and", False, "labels"),
    ]


def test_adding_widens_what_is_drawn_before_the_filters_narrow_it():
    choice = gestures.with_outline(Choice(conditions=(TRIANGLE, POSITIVE)), BOX, "add")
    assert kinds(choice) == [("and", False, "polygon"), ("or", False, "box"), ("and", False, "labels")]
    assert kinds(gestures.with_outline(Choice(), BOX, "add")) == [("and", False, "box")]


def test_subtracting_cuts_out_of_what_is_drawn_or_of_everything():
    choice = gestures.with_outline(Choice(conditions=(TRIANGLE, POSITIVE)), BOX, "subtract")
    assert kinds(choice) == [("and", False, "polygon"), ("and", True, "box"), ("and", False, "labels")]
    assert kinds(gestures.with_outline(Choice(), BOX, "subtract")) == [("and", True, "box")]
    assert kinds(gestures.with_outline(Choice(conditions=(POSITIVE,)), BOX, "subtract")) == [
        ("and", False, "labels"),
        ("and", True, "box"),
    ]


def test_examples_are_picked_and_put_back_by_hand():
    choice = gestures.with_clicked(Choice(conditions=(TRIANGLE,)), "7")
    assert kinds(choice) == [("and", False, "polygon"), ("or", False, "ids")]
    choice = gestures.with_clicked(choice, "9")
    assert choice.conditions[1].example_ids == ("7", "9")
    choice = gestures.with_clicked(gestures.with_clicked(choice, "7"), "9")
    assert choice == Choice(conditions=(TRIANGLE,))


def test_a_click_in_the_legend_turns_a_value_on_and_off():
    choice = gestures.with_value(Choice(), "label", "pos")
    choice = gestures.with_value(choice, "label", "neg")
    assert choice.conditions == (LabelCondition(labels=("pos", "neg")),)
    choice = gestures.with_value(choice, "predicted_label", "pos")
    assert [item.column for item in choice.conditions] == ["label", "predicted_label"]
    choice = gestures.with_value(gestures.with_value(choice, "label", "pos"), "label", "neg")
    assert [item.column for item in choice.conditions] == ["predicted_label"]


def test_a_range_of_the_legend_replaces_the_one_before_and_comes_off_when_repeated():
    choice = gestures.with_range(Choice(conditions=(POSITIVE,)), "loss", 0.5, 1.0)
    choice = gestures.with_range(choice, "loss", None, 1.0)
    assert choice.conditions == (POSITIVE, ThresholdCondition(score="loss", high=1.0))
    assert gestures.with_range(choice, "loss", None, 1.0) == Choice(conditions=(POSITIVE,))


def test_clearing_takes_away_what_was_drawn_alone():
    drawn = (TRIANGLE, POSITIVE, BOX, IdsCondition(example_ids=("1",)))
    assert gestures.without_drawn(Choice(conditions=drawn)) == Choice(conditions=(POSITIVE,))


@pytest.fixture
def kept(monkeypatch):
    state = MapState()
    monkeypatch.setattr("ftft_core.ui.view.state", lambda: state)
    return state.histories.setdefault("r1", History())


def test_undo_and_redo_walk_through_the_choices(kept):
    first, second = Choice(conditions=(TRIANGLE,)), Choice(conditions=(TRIANGLE, POSITIVE))
    choose("r1", first)
    choose("r1", first)  # nothing new, so no step
    choose("r1", second)
    undo("r1")
    assert kept.now == first
    undo("r1")
    undo("r1")
    assert kept.now.is_empty
    redo("r1")
    redo("r1")
    redo("r1")
    assert kept.now == second
    undo("r1")
    choose("r1", Choice(conditions=(BOX,)))
    redo("r1")
    assert kept.now == Choice(conditions=(BOX,)), "a new choice ends what could be redone"


def test_a_slider_that_is_dragged_on_is_one_step(kept):
    for high in (0.5, 0.4, 0.3):
        choose("r1", Choice(conditions=(ThresholdCondition(score="loss", high=high),)), step="chip.0")
    undo("r1")
    assert kept.now.is_empty


@pytest.mark.parametrize(
    "choice",
    [
        Choice(),
        Choice(conditions=(TRIANGLE, BOX.model_copy(update={"join": "or"})), strategy="hard", fraction=0.2),
        Choice(conditions=(TextCondition(pattern="naïve \u202e<b>&?=%😀", negated=True),), balance=True),
    ],
)  # fmt: skip
def test_a_choice_comes_back_from_an_address_as_it_was(choice):
    packed = pack(choice)
    assert unpack(packed) == choice
    assert packed.replace("-", "").replace("_", "").isalnum() or not packed


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        ("nonsense", "can't be read; it was cut or changed"),
        ("!!!", "can't be read"),
        (pack(Choice(conditions=(TRIANGLE,)))[:-9], "can't be read"),
        ("A" * 20_000, "at most 16,000"),
        (base64.urlsafe_b64encode(zlib.compress(b"[1]")).decode(), "holds something else"),
        (
            base64.urlsafe_b64encode(zlib.compress(b'{"conditions": [{"kind": "poly"}]}')).decode(),
            "The link's selection",
        ),
        (base64.urlsafe_b64encode(zlib.compress(b" " * 5_000_000)).decode(), "can't be read"),
    ],
)
def test_an_address_with_nonsense_is_refused_in_a_sentence(packed, said):
    with pytest.raises(InputError, match=said) as caught:
        unpack(packed)
    assert "Traceback" not in str(caught.value)


def test_a_list_that_an_address_can_not_hold_is_left_out_of_it(kept):
    short = Choice(conditions=(IdsCondition(example_ids=tuple(str(number) for number in range(50))),))
    long = Choice(conditions=(IdsCondition(example_ids=tuple(str(7919 * number) for number in range(12_000))),))
    assert fits_address(short)
    assert not fits_address(long)
    for choice, is_there in ((short, True), (long, False)):
        choose("r", choice)
        assert ("choice" in as_address("r")) is is_there
    assert history("r").now == long


def test_a_widget_that_moved_on_before_its_value_was_taken_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    session: dict[str, Any] = {}
    monkeypatch.setattr(condition_forms.st, "session_state", session)
    assert begin("score", 0.5) == ("score.0", 0.5)
    session["score.0"] = 0.49
    begin("score", 0.5)  # the value that it changed is about to be taken over
    session["score.0"] = 0.47
    assert begin("score", 0.49) == ("score.0", 0.5)
    assert begin("score", 0.47) == ("score.0", 0.5)
    assert begin("score", 0.5) == ("score.1", 0.5), "what was undone is shown by a new widget"
