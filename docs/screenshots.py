"""Take a picture of every page: both sizes, both themes, on a workspace that has been trained on.

    make screenshots            # after `make run`; pictures go to ./screenshots, the chosen ones to docs/images

Owns what each picture shows. The workspace is copied first, so nothing in it changes.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"1440x900": (1440, 900), "1280x720": (1280, 720)}
THEMES = ("light", "dark")
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking"]
CHOSEN = {
    ("lasso", "1440x900", "light"): "data-map.png",
    ("two-maps", "1440x900", "light"): "two-maps.png",
    ("compare", "1440x900", "light"): "compare.png",
}
"""Pictures that README and docs show."""

SECONDS = 60
SETTLE_SECONDS = 1.5
"""For charts to be drawn after their page stands."""


def main() -> None:
    """Take all pictures, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspace", type=Path, default=Path(os.environ.get("FTFT_WORKSPACE") or "workspace"))
    parser.add_argument("--out", type=Path, default=ROOT / "screenshots")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(SCENES)}; all when left out")
    asked = parser.parse_args()
    if not (asked.workspace / "ftft.duckdb").exists():
        sys.exit(f"There is no workspace at {asked.workspace}; `make run` makes one, or name yours with --workspace.")
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("Pictures are taken with chromium, which is not installed; on Debian: apt-get install chromium.")
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / asked.workspace.resolve().name
        shutil.copytree(asked.workspace, copy, ignore=shutil.ignore_patterns("checkpoint-*", "*.safetensors"))
        with serve(copy) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            for size, (width, height) in SIZES.items():
                for theme in THEMES:
                    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
                    page.set_default_timeout(1000 * SECONDS)
                    for name in asked.names or SCENES:
                        SCENES[name](page, address)
                        settle(page)
                        file = asked.out / f"{name}-{size}-{theme}.png"
                        page.screenshot(path=file)
                        print(file)
                        if chosen := CHOSEN.get((name, size, theme)):
                            shutil.copy(file, ROOT / "docs" / "images" / chosen)
                    page.close()
            browser.close()


@contextmanager
def serve(workspace: Path) -> Iterator[str]:
    """Serve the app on a free port; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(port)]
    server = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "FTFT_WORKSPACE": str(workspace)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=2).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(10)


def settle(page: Any) -> None:
    """Wait until the page is made, with all that it loads late, and drawn."""
    page.wait_for_function(
        """() => document.querySelector('[data-test-script-state="notRunning"]')
             && !document.querySelector('[data-testid="stSkeleton"], [data-testid="stSpinner"], [data-stale="true"]')"""
    )
    time.sleep(SETTLE_SECONDS)


def open_map(page: Any, address: str) -> None:
    """Open the data map with nothing selected."""
    page.goto(address)
    page.wait_for_selector(".ftft-map[data-drawn]")


def lasso(page: Any, address: str) -> None:
    """Draw around ambiguous examples of the map."""
    open_map(page, address)
    corners = [(0.17, 0.35), (0.24, 0.3), (0.31, 0.42), (0.33, 0.62), (0.27, 0.72), (0.19, 0.66), (0.16, 0.5)]
    pixels = page.evaluate("(points) => document.querySelector('.ftft-map').ftft.toPixels(points)", corners)
    page.mouse.move(*pixels[0])
    page.mouse.down()
    for x, y in [*pixels[1:], pixels[0]]:
        page.mouse.move(x, y, steps=5)
    page.mouse.up()
    page.get_by_role("button", name="as subset").wait_for()


def words(page: Any, address: str) -> None:
    """Show the words that set the selection apart."""
    open_map(page, address)
    line = page.get_by_placeholder("Filter:")
    line.fill('label == "negative"')
    line.press("Enter")
    page.get_by_role("button", name="as subset").wait_for()
    page.get_by_text("Words", exact=True).first.click()
    page.get_by_text("Words that set it apart").wait_for()


def example(page: Any, address: str) -> None:
    """Open the example in the middle of the file."""
    open_map(page, address)
    page.locator(".ftft-map").first.scroll_into_view_if_needed()
    spot = page.evaluate("document.querySelector('.ftft-map').ftft.toPixels([[0.2, 0.5]])")[0]
    for step in range(0, 240, 2):  # to the nearest point along a spiral
        angle, radius = step * 0.7, step / 4
        x, y = spot[0] + radius * math.cos(angle), spot[1] + radius * math.sin(angle)
        page.mouse.click(x, y)
        if page.locator(".ftft-detail").count():
            break
        page.wait_for_timeout(40)
    page.locator(".ftft-detail").first.wait_for()


def two_maps(page: Any, address: str) -> None:
    """Put a second run's map beside the first, with a third of the examples selected."""
    open_map(page, address)
    page.get_by_label("Beside it").click()
    page.get_by_role("option").nth(1).click()
    page.locator(".ftft-map[data-drawn]").nth(1).wait_for()
    page.get_by_role("button", name="Ambiguous", exact=True).click()
    page.get_by_role("button", name="as subset").wait_for()


def open_page(name: str) -> Callable[[Any, str], None]:
    """Open a page by its address."""

    def scene(page: Any, address: str) -> None:
        page.goto(f"{address}/{name}")
        page.wait_for_selector(".st-key-frame")
        page.wait_for_load_state("networkidle")

    return scene


SCENES: dict[str, Callable[[Any, str], None]] = {
    "map": open_map,
    "lasso": lasso,
    "words": words,
    "example": example,
    "two-maps": two_maps,
    **{name.replace("_", "-"): open_page(name) for name in ("suites", "subsets", "fine_tune", "compare", "transfer")},
}

if __name__ == "__main__":
    main()
