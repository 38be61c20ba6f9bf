"""What the data map costs in a browser, at 10 thousand, 100 thousand and 1 million examples.

A headless Chromium with software rendering opens the real app on the workspaces of `map_workspaces.py`, draws lassos
with the mouse, changes the colour, zooms, and opens a second map beside. Times are taken in the page: from the release
of the pointer (or the key that picks a colour) to the mutation that shows the answer. Medians of five, each with other
outlines and colours so that nothing is answered from what was kept. Prints JSON, with the load of the machine.

Run by hand, since a million examples take minutes to make: `python benchmarks/map.py [FOLDER] [SIZE ...]`; workspaces
are kept in FOLDER, and made there if they are not there yet.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from map_workspaces import make_workspace
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
SIZES = (10_000, 100_000, 1_000_000)
REPEATS = 5
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking"]
TIMEOUT_MS = 180_000
SETTLED_SECONDS = 0.6
COLOURS = ("predicted label", "AUM", "group", "entropy", "label")
OUTLINE = [(0.12, 0.2), (0.3, 0.15), (0.42, 0.35), (0.4, 0.7), (0.25, 0.9), (0.1, 0.85), (0.13, 0.5)]
"""Corners of a lasso round the ambiguous third, as variability and confidence."""

CLOCK = """
(() => {
  const clock = (window.ftftClock = { started: 0, watched: {}, times: {}, changed: 0 });
  const start = () => { clock.started = performance.now(); };
  addEventListener("pointerup", start, true);
  addEventListener("keydown", (event) => event.key === "Enter" && start(), true);
  const text = (selector) => document.querySelector(selector)?.textContent;
  clock.count = () => text("[data-testid=selection-count]");
  clock.map = () => document.querySelector(".ftft-map[data-drawn]");
  clock.isIdle = () => !document.querySelector('[data-test-script-state="running"]');
  clock.look = () => {
    for (const [name, is] of Object.entries(clock.watched)) {
      if (!(name in clock.times) && is()) clock.times[name] = performance.now() - clock.started;
    }
  };
  clock.watch = (conditions) => Object.assign(clock, { times: {}, watched: conditions });
  new MutationObserver(() => {
    clock.changed = performance.now();
    clock.look();
  }).observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
})();
"""


def main() -> None:
    """Measure every size, and print what was found."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    sizes = [int(size) for size in sys.argv[2:]] or SIZES
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("The map is measured with chromium, which is not installed; on Debian: apt-get install chromium.")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        with served(Path(scratch) / "empty") as (address, _):
            empty = first_paints(browser, address, "document.querySelector('[data-testid=stCode]')")
        result: dict[str, Any] = {"empty_page_seconds": rounded(empty), "sizes": {}}
        for size in sizes:
            place = (folder or Path(scratch)) / f"{size}"
            make_workspace(place, size)
            with served(place) as (address, server):
                result["sizes"][f"{size}"] = measured(browser, address, server, statistics.median(empty))
        browser.close()
    print(json.dumps(result, indent=1))


def measured(browser: Browser, address: str, server: psutil.Process, empty: float) -> dict[str, Any]:
    """Everything about the map of one workspace."""
    found: dict[str, Any] = {"load_average": os.getloadavg()[0]}
    memory = {"before": rss(server)}
    found["first_visit_seconds"] = first_paints(browser, address, "ftftClock.map()", repeats=1)[0]
    paints = first_paints(browser, address, "ftftClock.map()")
    found["first_paint_seconds"] = rounded(paints)
    found["first_paint_beyond_empty_page_seconds"] = statistics.median(paints) - empty
    page, traffic = opened(browser, address)
    page.wait_for_selector(".ftft-map[data-drawn]")
    settle(page)
    found["figure_bytes"] = traffic["files"]
    found["page_message_bytes"] = traffic["messages"]
    memory["map"] = rss(server)
    lassos = [lasso(page, traffic, number) for number in range(REPEATS + 1)]
    found["first_lasso"] = lassos[0]
    found["lasso"] = medians(lassos[1:])
    memory["lasso"] = rss(server)
    found["colour"] = medians([colour(page, traffic, name) for name in COLOURS])
    memory["colour"] = rss(server)
    found["zoom"] = medians([zoom(page, traffic, number) for number in range(REPEATS)])
    found["second_map"] = beside(page, traffic)
    memory["second_map"] = rss(server)
    found["lasso_with_second_map"] = medians([lasso(page, traffic, 10 + number) for number in range(REPEATS)])
    other, other_traffic = opened(browser, address)
    other.wait_for_selector(".ftft-map[data-drawn]")
    settle(other)
    lasso(other, other_traffic, 20)
    memory["second_person"] = rss(server)
    memory["highest"] = highest_rss(server)
    found["server_mib"] = memory
    other.close()
    page.close()
    return found


def first_paints(browser: Browser, address: str, is_there: str, *, repeats: int = REPEATS) -> list[float]:
    """Seconds from the start of a visit until something is there, each in a new browser tab."""
    seconds = []
    for _ in range(repeats):
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(TIMEOUT_MS)
        page.add_init_script(f"{CLOCK}; ftftClock.watch({{ there: () => {is_there} }});")
        page.goto(address)
        seconds.append(page.wait_for_function("ftftClock.times.there").json_value() / 1000)
        settle(page)
        page.close()
    return seconds


