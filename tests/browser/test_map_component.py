"""The map by itself, under a real pointer: what each gesture sends, and that the server's answer is what is drawn."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.browser.component_map import Map, serving
from tests.browser.conftest import sized_tab

SMALL = 400


@pytest.fixture(scope="module")
def address(browser, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("map")) as given:
        yield given


@pytest.fixture
def open_map(person, address):
    opened = []

    def open_it(query="", *, number=0, **media):
        page = sized_tab(person, 1280, 900)
        page.emulate_media(**media)
        opened.append(page)
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(error))
        page.goto(f"{address}/?{query}")
        found = Map(page, number)
        page.wait_for_function(f"document.querySelectorAll('.ftft-map')[{number}]?.dataset.drawn > 0")
        return found

    yield open_it
    for page in opened:
        assert page.errors == []
        page.close()


TRIANGLE = [(0.05, 0.1), (0.35, 0.1), (0.2, 0.6)]


def test_a_lasso_is_sent_once_and_drawn_as_it_was_sent(open_map):
    map_ = open_map()
    map_.drag([*TRIANGLE, TRIANGLE[0]])
    map_.wait(outlines=1)
    event = map_.wait_for_event(1)
    assert event[:2] == ["gesture", "replace"]
    points = event[2]["points"]
    assert (event[2]["kind"], event[2]["x"], event[2]["y"]) == ("polygon", "variability", "confidence")
    assert 3 <= len(points) <= 8  # straight lines are left with their corners
    assert abs(points[0][0] - points[-1][0]) + abs(points[0][1] - points[-1][1]) > 0.02  # what closes it is no corner
    for corner in TRIANGLE:
        assert min(abs(x - corner[0]) + abs(y - corner[1]) for x, y in points) < 0.01
    assert map_.ask("map.data.outlines[0].points") == points
    assert map_.ask("map.pending") is None
    assert map_.element.get_attribute("data-selected") == str(map_.count(1)) != "0"


def test_a_curved_lasso_keeps_at_most_120_corners(open_map):
    map_ = open_map()
    x0, y0 = map_.pixels([(0.2, 0.5)])[0]
    turns = [2 * math.pi * step / 160 for step in range(160)]
    path = [
        (x0 + (60 + step % 7 * 9) * math.cos(turn), y0 + (60 + step % 5 * 11) * math.sin(turn))
        for step, turn in enumerate(turns)
    ]
    mouse = map_.page.mouse
    mouse.move(*path[0])
    mouse.down()
    for place in path[1:]:
        mouse.move(*place)
    mouse.up()
    assert 60 < len(map_.wait_for_event(1)[2]["points"]) <= 121


def test_shift_adds_alt_subtracts_and_so_do_the_buttons(open_map):
    map_ = open_map()
    map_.button("Box").click()
    map_.drag([(0.0, 0.5), (0.2, 1.0)])
    map_.wait(outlines=1)
    first = map_.count(1)
    map_.drag([(0.2, 0.5), (0.4, 1.0)], key="Shift")
    map_.wait(outlines=2)
    assert map_.count(2) > first
    map_.drag([(0.0, 0.9), (0.4, 1.02)], key="Alt")
    map_.wait(outlines=3)
    less = map_.count(3)
    map_.button("Add").click()
    map_.drag([(0.1, 0.9), (0.3, 1.02)])
    map_.wait(outlines=4)
    assert map_.count(4) > less
    assert map_.button("Add").get_attribute("aria-pressed") == "false"  # for one outline only
    map_.button("Subtract").click()
    map_.drag([(0.1, 0.9), (0.3, 1.02)])
    map_.wait(outlines=5)
    assert map_.count(5) == less
    assert [event[1] for event in map_.events()] == ["replace", "add", "subtract", "add", "subtract"]
    box = map_.events()[0][2]
    assert box["x_range"] == pytest.approx([0.0, 0.2], abs=0.003)
    assert box["y_range"] == pytest.approx([0.5, 1.0], abs=0.006)


def test_escape_ends_an_outline_that_is_being_drawn_and_else_clears(open_map):
    map_ = open_map()
    (x0, y0), (x1, y1) = map_.pixels([(0.1, 0.2), (0.3, 0.5)])
    mouse = map_.page.mouse
    mouse.move(x0, y0)
    mouse.down()
    mouse.move(x1, y1, steps=4)
    map_.page.keyboard.press("Escape")
    mouse.up()
    map_.drag([*TRIANGLE, TRIANGLE[0]])
    map_.wait(outlines=1)
    map_.page.keyboard.press("Escape")
    map_.wait(outlines=0, selected="")
    map_.wait_for_event(2)
    assert [event[0] for event in map_.events()] == ["gesture", "cleared"]


def test_a_double_click_on_empty_space_clears(open_map):
    map_ = open_map()
    map_.drag([*TRIANGLE, TRIANGLE[0]])
    map_.wait(outlines=1)
    map_.page.mouse.dblclick(*map_.pixels([(0.3, 0.02)])[0])
    map_.wait(outlines=0)
    map_.wait_for_event(2)
    assert [event[0] for event in map_.events()] == ["gesture", "cleared"]


def test_keys_choose_tools_and_undo_but_not_while_typing(open_map):
    map_ = open_map()
    keyboard = map_.page.keyboard
    for key, name in {"b": "Box", "z": "Zoom", "p": "Pan", "l": "Lasso"}.items():
        keyboard.press(key)
        assert map_.button(name).get_attribute("aria-pressed") == "true"
    keyboard.press("Control+z")
    map_.wait_for_event(1)
    keyboard.press("Control+Shift+z")
    assert [event[0] for event in map_.events()[:1]] == ["undo"]
    assert map_.wait_for_event(2) == ["redo"]
    field = map_.page.get_by_label("Typing")
    field.press("Control+z")
    field.press_sequentially("bz")
    assert map_.button("Lasso").get_attribute("aria-pressed") == "true"
    field.press("Enter")
    map_.wait_told("told.typed === 'bz'")
    assert len(map_.events()) == 2


def lonely(map_):
    """Row and place of the drawn point farthest from all others."""
    return map_.ask(
        """(() => {
          const {x, y} = map.shown, rows = map.places.rows;
          let best = [-1, 0, 0, 0];
          for (let i = 0; i < x.length; i++) {
            let near = Infinity;
            for (let j = 0; j < x.length; j++) {
              if (i !== j) near = Math.min(near, Math.hypot((x[i] - x[j]) * 2, y[i] - y[j]));
            }
            if (near > best[1]) best = [rows[i], near, x[i], y[i]];
          }
          return [best[0], best[2], best[3]];
        })()"""
    )


def test_a_click_sends_the_row_and_whether_shift_was_held(open_map):
    map_ = open_map()
    row, x, y = lonely(map_)
    place = map_.pixels([(x, y)])[0]
    map_.page.mouse.click(*place)
    assert map_.wait_for_event(1) == ["clicked", row, False]
    map_.page.keyboard.down("Shift")
    map_.page.mouse.click(*place)
    map_.page.keyboard.up("Shift")
    assert map_.wait_for_event(2) == ["clicked", row, True]
    assert map_.ask("map.data.focus") == pytest.approx([x, y], abs=1e-6)


def test_pointing_at_a_pile_of_25_000_points_answers_at_once(open_map):
    map_ = open_map("n=30000&pile=1&colour=label")
    map_.wait(points=29_999)
    x, y = map_.pixels([(0.0, 0.99)])[0]
    started = time.monotonic()
    for step in range(10):
        map_.page.mouse.move(x + step % 3, y + step % 2)
    map_.element.locator(".ftft-map-tip:not([hidden])").wait_for()
    assert time.monotonic() - started < 10
    assert re.match(r"variability 0\nconfidence 0.990\nlabel ", map_.element.locator(".ftft-map-tip").inner_text())


def test_a_chip_sends_its_values_and_shows_the_answer(open_map):
    map_ = open_map("colour=label")
    chips = map_.element.locator(".ftft-map-chip")
    assert chips.all_inner_texts()[2].split("\n")[0] == "<b>may & be</b>"
    chip = chips.nth(1)
    assert chip.get_attribute("aria-pressed") == "false"
    chip.click()
    assert map_.wait_for_event(1) == ["legend", "label", ["yes"], None, None]
    map_.element.locator(".ftft-map-chip[data-value=yes][aria-pressed=true]").wait_for()


def test_bars_of_a_score_send_a_range_open_at_the_ends(open_map):
    map_ = open_map("colour=loss")
    strip = map_.element.locator(".ftft-map-bars")
    box = strip.bounding_box()
    step = box["width"] / 24
    mouse = map_.page.mouse
    mouse.move(box["x"] + 4.5 * step, box["y"] + 9)
    mouse.down()
    mouse.move(box["x"] + 9.5 * step, box["y"] + 9, steps=3)
    mouse.up()
    name, colour, values, low, high = map_.wait_for_event(1)
    bars = map_.ask("map.colours.bars")
    assert (name, colour, values) == ("legend", "loss", [])
    assert (low, high) == (bars[4][0], bars[9][1])
    map_.element.locator(".ftft-map-bars").focus()
    map_.page.keyboard.press("ArrowRight")
    map_.page.keyboard.press("Shift+End")
    for _ in range(13):
        map_.page.keyboard.press("Shift+ArrowRight")
    map_.page.keyboard.press("Enter")
    assert map_.wait_for_event(2)[3:] == [bars[10][0], None]


def test_a_zoom_survives_a_selection_and_the_whole_map_comes_back(open_map):
    map_ = open_map()
    map_.page.keyboard.press("z")
    map_.drag([(0.1, 0.2), (0.3, 0.7)])
    zoomed = map_.ask("map.view")
    assert zoomed["x"] == pytest.approx([0.1, 0.3], abs=0.003)
    map_.page.keyboard.press("p")
    map_.drag([(0.2, 0.5), (0.25, 0.5)])
    moved = map_.ask("map.view")
    assert moved["x"] == pytest.approx([0.05, 0.25], abs=0.003)
    map_.page.keyboard.press("b")
    map_.drag([(0.1, 0.3), (0.2, 0.5)])
    map_.wait(outlines=1)
    assert map_.ask("map.view") == moved
    map_.button("Whole map").click()
    assert map_.ask("map.view.x[0]") < 0


def test_zooming_into_a_large_map_brings_that_part_s_own_points(open_map):
    map_ = open_map("n=60000")
    map_.wait(points=30_000)
    inside = "Array.from(map.shown.x).filter((x, i) => x <= 0.1 && map.shown.y[i] >= 0.8).length"
    before = map_.ask(inside)
    map_.page.keyboard.press("z")
    map_.drag([(0.0, 0.8), (0.1, 1.0)])
    map_.page.wait_for_function("document.querySelector('.ftft-map').ftft.places.window !== null")
    map_.element.get_by_text("Whole map").wait_for()
    assert map_.ask(inside) > before
    window = map_.ask("map.places.window")
    map_.page.keyboard.press("b")
    map_.drag([(0.02, 0.85), (0.06, 0.95)])
    map_.wait(outlines=1)
    assert map_.ask("map.places.window") == window


def test_epochs_play_from_the_first_to_the_last_and_points_glide(open_map):
    map_ = open_map()
    rows = map_.ask("[...map.places.rows]")
    ranges = map_.ask("map.places.ranges")
    map_.button("Play").click()
    map_.wait(epochs=1)
    assert map_.ask("[...map.places.rows]") == rows
    assert map_.ask("map.places.ranges") == ranges
    map_.wait(epochs=4)
    map_.button("Play").wait_for()  # it has stopped
    map_.wait_for_event(4)
    assert [event[1] for event in map_.events()] == [1, 2, 3, 4]
    assert map_.element.locator("output").inner_text() == "epoch 4 of 4"
    map_.element.locator("input[type=range]").press("ArrowLeft")
    map_.wait(epochs=3)


def test_without_motion_points_are_where_they_belong_at_once(open_map):
    map_ = open_map(reduced_motion="reduce")
    map_.element.locator("input[type=range]").press("Home")
    map_.wait(epochs=1)
    assert map_.ask("map.shown.x === map.places.x")


def test_a_selection_does_not_send_the_figure_again(open_map):
    map_ = open_map("n=60000")
    fetched, received = [], []
    map_.page.on("request", lambda sent: fetched.append(sent.url))
    map_.page.on("websocket", lambda socket_: socket_.on("framereceived", lambda frame: received.append(len(frame))))
    map_.page.reload()
    map_.wait(points=30_000)
    map_.drag([*TRIANGLE, TRIANGLE[0]])
    map_.wait(outlines=1)  # what the page shows of a first selection has a font of its own, fetched once
    map_.page.evaluate("document.fonts.ready")
    fetched.clear()
    received.clear()
    map_.drag([*TRIANGLE, TRIANGLE[0]], key="Shift")
    map_.wait(outlines=2)
    assert fetched == []
    assert 0 < sum(received) < 200_000


def test_a_file_that_the_server_forgot_is_asked_for_again(person, address):
    page = person.new_page()
    refused = []

    def refuse_once(route):
        refused.append(route.request.url)
        return route.fulfill(status=404) if len(refused) == 1 else route.continue_()

    page.route("**/media/*.bin", refuse_once)
    page.goto(address)
    page.wait_for_selector(".ftft-map[data-drawn]")
    assert len(refused) > 2
    page.close()


def test_an_event_counts_once_and_nonsense_is_refused_in_a_sentence(open_map):
    map_ = open_map()
    box = {"kind": "box", "x": "variability", "y": "confidence", "x_range": [0, 0.2], "y_range": [0, 1]}
    line = {"kind": "polygon", "x": "variability", "y": "confidence", "points": [[0, 0], [1, 1]]}
    events = [
        {"number": 7, "event": "gesture", "value": {**box, "mode": "replace"}},
        {"number": 8, "event": "gesture", "value": {**line, "mode": "add"}},
        {"number": 9, "event": "undo", "value": None},
    ]
    map_.element.evaluate("(host, events) => host.ftft.setState('events', events)", events)
    map_.page.get_by_text("The outline").wait_for()
    assert map_.wait_for_event(2) == ["undo"]
    again = [*events, {"number": 10, "event": "cleared", "value": None}]
    map_.element.evaluate("(host, events) => host.ftft.setState('events', events)", again)
    assert map_.wait_for_event(3) == ["cleared"]
    assert [event[0] for event in map_.events()] == ["gesture", "undo", "cleared"]


def test_two_maps_are_independent_and_linked_by_what_is_selected(open_map):
    first = open_map("two=1", number=1)
    second, first = first, Map(first.page, 0)
    first.page.keyboard.press("l")
    second.button("Box").click()
    assert first.button("Lasso").get_attribute("aria-pressed") == "true"
    first.drag([*TRIANGLE, TRIANGLE[0]])
    for map_ in (first, second):
        map_.wait(outlines=1)
        assert map_.element.get_attribute("data-selected") == str(map_.count(1))
    second.drag([(0.0, 0.8), (0.2, 1.0)])
    second.wait_told("JSON.stringify(told).includes('\"box\"')")
    second.page.keyboard.press("Control+z")
    first.wait(outlines=0)
    first.wait_for_event(3)
    assert [event[0] for event in first.events()] == ["gesture", "gesture", "undo"]


def test_the_svg_holds_vector_points_outline_axes_and_legend_as_plain_text(open_map):
    map_ = open_map("colour=label")
    map_.drag([*TRIANGLE, TRIANGLE[0]])
    map_.wait(outlines=1)
    map_.element.get_by_text("Save figure").click()
    with map_.page.expect_download() as waiting:
        map_.element.get_by_role("menuitem", name="SVG").click()
    assert waiting.value.suggested_filename == "run-0.svg"
    written = Path(waiting.value.path()).read_text("utf-8")
    assert written.startswith("<svg")
    assert written.count('class="point"') >= SMALL - 1
    words = {
        "".join(text.itertext()) for text in ElementTree.fromstring(written).iter("{http://www.w3.org/2000/svg}text")
    }
    assert {"variability", "confidence", "easy to learn", "correct epochs", "yes", "<b>may & be</b>"} <= words
    assert 'fill-rule="evenodd"' in written  # the outline
    assert "modebar" not in written


def test_the_png_is_three_times_the_size(open_map):
    map_ = open_map()
    map_.element.get_by_text("Save figure").click()
    with map_.page.expect_download() as waiting:
        map_.element.get_by_role("menuitem", name="PNG").click()
    content = Path(waiting.value.path()).read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")) == (2280, 1920)


def test_the_map_says_in_words_what_it_shows(open_map):
    map_ = open_map()
    plot = map_.page.get_by_role("img", name=re.compile("^Data map of variability against confidence"))
    assert "400 examples, nothing selected" in plot.get_attribute("aria-label")
    assert map_.element.locator(".ftft-map-remarks").inner_text() == "1 example has no confidence"
