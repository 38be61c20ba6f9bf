"""One example and the table of many: linked with the map, read by keys, marked, searched, sorted, paged, exported."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.map_page import most_lonely
from tests.ui_workspace import AWKWARD_TEXTS, PAIR_LABELS, TAG

SQUARE = [(0.1, 0.3), (0.25, 0.3), (0.25, 0.7), (0.1, 0.7)]


@pytest.fixture(scope="module")
def frame(app):
    return app.workspace.data_map("map-run")


def detail(tab, text):
    """The open example, once it is the one with this text."""
    return tab.page.locator(".ftft-detail", has_text=text)


def text_of(app, example_id, suite="toy"):
    return str(app.workspace.examples(suite, "train", [example_id])["text"].iloc[0])


def test_a_click_on_a_point_opens_it_and_turns_the_table_to_its_page(open_map, app, frame):
    tab = open_map()
    lonely = next(point for point in most_lonely(frame, 20) if point.name >= 50)
    tab.click_point(lonely)
    detail(tab, text_of(app, lonely["example_id"])).wait_for()
    page = int(lonely.name) // 50 + 1
    tab.page.get_by_text(f"{50 * page - 49} to {min(50 * page, 240)} of 240").wait_for()
    tab.page.wait_for_url(re.compile(f"example={lonely['example_id']}(&|$)"))
    tab.page.locator(".st-key-detail-back").get_by_role("button").click()
    tab.wait_count(0)
    assert "example=" not in tab.page.url


def test_keys_move_through_the_selection_and_back_to_it(open_map, app, frame):
    tab = open_map()
    tab.filter("confidence < 0.4")
    chosen = frame.loc[frame["confidence"] < 0.4, "example_id"].tolist()
    tab.wait_count(len(chosen))
    tab.click_row(0)
    detail(tab, text_of(app, chosen[0])).wait_for()
    tab.page.get_by_text(f"1 of {len(chosen)}", exact=True).wait_for()
    for key, number in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)):
        tab.page.keyboard.press(f"Alt+{key}")
        detail(tab, text_of(app, chosen[number])).wait_for()
        tab.rest()
    tab.page.keyboard.press("Alt+ArrowUp")
    tab.wait_count(len(chosen))


def test_an_example_is_tagged_noted_excluded_relabelled_and_each_is_taken_back(open_map, app):
    tab = open_map("run=pair-run&example=20")
    detail(tab, "first text number 20").wait_for()

    def marks():
        return app.workspace.example_marks("toy-pairs", "20")[0]

    def mark(action, field=None, value=None):
        tab.page.get_by_role("button", name="Tag, note, label").click()
        form = tab.page.get_by_test_id("stPopoverBody")
        form.get_by_role("combobox", name="Action").click()
        tab.page.get_by_role("option", name=action, exact=True).click()
        if field:
            box = form.get_by_label(field, exact=True)
            box.fill(value)
            box.press("Tab")
        form.get_by_label("Why (optional)").fill("because")
        form.get_by_label("Why (optional)").press("Tab")
        tab.rest()
        form.get_by_role("button", name="Apply").click()
        tab.page.get_by_role("button", name="Undo", exact=True).wait_for()
        tab.rest()
        tab.close_popover()

    def take_back():
        tab.page.locator(".st-key-mark-undo").get_by_role("button").click()
        tab.page.locator(".st-key-mark-undo").wait_for(state="detached")
        tab.rest()

    nothing = {"tags": [], "excluded": False, "proposed_label": None, "notes": []}
    assert marks() == nothing
    mark("Tag", "Tag", "to *check*")
    tab.page.get_by_text("#to *check*").wait_for()
    assert marks()["tags"] == ["to *check*"]
    take_back()
    mark("Note", "Note", "<b>odd</b>")
    tab.page.locator(".ftft-note", has_text="<b>odd</b>").wait_for()
    take_back()
    mark("Propose a label")
    assert marks()["proposed_label"] == PAIR_LABELS[0]
    take_back()
    assert marks() == nothing

    tab.page.keyboard.press("Alt+x")
    tab.page.get_by_role("button", name="Include again").wait_for()
    assert marks()["excluded"] is True
    tab.rest()
    take_back()
    tab.page.get_by_role("button", name="Exclude").wait_for()
    assert marks() == nothing
    tab.page.get_by_role("button", name="History").click()
    history = tab.page.get_by_test_id("stPopoverBody").inner_text()
    assert history.count("(undone)") == 4
    assert "because" in history


def test_many_are_marked_at_once_and_the_excluded_leave_the_selection(open_map, app):
    tab = open_map("run=pair-run")
    tab.filter("correct_epochs == 0")
    tab.page.locator(".st-key-chipbox-0").wait_for()
    tab.rest()
    count = tab.count()

    def places():
        found = (tab.page.locator(f".st-key-{key}") for key in ("map-save", "panel-part", "panel_body", "examples"))
        return [(box["x"], box["y"], box["width"]) for box in (each.bounding_box() for each in found)]

    before = places()
    tab.page.get_by_role("button", name="Mark them").click()
    form = tab.page.get_by_test_id("stPopoverBody")
    form.get_by_role("combobox", name="Action").click()
    tab.page.get_by_role("option", name="Exclude from training").click()
    tab.rest()
    form.get_by_role("button", name=f"Apply to {count} examples").click()
    tab.page.get_by_text(f"{count} examples excluded from training").wait_for()
    assert len(app.workspace.excluded_positions("toy-pairs")) == count
    tab.page.get_by_text(f"without {count} excluded").wait_for()
    tab.wait_map(crossed=count)
    np.testing.assert_allclose(places(), before, atol=1)
    tab.page.locator(".st-key-mark-undo").get_by_role("button").click()
    tab.wait_count(count, 120)
    assert len(app.workspace.excluded_positions("toy-pairs")) == 0


def test_the_table_searches_sorts_pages_and_opens_over_all_selected_rows(open_map, app, frame):
    tab = open_map()
    examples = tab.page.locator(".st-key-examples")
    tab.click_row(-1, 755)  # the head of a score, beside its menu
    order = tab.page.locator(".st-key-table-order").get_by_role("combobox")
    expect(order).to_have_value(re.compile("^by (confidence|variability)$"))
    tab.rest()
    by = order.input_value().removeprefix("by ")
    ordered = frame.sort_values(by, kind="stable")["example_id"].tolist()
    tab.click_row(0)
    detail(tab, text_of(app, ordered[0])).wait_for()
    tab.rest()
    tab.page.get_by_label("Page", exact=True).fill("2")
    tab.page.get_by_label("Page", exact=True).press("Enter")
    examples.get_by_text("51 to 100 of 240").wait_for()
    tab.rest()
    tab.click_row(1)
    detail(tab, text_of(app, ordered[51])).wait_for()
    tab.rest()
    tab.page.get_by_placeholder("search the texts").fill("NUMBER 23")
    tab.page.get_by_placeholder("search the texts").press("Enter")
    examples.get_by_text("1 to 11 of 11").wait_for()  # 23 and 230 to 239
    tab.rest()
    found = [each for each in ordered if text_of(app, each).startswith("train sentence number 23")]
    tab.click_row(10)
    detail(tab, text_of(app, found[10])).wait_for()


@pytest.mark.parametrize(("kind", "suffix"), [("CSV", "csv"), ("JSON lines", "jsonl")])
def test_the_download_has_the_selected_rows_with_texts_as_they_are(open_map, app, kind, suffix):
    tab = open_map("run=pair-run")
    tab.filter('example_id in ["0", "2", "3", "7"]')
    tab.wait_count(4, 120)
    tab.page.get_by_role("button", name="Export").click()
    form = tab.page.get_by_test_id("stPopoverBody")
    if kind != "CSV":
        form.get_by_role("combobox", name="Format").click()
        tab.page.get_by_role("option", name=kind).click()
        tab.rest()
    with tab.page.expect_download() as waiting:
        form.get_by_role("button", name="Download 4 examples").click()
    assert waiting.value.suggested_filename == f"pair-run-selection.{suffix}"
    content = Path(waiting.value.path()).read_text("utf-8")
    rows = (
        list(csv.DictReader(io.StringIO(content, newline="")))
        if suffix == "csv"
        else [json.loads(line) for line in content.splitlines()]
    )
    assert [row["example_id"] for row in rows] == ["0", "2", "3", "7"]
    assert [row["text"] for row in rows] == [AWKWARD_TEXTS[row] for row in (0, 2, 3, 7)]
    confidence = app.workspace.data_map("pair-run").set_index("example_id")["confidence"]
    assert [float(row["confidence"]) for row in rows] == pytest.approx(confidence[["0", "2", "3", "7"]].tolist())


def test_texts_labels_groups_tags_and_notes_are_shown_as_they_are(open_map):
    tab = open_map("run=pair-run&example=0&colour=group")
    detail(tab, AWKWARD_TEXTS[0]).wait_for()
    panel = tab.page.locator(".st-key-panel")
    for said in (PAIR_LABELS[1], f"#{TAG}", "a <b>note</b> with $x$ and **stars**"):
        panel.get_by_text(said).first.wait_for()
    tab.page.get_by_role("button", name="History").click()
    tab.page.get_by_test_id("stPopoverBody").get_by_text("<b>mia</b>").wait_for()
    tab.close_popover()
    for row in (1, 2, 3, 5):
        tab.open(f"run=pair-run&example={row}")
        detail(tab, AWKWARD_TEXTS[row][:200]).wait_for()
    tab.open("run=pair-run&colour=tag")
    tab.filter(f'label == "{PAIR_LABELS[1]}"')
    tab.wait_count(40, 120)
    for part in ("Words", "Scores", "Hints", "Summary"):
        tab.page.locator(".st-key-panel-part").get_by_role("radio", name=part).click()
        tab.rest()
    made = tab.page.locator(
        "[data-testid=stMain] :is(h1, img, u, i:not(:empty), .katex)"
    )  # empty ones are marks of a legend
    assert [each.evaluate("(element) => element.outerHTML") for each in made.all()] == []
    assert tab.page.title() == "FTFT"
