"""The data map under the pointer: lasso, box, legend, zoom; and what then stands in the database."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

NEAR_PIXELS = 2.0
"""A point this near to the drawn line may lie on either side of it."""


def to_pixels(page, points):
    """Data coordinates to pixels of the page."""
    return page.evaluate(
        """(points) => {
          const plot = document.querySelector(".ftft-map-plot"), {xaxis, yaxis} = plot._fullLayout;
          const box = plot.getBoundingClientRect();
          return points.map(([x, y]) => [
            box.left + xaxis._offset + xaxis.d2p(x), box.top + yaxis._offset + yaxis.d2p(y)
          ]);
        }""",
        points,
    )


def drag(page, pixels):
    page.mouse.move(*pixels[0])
    page.mouse.down()
    for x, y in pixels[1:]:
        page.mouse.move(x, y, steps=6)
    page.mouse.up()


def wait_for_count(page):
    """The number of the panel, once something is selected."""
    words = page.get_by_test_id("selection-count")
    words.wait_for()
    return int(re.match(r"[\d,]+", words.inner_text()).group().replace(",", ""))


def save(page, name):
    page.get_by_placeholder("name of the subset").fill(name)
    page.get_by_placeholder("name of the subset").press("Enter")
    page.get_by_role("button", name=re.compile(r"^Save .* as subset$")).click()
    page.get_by_text(f"Saved as {name}").wait_for()


def inside(frame, corners):
    """Ray casting, written apart from the core's."""
    x, y = frame["variability"].to_numpy(), frame["confidence"].to_numpy()
    crossings = np.zeros(len(frame), dtype=int)
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if y0 != y1:
            crossings += ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return crossings % 2 == 1


def pixels_to_outline(points, corners):
    """Distance of every point to the nearest edge, in pixels."""
    points, corners = np.asarray(points), np.asarray(corners)
    distances = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along = np.clip(((points - start) @ (end - start)) / max(((end - start) ** 2).sum(), 1e-9), 0, 1)
        distances.append(np.linalg.norm(points - (start + along[:, None] * (end - start)), axis=1))
    return np.min(distances, axis=0)


def test_a_lasso_is_saved_with_exactly_the_examples_inside_it(page, app):
    frame = app.workspace.data_map("map-run")
    middle = float(frame["variability"].median())
    corners = [(middle, 0.35), (middle + 0.09, 0.3), (middle + 0.12, 0.6), (middle + 0.05, 0.85), (middle - 0.03, 0.7)]
    pixels = to_pixels(page, corners)
    drag(page, [*pixels, pixels[0]])
    count = wait_for_count(page)
    save(page, "lassoed")

    saved = set(app.workspace.subset_examples("lassoed")["example_id"])
    (condition,) = app.workspace.subset("lassoed").recipe.conditions
    assert (condition.kind, condition.x, condition.y) == ("polygon", "variability", "confidence")
    # Exactly those inside the polygon that the recipe keeps,
    assert saved == set(frame.loc[inside(frame, list(condition.points)), "example_id"])
    assert 0 < count == len(saved) < len(frame)
    # and it is the polygon that the pointer drew.
    points = to_pixels(page, frame[["variability", "confidence"]].to_numpy().tolist())
    sure = pixels_to_outline(points, pixels) > NEAR_PIXELS
    assert sure.sum() > 0.9 * len(frame)
    drawn = set(frame.loc[inside(frame, corners) & sure, "example_id"])
    assert drawn == saved & set(frame.loc[sure, "example_id"])
    app.workspace.remove_subset("lassoed")


def test_a_box_is_saved_as_two_ranges(page, app):
    page.get_by_role("button", name="Box").click()
    start, end = to_pixels(page, [(0.1, 0.2), (0.3, 0.6)])
    drag(page, [start, end])
    wait_for_count(page)
    save(page, "boxed")
    (condition,) = app.workspace.subset("boxed").recipe.conditions
    assert condition.kind == "box"
    frame = app.workspace.data_map("map-run")
    mask = frame["variability"].between(*sorted(condition.x_range))
    mask &= frame["confidence"].between(*sorted(condition.y_range))
    assert app.workspace.subset_examples("boxed")["example_id"].tolist() == frame.loc[mask, "example_id"].tolist()
    assert sorted(condition.x_range) == pytest.approx([0.1, 0.3], abs=0.005)
    app.workspace.remove_subset("boxed")


