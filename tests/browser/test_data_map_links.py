"""What a link to the data map holds: reload, Back and Forward, two people at once, a second map, and epochs."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.browser.conftest import SECONDS
from tests.browser.map_page import inside

SQUARE = [(0.1, 0.3), (0.25, 0.3), (0.25, 0.7), (0.1, 0.7)]
EASY = [(0.02, 0.8), (0.12, 0.8), (0.12, 1.0), (0.02, 1.0)]


@pytest.fixture(scope="module")
def frame(app):
    return app.workspace.data_map("map-run")


@pytest.fixture
def stranger(browser):
    """Somebody else's browser."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(1000 * SECONDS)
    yield context
    context.close()


def query_of(tab):
    return tab.page.url.partition("?")[2]


def picked(tab, name):
    return tab.page.locator(f".st-key-pick-{name}").get_by_role("combobox").input_value()


def test_a_link_reproduces_the_whole_view_for_somebody_else(open_map, stranger):
    tab = open_map("run=map-run&x=aum&y=loss&colour=label&epochs=3")
    tab.wait_map(epochs=3)
    tab.lasso([(-1, 0.1), (2, 0.1), (2, 1.2), (-1, 1.2)])
    tab.filter("variability > 0.05")
    tab.wait_chips("lasso", "and variability > 0.05")
    count = tab.count()
    assert count > 0
    link = query_of(tab)

    other = open_map(link, context=stranger)
    other.wait_map(epochs=3, outlines=1)
    other.wait_count(count)
    other.wait_chips("lasso", "and variability > 0.05")
    assert [picked(other, name) for name in ("x", "y", "colour")] == ["AUM", "loss", "label"]
    assert query_of(other) == link
    other.page.reload()
    other.page.wait_for_selector(".ftft-map[data-outlines='1']")
    other.wait_count(count)
    # The page is the app's first and has the bare address; its name leads there, too.
    other.page.goto(f"{other.page.url.partition('?')[0]}data_map?{link}")
    other.page.wait_for_selector(".ftft-map[data-outlines='1']")
    other.wait_count(count)
    assert query_of(other) == link
    assert not other.page.get_by_text("Page not found").is_visible()
    other.page.goto(f"{other.page.url.partition('?')[0]}data_map?run=nobody")
    other.page.get_by_text("The link shows run 'nobody', which is not in this workspace").wait_for()


def test_back_and_forward_walk_through_what_was_selected(open_map):
    tab = open_map()
    tab.lasso(SQUARE)
    first, link = tab.count(), query_of(tab)
    tab.lasso(EASY, key="Shift", outlines=2)
    second = tab.count()
    assert second > first
    tab.page.go_back()
    tab.wait_map(outlines=1)
    tab.wait_count(first)
    assert query_of(tab) == link
    tab.page.go_forward()
    tab.wait_map(outlines=2)
    tab.wait_count(second)
    tab.page.go_back()
    tab.wait_map(outlines=1)
    tab.page.go_back()
    tab.wait_map(outlines=0)
    tab.wait_count(0)


def test_two_people_do_not_disturb_each_other_and_what_both_save_is_there(open_map, stranger, app):
    mine, theirs = open_map(), open_map(context=stranger)
    mine.lasso(SQUARE)
    theirs.page.get_by_role("button", name="Hard").click()
    theirs.wait_count(79)
    mine.filter("loss > 0.1")
    mine.wait_chips("lasso", "and loss > 0.1")
    count = mine.count()
    assert theirs.count() == 79 != count
    theirs.save("of-theirs")
    mine.save("of-mine")
    sizes = {name: len(app.workspace.subset_examples(name)) for name in ("of-mine", "of-theirs")}
    for name in sizes:
        app.workspace.remove_subset(name)
    assert sizes == {"of-mine": count, "of-theirs": 79}
    theirs.page.locator(".st-key-choice-undo").get_by_role("button").click()
    theirs.wait_count(0)
    assert mine.count() == count


