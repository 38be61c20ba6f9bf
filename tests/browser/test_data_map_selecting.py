"""Selecting on the data map with the mouse: outlines, points, filters, chips, undo; and what then stands saved."""

from __future__ import annotations

import re

import numpy as np
import pytest

from ftft_core.selection import select
from tests.browser.map_page import NEAR_PIXELS, inside, most_lonely, pixels_to_outline

SQUARE = [(0.1, 0.3), (0.25, 0.3), (0.25, 0.7), (0.1, 0.7)]
EASY = [(0.02, 0.8), (0.12, 0.8), (0.12, 1.0), (0.02, 1.0)]
CUT = [(0.15, 0.45), (0.3, 0.45), (0.3, 0.6), (0.15, 0.6)]


@pytest.fixture(scope="module")
def frame(app):
    return app.workspace.data_map("map-run")


@pytest.fixture
def saved(app):
    """The subsets that a test saves, by name; taken away after it."""
    names = []

    def read(name):
        names.append(name)
        return app.workspace.subset(name).recipe, app.workspace.subset_examples(name)["example_id"].tolist()

    yield read
    for name in names:
        app.workspace.remove_subset(name)


def test_a_lasso_is_saved_with_exactly_the_examples_inside_it(open_map, frame, saved):
    tab = open_map()
    middle = float(frame["variability"].median())
    corners = [(middle, 0.35), (middle + 0.09, 0.3), (middle + 0.12, 0.6), (middle + 0.05, 0.85), (middle - 0.03, 0.7)]
    pixels = tab.pixels(corners)
    tab.lasso(corners)
    count = tab.count()
    tab.save("lassoed")

    recipe, ids = saved("lassoed")
    (condition,) = recipe.conditions
    assert (condition.kind, condition.x, condition.y) == ("polygon", "variability", "confidence")
    # Exactly those inside the polygon that the recipe keeps,
    assert ids == frame.loc[inside(frame, list(condition.points)), "example_id"].tolist()
    assert 0 < count == len(ids) < len(frame)
    # and it is the polygon that the pointer drew.
    points = tab.pixels(frame[["variability", "confidence"]])
    sure = pixels_to_outline(points, pixels) > NEAR_PIXELS
    assert sure.sum() > 0.9 * len(frame)
    drawn = set(frame.loc[inside(frame, corners) & sure, "example_id"])
    assert drawn == set(ids) & set(frame.loc[sure, "example_id"])


def test_shift_adds_alt_cuts_out_and_undo_walks_back_through_all_of_it(open_map, frame, saved):
    tab = open_map()
    tab.lasso(SQUARE)
    counts = [tab.count()]
    tab.lasso(EASY, key="Shift", outlines=2)
    counts.append(tab.count())
    tab.wait_chips("lasso", "or lasso")
    tab.lasso(CUT, key="Alt", outlines=3)
    counts.append(tab.count())
    tab.wait_chips("lasso", "or lasso", "and not lasso")
    tab.save("combined")
    recipe, ids = saved("combined")
    first, added, cut = (inside(frame, list(condition.points)) for condition in recipe.conditions)
    assert [int(mask.sum()) for mask in (first, first | added, (first | added) & ~cut)] == counts
    assert ids == frame.loc[(first | added) & ~cut, "example_id"].tolist()
    assert counts[1] > counts[0] > 0
    assert counts[2] < counts[1]

    undo, redo = (tab.page.locator(f".st-key-choice-{name}").get_by_role("button") for name in ("undo", "redo"))
    undo.click()
    tab.wait_count(counts[1])
    tab.map().get_by_role("img").focus()
    tab.page.keyboard.press("Control+z")
    tab.wait_count(counts[0])
    tab.page.keyboard.press("Control+z")
    tab.wait_count(0)
    assert undo.is_disabled()
    redo.click()
    tab.wait_count(counts[0])
    tab.page.keyboard.press("Control+Shift+z")
    tab.wait_count(counts[1])


def test_the_subtract_button_cuts_out_of_everything_and_a_box_is_two_ranges(open_map, frame, saved):
    tab = open_map()
    tab.tool("Subtract")
    tab.tool("Box")
    tab.drag([(0.1, 0.2), (0.3, 0.6)])
    tab.wait_map(outlines=1)
    tab.wait_chips("not box")
    tab.save("all-but-a-box")
    recipe, ids = saved("all-but-a-box")
    (condition,) = recipe.conditions
    assert (condition.kind, condition.negated) == ("box", True)
    assert sorted(condition.x_range) == pytest.approx([0.1, 0.3], abs=0.005)
    mask = frame["variability"].between(*sorted(condition.x_range))
    mask &= frame["confidence"].between(*sorted(condition.y_range))
    assert ids == frame.loc[~mask, "example_id"].tolist()
    assert 0 < len(ids) == tab.count() < len(frame)


def test_shift_clicks_pick_examples_by_hand_and_put_them_back(open_map, frame, saved):
    tab = open_map()
    first, second = most_lonely(frame, 2)
    tab.click_point(first, key="Shift")
    tab.wait_count(1)
    tab.click_point(second, key="Shift")
    tab.wait_count(2)
    tab.wait_chips("2 listed examples")
    tab.save("by-hand")
    assert set(saved("by-hand")[1]) == {first["example_id"], second["example_id"]}
    tab.click_point(first, key="Shift")
    tab.wait_count(1)
    tab.chip(0).get_by_role("button").last.click()
    tab.wait_count(0)


