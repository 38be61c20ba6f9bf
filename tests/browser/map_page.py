"""The data map as a person uses it: what tests do with the mouse and read off the page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Points = Sequence[tuple[float, float]]

NEAR_PIXELS = 2.0
"""A point this near to the drawn line may lie on either side of it."""

ROW_HEIGHT = 31
"""Of the table, in pixels."""


class MapPage:
    """A tab on the data map."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.address = page, address
        self.failures: list[str] = []
        page.on("pageerror", lambda error: self.failures.append(str(error)))

    def open(self, query: str) -> None:
        self.page.goto(f"{self.address}/?{query}")
        self.page.wait_for_selector(".ftft-map[data-drawn]")
        self.rest()

    def rest(self) -> None:
        """Wait until no script runs and nothing that is shown is out of date."""
        self.page.wait_for_function(
            """() => {
              const app = document.querySelector(".stApp");
              return app?.dataset.testScriptState === "notRunning" && !document.querySelector("[data-stale=true]");
            }"""
        )

    # The map

    def map(self, number: int = 0) -> Any:
        return self.page.locator(".ftft-map").nth(number)

    def wait_map(self, number: int = 0, **data: object) -> None:
        """Wait until a map says so of itself, and the rest of the page has followed."""
        self.page.wait_for_function(
            """([number, data]) => {
              const map = document.querySelectorAll(".ftft-map")[number];
              return map && Object.entries(data).every(([name, value]) => map.dataset[name] === value);
            }""",
            arg=[number, {name: str(value) for name, value in data.items()}],
        )
        self.rest()

    def pixels(self, points: Any, number: int = 0) -> list[list[float]]:
        """Data coordinates to pixels of the page."""
        plain = np.asarray(points, dtype=float).tolist()
        found: list[list[float]] = self.map(number).evaluate("(host, points) => host.ftft.toPixels(points)", plain)
        return found

    def drag(self, points: Points, *, key: str | None = None, number: int = 0) -> None:
        """Draw along points with the mouse, a key held or not."""
        pixels = self.pixels(points, number)
        if key:
            self.page.keyboard.down(key)
        self.page.mouse.move(*pixels[0])
        self.page.mouse.down()
        for x, y in pixels[1:]:
            self.page.mouse.move(x, y, steps=4)
        self.page.mouse.up()
        if key:
            self.page.keyboard.up(key)

    def lasso(self, corners: Points, *, outlines: int = 1, key: str | None = None, number: int = 0) -> None:
        """Draw around corners, and wait until the page shows so many outlines on that map."""
        self.drag([*corners, corners[0]], key=key, number=number)
        self.wait_map(number, outlines=outlines)

    def click_point(self, example: pd.Series, *, key: str | None = None) -> None:
        ((x, y),) = self.pixels([[example["variability"], example["confidence"]]])
        self.page.mouse.move(x, y, steps=3)
        if key:
            self.page.keyboard.down(key)
        self.page.mouse.click(x, y)
        if key:
            self.page.keyboard.up(key)

    def tool(self, name: str, number: int = 0) -> None:
        self.map(number).get_by_role("button", name=name, exact=True).click()

    # The panel

    def count(self) -> int:
        """How many examples the panel says are selected; 0 for none."""
        words = self.page.get_by_test_id("selection-count").inner_text()
        return 0 if words.startswith("None") else int(re.match(r"[\d,]+", words).group().replace(",", ""))

    def wait_count(self, count: int, everything: int = 240) -> None:
        """Wait until the panel says so, and the page has come to rest."""
        said = f"{count:,} of {everything:,}" if count else f"None of {everything:,}"
        self.page.get_by_test_id("selection-count").filter(has_text=re.compile(f"^{said}")).wait_for()
        self.rest()

    def wait_chips(self, *words: str) -> None:
        """Wait until the chips say so, in this order."""
        self.page.wait_for_function(
            """(words) => {
              const boxes = [...document.querySelectorAll("[class*='st-key-chipbox']")];
              const said = boxes.map((box) => box.querySelector("[data-testid=stPopover] p").innerText.trim());
              return JSON.stringify(said) === JSON.stringify(words);
            }""",
            arg=list(words),
        )
        self.rest()

    def chip(self, number: int | str) -> Any:
        return self.page.locator(f".st-key-chipbox-{number}")

    def open_chip(self, number: int | str) -> Any:
        """Open a chip, and give what opens."""
        self.chip(number).get_by_test_id("stPopover").get_by_role("button").click()
        return self.page.get_by_test_id("stPopoverBody")

    def close_popover(self) -> None:
        self.page.keyboard.press("Escape")
        self.page.get_by_test_id("stPopoverBody").wait_for(state="hidden")

    def filter(self, expression: str) -> None:
        line = self.page.get_by_placeholder("Filter:")
        line.fill(expression)
        line.press("Enter")

    def save(self, name: str) -> None:
        field = self.page.locator(".st-key-map-name").get_by_role("textbox")
        field.fill(name)
        field.press("Enter")
        self.rest()
        self.page.get_by_role("button", name=re.compile(r"^Save .* as subset$")).click()
        self.page.get_by_text(f"Saved as {name}").wait_for()

    # The table

    def click_row(self, row: int, x: int = 200) -> None:
        """Click into a row of the table's page; -1 is its head."""
        box = self._table()
        self.page.mouse.click(box["x"] + x, box["y"] + ROW_HEIGHT * (row + 1) + 16)

    def _table(self) -> dict[str, float]:
        canvas = self.page.locator(".st-key-examples [data-testid=stDataFrame] canvas").first
        canvas.scroll_into_view_if_needed()
        box: dict[str, float] = canvas.bounding_box()
        return box


def inside(
    frame: pd.DataFrame, corners: Points, axes: tuple[str, str] = ("variability", "confidence")
) -> npt.NDArray[np.bool_]:
    """Ray casting, written apart from the core's."""
    x, y = frame[axes[0]].to_numpy(), frame[axes[1]].to_numpy()
    crossings = np.zeros(len(frame), dtype=int)
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if y0 != y1:
            crossings += ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return crossings % 2 == 1


def pixels_to_outline(points: Any, corners: Any) -> npt.NDArray[np.float64]:
    """Distance of every point to the nearest edge, in pixels."""
    points, corners = np.asarray(points), np.asarray(corners)
    distances = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along = np.clip(((points - start) @ (end - start)) / max(((end - start) ** 2).sum(), 1e-9), 0, 1)
        distances.append(np.linalg.norm(points - (start + along[:, None] * (end - start)), axis=1))
    return np.min(distances, axis=0)


def most_lonely(frame: pd.DataFrame, count: int = 1) -> list[pd.Series]:
    """The examples farthest from their nearest neighbours on the map."""
    places = np.column_stack([frame["variability"] * 2, frame["confidence"]])
    distances = np.linalg.norm(places[:, None] - places[None, :], axis=2) + np.eye(len(places)) * 9
    return [frame.iloc[int(row)] for row in distances.min(axis=1).argsort()[::-1][:count]]