@pytest.mark.slow
def test_a_second_map_lights_up_with_the_first_and_selects_in_it(open_map, app):
    here, there = (app.workspace.data_map(name) for name in ("pair-run", "pair-again"))
    tab = open_map("run=pair-run")
    tab.page.locator(".st-key-pick-beside").get_by_role("combobox").click()
    tab.page.get_by_role("option", name="pair-again").click()
    tab.page.wait_for_function("document.querySelectorAll('.ftft-map[data-drawn]').length === 2")
    said = tab.page.get_by_text("Rank correlation (Spearman)").inner_text()
    assert re.search(r"variability -?0\.\d+, confidence 0\.\d+\. The most ambiguous thirds overlap by 0\.\d+", said)
    assert "over 120 examples" in said

    tab.lasso(EASY)
    count = tab.count()
    tab.wait_map(1, selected=count)
    assert tab.map(1).get_attribute("data-outlines") == "0"
    tab.lasso(SQUARE, number=1)
    tab.wait_map(0, outlines=0)
    count = tab.count()
    (mask,) = {tuple(inside(there, SQUARE))}
    assert abs(count - int(np.sum(mask))) <= 3  # points on the drawn line
    tab.wait_map(0, selected=count)
    tab.wait_map(1, selected=count)
    tab.wait_chips("pair-again: lasso")
    tab.lasso(EASY, key="Shift")
    both = inside(here, EASY) | np.array(mask)
    assert abs(tab.count() - int(both.sum())) <= 6


@pytest.mark.slow
def test_a_map_of_half_the_examples_lights_up_with_those_it_has(open_map):
    tab = open_map("run=pair-run")
    query = query_of(tab)
    tab.filter("confidence >= 0")
    tab.wait_count(120, 120)
    part = open_map("run=pair-part")
    part_id = re.search(r"run=(\w+)", query_of(part)).group(1)
    beside = open_map(f"{query}&beside={part_id}")
    beside.page.wait_for_function("document.querySelectorAll('.ftft-map[data-drawn]').length === 2")
    beside.filter("confidence >= 0")
    beside.wait_map(0, selected=120)
    beside.wait_map(1, selected=60)


@pytest.mark.slow
def test_the_slider_shows_earlier_epochs_and_play_walks_to_the_last(open_map, app):
    tab = open_map()
    slider = tab.map().get_by_label("Epochs counted")
    slider.press("ArrowLeft")
    tab.wait_map(epochs=3)
    tab.filter("confidence < 0.5")
    early = int((app.workspace.data_map("map-run", epochs=3)["confidence"] < 0.5).sum())
    tab.wait_count(early)
    assert "epochs=3" in query_of(tab)
    tab.tool("Play")  # goes on from there
    tab.wait_map(epochs=4)
    tab.wait_count(int((app.workspace.data_map("map-run")["confidence"] < 0.5).sum()))
    assert "epochs=" not in query_of(tab)


@pytest.mark.slow
def test_another_page_and_back_keeps_what_was_selected(open_map):
    tab = open_map()
    tab.lasso(SQUARE)
    count = tab.count()
    tab.page.get_by_role("link", name="Subsets").click()
    tab.page.get_by_text("labels of the training split").wait_for()
    tab.page.get_by_role("link", name="Data map").click()
    tab.page.wait_for_selector(".ftft-map[data-outlines='1']")
    tab.wait_count(count)
    tab.wait_chips("lasso")


@pytest.mark.slow
def test_each_run_keeps_its_own_selection(open_map):
    tab = open_map()
    tab.filter("confidence < 0.4")
    tab.wait_chips("confidence < 0.4")
    count = tab.count()
    for suite in ("toy-wide", "toy"):
        tab.page.locator(".st-key-suite").get_by_role("combobox").click()
        tab.page.get_by_role("option", name=suite, exact=True).click()
        if suite == "toy-wide":
            tab.wait_count(0, 300)
    tab.wait_count(count)
