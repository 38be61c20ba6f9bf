"""A real browser before the real app: Chromium, driven by Playwright, on a workspace made for the test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ftft_core.workspace import Workspace
from tests.browser.map_page import MapPage
from tests.ui_workspace import add_pair_suite, add_wide_suite, make_workspace

ROOT = Path(__file__).resolve().parents[2]
REQUIRED_VARIABLE = "FTFT_REQUIRE_BROWSER"
FLAGS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    # WebGL is drawn in software anyway; the page around it is drawn twice as fast without it.
    "--disable-gpu-rasterization",
    "--disable-gpu-compositing",
    # One process shows all tabs, and keeps what it has compiled of the app's scripts.
    "--process-per-site",
]
SECONDS = 60


@dataclass
class App:
    """The running app and its workspace."""

    address: str
    workspace: Workspace
    strangers: list[str] = field(default_factory=list)
    """Requests that went anywhere but to the app."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)


def cannot(reason: str) -> None:
    """Skip, or fail where the environment says that a browser must be there."""
    if os.environ.get(REQUIRED_VARIABLE) == "1":
        pytest.fail(f"{reason}, but {REQUIRED_VARIABLE}=1 asks for the browser tests")
    pytest.skip(f"{reason}; set {REQUIRED_VARIABLE}=1 to make that a failure")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium")
    if chromium is None:
        cannot("chromium is not installed")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        cannot("playwright is not installed")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def app(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("browser")
    workspace = make_workspace(folder)
    add_pair_suite(workspace, folder)
    add_wide_suite(workspace, folder)
    with running_app(workspace) as running:
        yield running


@contextmanager
def running_app(workspace: Workspace) -> Iterator[App]:
    """Run the app on a workspace, as a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    log = workspace.folder / "app.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(port)],
            cwd=ROOT,
            env={**os.environ, "FTFT_WORKSPACE": str(workspace.folder)},
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + SECONDS
        while not is_healthy(address):
            assert server.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < deadline, "the app did not come up\n" + log.read_text(errors="replace")
            time.sleep(0.2)
        yield App(address, workspace)
    finally:
        server.terminate()
        server.wait(10)


def is_healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="session")
def person(browser: Any) -> Iterator[Any]:
    """Somebody's browser: tabs of it share what they have loaded, as real ones do."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(1000 * SECONDS)
    context.new_page()  # the process of a browser's tabs ends with the last of them
    yield context
    context.close()


def sized_tab(person: Any, width: int, height: int) -> Any:
    """Open an empty tab of this size."""
    tab = person.new_page()
    tab.set_viewport_size({"width": width, "height": height})
    return tab


@pytest.fixture(params=["light"])
def page(person: Any, app: App, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A fresh tab at 1440x900 on the data map, drawn."""
    opened = person.new_page()
    opened.emulate_media(color_scheme=request.param)
    app.strangers.clear()
    opened.on("request", lambda sent: app.strangers.append(sent.url) if is_strange(sent.url, app.address) else None)
    opened.goto(app.address)
    opened.wait_for_selector(".ftft-map[data-drawn]")
    yield opened
    opened.close()


@pytest.fixture
def open_map(person: Any, app: App) -> Iterator[Callable[..., MapPage]]:
    """Open the data map at an address, in a tab of its own; it must not fail anywhere."""
    opened = []

    def open_it(query: str = "run=map-run", *, context: Any = None) -> MapPage:
        tab = MapPage((context or person).new_page(), app.address)
        opened.append(tab)
        tab.open(query)
        return tab

    yield open_it
    for tab in opened:
        assert tab.failures == []
        tab.page.close()


def is_strange(url: str, address: str) -> bool:
    here = (address, address.replace("http://", "ws://"), "blob:", "data:")
    return not url.startswith(here)