def test_unselected_points_fade_and_a_chip_takes_the_outline_away(page, app):
    drag(page, to_pixels(page, [(0.0, 0.5), (0.3, 0.5), (0.3, 1.0), (0.0, 1.0), (0.0, 0.5)]))
    count = wait_for_count(page)
    page.wait_for_function(f"({POINTS}).selectedpoints?.length === {count}")
    page.get_by_role("button", name="lasso").last.click()
    page.get_by_text(f"None of {len(app.workspace.data_map('map-run'))}").wait_for()
    page.wait_for_function(f"({POINTS}).selectedpoints == null")
    assert page.evaluate('document.querySelector(".ftft-map-plot").layout.selections.length') == 0


def test_a_zoom_stays_when_the_selection_changes(page):
    page.get_by_role("button", name="Zoom").click()
    drag(page, to_pixels(page, [(0.05, 0.3), (0.25, 0.8)]))
    page.wait_for_function(f"({LAYOUT}).xaxis.range[0] > 0.03")
    before = page.evaluate(f"({LAYOUT}).xaxis.range")
    page.get_by_role("button", name="Ambiguous").click()
    wait_for_count(page)
    page.wait_for_function(f"({POINTS}).selectedpoints?.length > 0")
    assert page.evaluate(f"({LAYOUT}).xaxis.range") == pytest.approx(before)
    page.get_by_role("button", name="Whole map").click()
    page.wait_for_function(f"({LAYOUT}).xaxis.range[0] < 0")


def test_a_click_on_the_legend_keeps_that_label(browser, page, app):
    page.goto(f"{app.address}/?colour=label")
    page.wait_for_selector(".ftft-map .legendtoggle")
    page.locator(".ftft-map .legendtoggle").nth(1).click(force=True)
    frame = app.workspace.data_map("map-run")
    assert wait_for_count(page) == int((frame["label"] == "yes").sum())


def test_a_click_on_a_point_shows_its_text_and_the_way_back(page, app):
    frame = app.workspace.data_map("map-run")
    lonely = most_lonely(frame)
    ((x, y),) = to_pixels(page, [[lonely["variability"], lonely["confidence"]]])
    page.mouse.move(x, y, steps=4)
    page.wait_for_selector(".ftft-map .hoverlayer .hovertext")
    page.mouse.click(x, y)
    text = app.workspace.examples("toy", "train", [lonely["example_id"]])["text"].iloc[0]
    page.locator(".ftft-detail", has_text=text).wait_for()
    page.get_by_role("button", name="Back to the selection").click()
    page.get_by_text("None of").wait_for()


@pytest.mark.parametrize("page", ["light", "dark"], indirect=True)
def test_map_and_panel_are_whole_on_the_first_screen_and_nothing_leaves_the_machine(page, app):
    box = page.locator(".ftft-map-plot").bounding_box()
    assert box["y"] + box["height"] <= 900
    assert box["width"] > 700
    page.get_by_role("button", name="Ambiguous").click()
    button = page.get_by_role("button", name=re.compile(r"^Save .* as subset$"))
    button.wait_for()
    box = button.bounding_box()
    assert box["y"] + box["height"] <= 900
    assert app.strangers == []


@pytest.mark.parametrize("name", ["", "suites", "subsets", "fine_tune", "compare"])
def test_nothing_scrolls_sideways_on_a_small_screen(page, app, name):
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{app.address}/{name}")
    page.wait_for_selector(".st-key-frame")
    page.wait_for_timeout(1500)
    for part in ("document.documentElement", "document.querySelector('[data-testid=stMain]')"):
        assert page.evaluate(f"{part}.scrollWidth <= {part}.clientWidth")


def test_a_typed_value_survives_the_queue_s_updates(page, app):
    page.goto(f"{app.address}/fine_tune")
    seeds = page.get_by_label("Seeds")
    seeds.wait_for()
    seeds.click()
    seeds.press_sequentially("1")  # not yet committed: "11"
    page.wait_for_timeout(5000)  # two updates of the queue
    assert seeds.input_value() == "11"


POINTS = 'document.querySelector(".ftft-map-plot")._fullData.find((trace) => trace.meta === "points")'
LAYOUT = 'document.querySelector(".ftft-map-plot")._fullLayout'


def most_lonely(frame: pd.DataFrame) -> pd.Series:
    """The example farthest from its nearest neighbour on the map."""
    places = np.column_stack([frame["variability"] * 2, frame["confidence"]])
    distances = np.linalg.norm(places[:, None] - places[None, :], axis=2) + np.eye(len(places)) * 9
    return frame.iloc[int(distances.min(axis=1).argmax())]
