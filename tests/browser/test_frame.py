"""The frame around every page: what fits on the first screen, what leaves the machine, and what survives an update."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.browser.conftest import sized_tab


@pytest.fixture
def tab(person):
    """An empty tab on a small screen."""
    opened = sized_tab(person, 1280, 720)
    yield opened
    opened.close()


@pytest.mark.parametrize("page", ["light", "dark"], indirect=True)
def test_map_and_panel_are_whole_on_the_first_screen_and_nothing_leaves_the_machine(page, app):
    box = page.locator(".ftft-map").bounding_box()
    assert box["y"] + box["height"] <= 900
    assert box["width"] > 700
    page.get_by_role("button", name="Ambiguous").click()
    button = page.get_by_role("button", name=re.compile(r"^Save .* as subset$"))
    button.wait_for()
    box = button.bounding_box()
    assert box["y"] + box["height"] <= 900
    assert app.strangers == []


def test_nothing_jumps_when_a_selection_changes(open_map):
    tab = open_map()

    def places():
        found = (tab.map(), tab.page.get_by_placeholder("Filter:"), tab.page.locator(".st-key-examples"))
        return [(box["x"], box["y"], box["width"]) for box in (each.bounding_box() for each in found)]

    before = places()
    tab.page.get_by_role("button", name="Ambiguous").click()
    tab.wait_count(79)
    np.testing.assert_allclose(places(), before, atol=1)
    tab.filter("confidence < 0.4")
    tab.wait_chips("confidence < 0.4", "of these: ambiguous 33 %")
    np.testing.assert_allclose(places(), before, atol=1)


@pytest.mark.parametrize("name", ["", "suites", "subsets", "fine_tune", "compare", "transfer"])
def test_nothing_scrolls_sideways_on_a_small_screen(tab, app, name):
    tab.goto(f"{app.address}/{name}")
    tab.wait_for_selector(".st-key-frame")
    tab.wait_for_function('document.querySelector(".stApp").dataset.testScriptState === "notRunning"')
    for part in ("document.documentElement", "document.querySelector('[data-testid=stMain]')"):
        assert tab.evaluate(f"{part}.scrollWidth <= {part}.clientWidth")


def test_a_typed_value_survives_the_queue_s_updates(tab, app):
    tab.goto(f"{app.address}/fine_tune")
    seeds = tab.get_by_role("textbox", name="Seeds")
    seeds.wait_for()
    before = seeds.input_value()
    seeds.press("End")
    seeds.press_sequentially(", 7")  # not yet committed
    tab.wait_for_timeout(5000)  # an update of the queue
    assert seeds.input_value() == f"{before}, 7"
