"""What comes back from the map and what goes to it, without a browser."""

from __future__ import annotations

import base64

import numpy as np
import pandas as pd
import pytest

from ftft_core.errors import InputError
from ftft_core.figures import DrawnMap, data_map_figure
from ftft_core.selection import BoxCondition, LabelCondition, PolygonCondition
from ftft_core.ui import map_component
from ftft_core.ui.map_component import LegendClick, gesture_condition

AXES = ("variability", "confidence")
POLYGON = {"kind": "polygon", "x": "variability", "y": "confidence", "points": [[0, 0], [1, 0], [0, 1]]}
BOX = {"kind": "box", "x": "variability", "y": "confidence", "x_range": [0, 0.5], "y_range": [0.2, 1]}


def drawn(colour: str) -> DrawnMap:
    frame = pd.DataFrame(
        {
            "variability": [0.1, 0.2, np.nan, 0.4],
            "confidence": [0.5, 0.6, 0.7, 0.8],
            "correctness": [0.0, 0.5, 0.5, 1.0],
            "loss": np.linspace(0, 23, 4),
            "label": pd.Categorical(["a", "b", "a", "b"]),
        }
    )
    if colour == "many":
        frame = pd.concat([frame] * 50, ignore_index=True).assign(many=np.arange(200.0))
    return data_map_figure(frame, colour=colour, num_epochs=2)


def test_outlines_come_back_as_conditions():
    assert gesture_condition({**POLYGON, "mode": "add"}, AXES) == (
        PolygonCondition(x="variability", y="confidence", points=((0, 0), (1, 0), (0, 1))),
        "add",
    )
    assert gesture_condition(BOX, AXES) == (
        BoxCondition(x="variability", y="confidence", x_range=(0, 0.5), y_range=(0.2, 1)),
        "replace",
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("lasso", "An outline must be an object; received str"),
        ({**POLYGON, "mode": "invert"}, "invert"),
        ({**POLYGON, "x": "loss"}, "The outline is not on the axes variability and confidence"),
        ({**POLYGON, "points": [[0, 0], [1, 1]]}, "The outline"),
        ({**POLYGON, "points": [[0, 0], [1, 1], [float("nan"), 0]]}, "The outline"),
        ({**BOX, "y_range": [0, float("inf")]}, "The outline"),
        ({**BOX, "sql": "drop table"}, "The outline"),
    ],
)
def test_what_is_no_outline_is_refused(value, words):
    with pytest.raises(InputError) as refused:
        gesture_condition(value, AXES)
    assert words in " ".join([refused.value.message, *refused.value.problems])


def test_a_click_in_the_legend_is_read_against_the_legend():
    assert map_component._legend_click({"values": ["b"]}, drawn("label")) == LegendClick("label", values=("b",))
    many = drawn("many")
    low, high = many.colours.bars[1][0], many.colours.bars[2][1]
    assert map_component._legend_click({"first": 1, "last": 2}, many) == LegendClick("many", low=low, high=high)
    assert map_component._legend_click({"first": 0, "last": 2}, many) == LegendClick("many", low=None, high=high)
    # A bar of a single value is that value.
    assert map_component._legend_click({"first": 2, "last": 2}, drawn("correctness")) == LegendClick(
        "correctness", low=1.0, high=1.0
    )
    for value in ({"values": ["c"]}, {"first": 0, "last": 0}, {}):
        with pytest.raises(InputError, match="The legend has changed"):
            map_component._legend_click(value, drawn("label"))
    with pytest.raises(InputError, match="The legend has changed"):
        map_component._legend_click({"first": 2, "last": 30}, many)


def test_outlines_on_other_axes_are_not_drawn_and_turned_ones_are():
    polygon = PolygonCondition.model_validate(POLYGON)
    box = BoxCondition.model_validate(BOX)
    assert map_component._outline_message(polygon, ("loss", "confidence")) is None
    assert map_component._outline_message(LabelCondition(labels=("a",)), AXES) is None
    assert map_component._outline_message(polygon, AXES) == {
        "kind": "polygon", "dashed": False, "points": [(0, 0), (1, 0), (0, 1)]
    }  # fmt: skip
    turned = map_component._outline_message(box.model_copy(update={"negated": True}), AXES[::-1])
    assert turned == {"kind": "box", "dashed": True, "x_range": [0.2, 1], "y_range": [0, 0.5]}


def test_a_selection_is_one_bit_for_each_drawn_point():
    made = drawn("label")
    assert made.places.rows.tolist() == [0, 1, 3]
    message = map_component._selected_message(made, np.array([False, True, True, True]))
    assert base64.b64decode(message["points"]) == bytes([0b110])
    assert sum(message["x"]) == 2
    assert sum(message["y"]) == 3
    assert message["correctness"] == [0, 2, 1]


def test_only_an_example_with_a_place_is_ringed():
    made = drawn("label")
    assert map_component._place_of(made, 3) == [0.4, 0.8]
    assert [map_component._place_of(made, row) for row in (2, 4, -1, None)] == [None] * 4