def lasso(page: Page, traffic: dict[str, int], number: int) -> dict[str, float]:
    """Draw round about a third of the examples, a little elsewhere each time."""
    shift = 0.004 * (number % 7) - 0.01 * (number // 7 % 2)
    corners = [(x + shift, y + shift) for x, y in OUTLINE]
    pixels = page.evaluate("(points) => ftftClock.map().ftft.toPixels(points)", corners)
    page.get_by_role("button", name="Lasso").first.click()
    page.mouse.move(*pixels[0])
    page.mouse.down()
    for x, y in [*pixels[1:], pixels[0]]:
        page.mouse.move(x, y, steps=3)
    found = timed(
        page,
        traffic,
        page.mouse.up,
        "({ count: ((before) => () => /^[\\d,]+/.test(ftftClock.count()) && ftftClock.count() !== before)"
        "(ftftClock.count()),"
        " repaint: ((before) => () => ftftClock.map()?.dataset.selected > '' &&"
        " ftftClock.map().dataset.answered > before)(ftftClock.map().dataset.answered) })",
    )
    said = page.evaluate("ftftClock.count()")
    found["examples"] = int(said.split()[0].replace(",", ""))
    return found


def colour(page: Page, traffic: dict[str, int], name: str) -> dict[str, float]:
    """Colour the map by something else."""
    page.get_by_role("combobox", name="Colour").click()
    page.keyboard.type(name)
    column = {"AUM": "aum", "predicted label": "predicted_label"}.get(name, name)
    condition = f"({{ repaint: () => ftftClock.map()?.ftft.colours.name === '{column}' }})"
    return timed(page, traffic, lambda: page.keyboard.press("Enter"), condition)


def zoom(page: Page, traffic: dict[str, int], number: int) -> dict[str, float]:
    """Zoom into the dense corner of easy examples, and back."""
    low = 0.02 + 0.003 * number
    start, end = page.evaluate(
        "(points) => ftftClock.map().ftft.toPixels(points)", [(low, 0.8), (low + 0.04, 0.92 + 0.005 * number)]
    )
    page.get_by_role("button", name="Zoom", exact=True).first.click()
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=4)
    condition = "({ own_points: () => ftftClock.map()?.ftft.places.window })"
    if page.evaluate("!ftftClock.map().ftft.data.report_view"):
        condition = "({ own_points: () => true })"  # all points are there already
    found = timed(page, traffic, page.mouse.up, condition)
    page.get_by_role("button", name="Whole map").first.click()
    page.wait_for_function("!ftftClock.map().ftft.places.window")
    settle(page)
    return found


def beside(page: Page, traffic: dict[str, int]) -> dict[str, float]:
    """Show the other run's map beside."""
    page.get_by_role("combobox", name="Beside it").click()
    page.keyboard.type("l")  # which both runs' names have, and "no second map" has not
    conditions = (
        "({ both_maps: () => document.querySelectorAll('.ftft-map[data-drawn]').length === 2,"
        " agreement: () => document.body.innerText.includes('Rank correlation') })"
    )
    return timed(page, traffic, lambda: page.keyboard.press("Enter"), conditions)


def timed(page: Page, traffic: dict[str, int], act: Callable[[], None], conditions: str) -> dict[str, float]:
    """Seconds from an act to each condition and until the page is still, and the bytes sent meanwhile."""
    before = dict(traffic)
    page.evaluate(f"ftftClock.watch({conditions})")
    act()
    page.wait_for_function("Object.keys(ftftClock.watched).every((name) => name in ftftClock.times)")
    settle(page)
    times = page.evaluate("({ ...ftftClock.times, all: ftftClock.changed - ftftClock.started })")
    found = {f"{name}_seconds": time / 1000 for name, time in times.items()}
    return {**found, **{f"{name}_bytes": traffic[name] - before[name] for name in traffic}}


def settle(page: Page) -> None:
    """Wait until no script runs and nothing has changed for a moment."""
    page.wait_for_function(
        f"ftftClock.isIdle() && performance.now() - ftftClock.changed > {1000 * SETTLED_SECONDS}", polling=50
    )


def opened(browser: Browser, address: str) -> tuple[Page, dict[str, int]]:
    """Open the app, and count the bytes of messages and of the map's files that come to the browser."""
    traffic = {"messages": 0, "files": 0}
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(TIMEOUT_MS)
    page.add_init_script(CLOCK)

    def received(message: str | bytes) -> None:
        traffic["messages"] += len(message)

    def finished(request: Any) -> None:
        if "/media/" in request.url:
            traffic["files"] += request.sizes()["responseBodySize"]

    page.on("websocket", lambda socket: socket.on("framereceived", received))
    page.on("requestfinished", finished)
    page.goto(address)
    return page, traffic


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Run the app on a workspace."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    server = psutil.Popen(
        [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(port)],
        cwd=ROOT,
        env={**os.environ, "FTFT_WORKSPACE": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not is_healthy(address):
            time.sleep(0.2)
        yield address, server
    finally:
        server.terminate()
        server.wait(20)


def is_healthy(address: str) -> bool:
    """Whether the app answers."""
    try:
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def rss(server: psutil.Process) -> float:
    """MiB that a process holds."""
    return round(server.memory_info().rss / 2**20, 1)


def highest_rss(server: psutil.Process) -> float:
    """MiB that a process ever held (Linux)."""
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024, 1)


def medians(repeats: list[dict[str, float]]) -> dict[str, float]:
    """Median of each measurement."""
    return {name: statistics.median(each[name] for each in repeats) for name in repeats[0]}


def rounded(seconds: list[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": statistics.median(seconds), "lowest": min(seconds), "highest": max(seconds)}


if __name__ == "__main__":
    main()