def test_a_typed_filter_is_understood_or_pointed_at_and_its_chip_changed_joined_negated_and_taken_away(open_map, frame):
    tab = open_map()
    low, yes = frame["confidence"] < 0.4, frame["label"] == "yes"
    tab.filter("confidence < 0.4")
    tab.wait_count(int(low.sum()))
    # One on an unknown column points at the word, and harms nothing.
    tab.filter("label == 'yes' and confidense < 0.4")
    said = tab.page.get_by_test_id("stAlert").filter(has_text="confidense").inner_text()
    assert "was not understood" in said or "There is no column" in said
    assert "confidence" in said.replace("confidense", ""), "what was meant is proposed"
    tab.wait_count(int(low.sum()))
    tab.filter('label == "yes"')
    tab.wait_count(int((low & yes).sum()))
    assert not tab.page.get_by_test_id("stAlert").count()

    opened = tab.open_chip(1)
    opened.get_by_role("radio", name="or", exact=True).click()
    tab.wait_count(int((low | yes).sum()))
    line = opened.get_by_role("textbox", name="Filter")
    line.fill('label == "no"')
    line.press("Enter")
    tab.wait_count(int((low | ~yes).sum()))
    tab.close_popover()

    opened = tab.open_chip(0)
    assert opened.get_by_role("radio", name="these", exact=True).get_attribute("aria-checked") == "true"
    opened.get_by_role("radio", name="all but these").click()
    tab.wait_count(int((~low | ~yes).sum()))
    tab.close_popover()
    tab.wait_chips("not confidence < 0.4", 'or label == "no"')

    tab.chip(0).get_by_role("button").last.click()
    tab.wait_count(int((~yes).sum()))
    tab.wait_chips('label == "no"')


def test_a_condition_is_added_by_form_and_its_slider_moves_the_selection_in_one_step(open_map, frame):
    tab = open_map()
    tab.page.locator(".st-key-choice-add").get_by_role("button").click()
    tab.page.get_by_role("button", name="Add this condition").click()
    everything = int((frame["confidence"] <= 0.5).sum())
    tab.wait_count(everything)
    opened = tab.open_chip(0)
    slider = opened.get_by_role("slider").last
    before = tab.count()
    for _ in range(3):
        slider.press("ArrowLeft")
    slider.press("Tab")
    tab.wait_chips("confidence ≤ 0.47")
    assert tab.count() == int((frame["confidence"] <= 0.47).sum()) < before
    tab.close_popover()
    tab.page.locator(".st-key-choice-undo").get_by_role("button").click()
    tab.wait_count(everything)


def test_a_strategy_takes_its_share_of_what_is_drawn_and_its_twin_is_as_large(open_map, app, frame, saved):
    tab = open_map()
    tab.page.get_by_role("button", name="Ambiguous").click()
    tab.wait_count(79)  # 33 % of 240
    tab.save("a-third")
    assert saved("a-third")[1] == select(frame, "ambiguous", 0.33).tolist()
    tab.page.get_by_role("button", name="Save a random twin").click()
    tab.page.get_by_test_id("stToast").filter(has_text="79 examples, drawn at random").wait_for()
    (twin,) = set(app.workspace.subsets("toy")["name"]) - {"a-third", "ambiguous-33"}
    assert len(saved(twin)[1]) == 79
    tab.lasso(SQUARE)
    tab.wait_chips("lasso", "of these: ambiguous 33 %")
    assert tab.count() == round(0.33 * int(inside(frame, SQUARE).sum()))


def test_the_legend_filters_by_chip_and_by_bar(open_map, frame):
    tab = open_map("run=map-run&colour=label")
    yes = int((frame["label"] == "yes").sum())
    chip = tab.map().locator('.ftft-map-chip[data-value="yes"]')
    chip.click()
    tab.wait_count(yes)
    tab.wait_map(selected=yes)
    chip.click()
    tab.wait_count(0)
    tab.open("run=map-run&colour=confidence")
    bars = tab.map().locator(".ftft-map-bars")
    box = bars.bounding_box()
    tab.page.mouse.move(box["x"] + 2, box["y"] + box["height"] / 2)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2, steps=4)
    tab.page.mouse.up()
    tab.page.locator(".st-key-chipbox-0").wait_for()
    tab.rest()
    high = float(re.search(r"confidence ≤ ([\d.]+)", tab.chip(0).inner_text()).group(1))
    assert tab.count() == pytest.approx(int((frame["confidence"] <= high).sum()), abs=2)  # the chip's number is rounded
    assert 0.2 < high < 0.6


def test_a_zoom_stays_when_the_selection_changes(open_map):
    tab = open_map()
    tab.tool("Zoom")
    tab.drag([(0.05, 0.3), (0.25, 0.8)])
    tab.page.wait_for_function("document.querySelector('.ftft-map').ftft.view.x[0] > 0.03")
    before = tab.map().evaluate("(host) => host.ftft.view")
    tab.page.get_by_role("button", name="Ambiguous").click()
    tab.wait_count(79)
    after = tab.map().evaluate("(host) => host.ftft.view")
    np.testing.assert_allclose([*after["x"], *after["y"]], [*before["x"], *before["y"]])
    tab.tool("Whole map")
    tab.page.wait_for_function("document.querySelector('.ftft-map').ftft.view.x[0] < 0")
