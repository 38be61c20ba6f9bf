"""The component's test page and one map of it: serving the page, and what tests do and read off with the mouse."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.browser.conftest import ROOT, SECONDS, is_healthy

APP = Path(__file__).with_name("map_app.py")


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve the test's page from a folder of its own; Plotly.js is copied beside it. Give its address."""
    shutil.copy(APP, folder / "app.py")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "log").open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(folder / "app.py"), "--server.port", str(port)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + SECONDS
        while not is_healthy(f"http://127.0.0.1:{port}"):
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, "the page did not come up"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


class Map:
    """One map of the page."""

    def __init__(self, page, number=0):
        self.page, self.number = page, number
        self.element = page.locator(".ftft-map").nth(number)

    def told(self):
        return json.loads(self.page.locator("code").inner_text())

    def events(self):
        return self.told()["log"]

    def wait(self, **data):
        """Wait until the map says so of itself."""
        self.page.wait_for_function(
            """([number, data]) => {
              const map = document.querySelectorAll(".ftft-map")[number];
              return map && Object.entries(data).every(([name, value]) => map.dataset[name] === value);
            }""",
            arg=[self.number, {name: str(value) for name, value in data.items()}],
        )

    def count(self, num_events):
        """Number of examples selected after so many events."""
        self.wait_for_event(num_events)
        return self.told()["count"]

    def wait_for_event(self, count):
        self.wait_told("told.log?.length >= arg", count)
        return self.events()[-1]

    def wait_told(self, condition, arg=None):
        """Wait until what the page wrote down last is so; while it is written anew, there is nothing."""
        self.page.wait_for_function(
            f"""(arg) => {{
              const told = JSON.parse(document.querySelector("code")?.innerText || "{{}}");
              return {condition};
            }}""",
            arg=arg,
        )

    def ask(self, expression):
        return self.element.evaluate(f"(host) => {{ const map = host.ftft; return {expression}; }}")

    def pixels(self, points):
        return self.element.evaluate("(host, points) => host.ftft.toPixels(points)", points)

    def drag(self, points, key=None):
        mouse, pixels = self.page.mouse, self.pixels(points)
        if key:
            self.page.keyboard.down(key)
        mouse.move(*pixels[0])
        mouse.down()
        for x, y in pixels[1:]:
            mouse.move(x, y, steps=5)
        mouse.up()
        if key:
            self.page.keyboard.up(key)

    def button(self, name):
        return self.element.get_by_role("button", name=name, exact=True)
