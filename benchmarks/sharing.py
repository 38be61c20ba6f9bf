"""Everything at once on one workspace: two trainers, the app with four browser tabs, and the command line.

Two runs train side by side all the time; two tabs save subsets of the data map, one under the eyes of the other; two
walk from page to page, one of them watching the runs; the command line lists, shows and tags. Prints JSON: what was
done, and what must be none: errors that a person saw, those about locks among them, and updates that were told to be
saved, but are not there in the end.

Run by hand: `python benchmarks/sharing.py [MINUTES] [FOLDER]`; 10 minutes in a temporary folder when left out. Exit
status 1 if anything that must be none is not.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright
from playwright.async_api import Error as BrowserError

from ftft_core.config import BudgetConfig, RunConfig, TrainingConfig
from ftft_core.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking"]
TIMEOUT_MS = 120_000
EPOCHS = 12
STRATEGIES = ("Hard", "Easy", "Ambiguous")
PAGES = ("fine_tune", "compare", "subsets", "suites", "transfer", "fine_tune")
LOCK_WORDS = re.compile(r"Another process|lock on file|has held the queue|Conflicting lock", re.IGNORECASE)


@dataclass
class Tally:
    """What was done and seen."""

    done: Counter[str] = field(default_factory=Counter)
    longest_seconds: dict[str, float] = field(default_factory=dict)
    lock_errors: list[str] = field(default_factory=list)
    other_errors: list[str] = field(default_factory=list)
    saved: set[str] = field(default_factory=set)
    tagged: set[str] = field(default_factory=set)

    def did(self, what: str, started: float) -> None:
        """Count something that was done since `started` (monotonic)."""
        self.done[what] += 1
        self.longest_seconds[what] = max(self.longest_seconds.get(what, 0.0), time.monotonic() - started)

    def saw(self, where: str, words: str) -> None:
        """Note an error that a person saw."""
        found = LOCK_WORDS.search(words)
        (self.lock_errors if found else self.other_errors).append(f"{where}: {words[:300]}")


def environment(workspace: Path) -> dict[str, str]:
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "FTFT_WORKSPACE": str(workspace), "PYTHONPATH": paths}


def prepare(folder: Path) -> Workspace:
    """A workspace with the sample suite and a reference run whose map is looked at."""
    workspace = Workspace(folder)
    workspace.add_suite("tour", ROOT / "data" / "tour" / "spec.yaml")
    workspace.change_worker_settings(runs_per_device=2)
    submit(workspace, "map-run", method="reference")
    while workspace.progress("map-run").status in {"queued", "running"}:
        time.sleep(0.5)
    workspace.sync()
    progress = workspace.progress("map-run")
    assert progress.status == "finished", progress.message
    return workspace


def submit(workspace: Workspace, name: str, *, method: str = "erm", seed: int = 0) -> str:
    training = TrainingConfig(batch_size=16, checkpoint_seconds=2.0)
    config = RunConfig(
        suite="tour", model="minilm", layers=2, name=name, method=method, seed=seed, training=training,
        budget=BudgetConfig(epochs=EPOCHS),
    )  # fmt: skip
    return workspace.submit(config)


async def train(workspace: Workspace, tally: Tally, deadline: float, trainer: int) -> None:
    """Have one run after another train, so that there are always two."""
    number = 0
    while time.monotonic() < deadline:
        started = time.monotonic()
        name = f"run-{trainer}-{number}"
        try:
            await asyncio.to_thread(submit, workspace, name, seed=number)
            while (progress := workspace.progress(name)).status in {"queued", "running"}:
                await asyncio.sleep(0.5)
        except Exception as failure:
            tally.saw(f"trainer {trainer}", repr(failure))
            continue
        if progress.status != "finished":
            tally.saw(name, progress.message)
        tally.did("runs trained", started)
        number += 1


async def list_runs(workspace: Workspace, tally: Tally, deadline: float) -> None:
    """What somebody at a terminal does."""
    number = 0
    while time.monotonic() < deadline:
        commands = (
            ("runs", "list"),
            ("runs", "show", "map-run"),
            ("mark", "tag", "tour", f"tag-{number}", str(number)),
        )
        command = commands[number % len(commands)]
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ftft_core", *command, "--json",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(workspace.folder),
        )  # fmt: skip
        said, errors = await process.communicate()
        if process.returncode != 0:
            tally.saw(f"ftft {' '.join(command)}", (said + errors).decode())
        elif command[0] == "mark":
            tally.tagged.add(command[3])
        tally.did(f"ftft {' '.join(command[:2])}", started)
        number += 1


async def look(page: Page, tally: Tally, where: str) -> None:
    """Note what a page says went wrong."""
    for selector in ("[data-testid=stException]", "[data-testid=stAlertContentError]"):
        for alert in await page.locator(selector).all():
            tally.saw(where, " ".join((await alert.inner_text()).split()))


async def rest(page: Page) -> None:
    await page.wait_for_function(
        """() => document.querySelector(".stApp")?.dataset.testScriptState === "notRunning"
          && !document.querySelector("[data-stale=true]")"""
    )


async def save_subsets(page: Page, address: str, tally: Tally, deadline: float, tab: int) -> None:
    number = 0
    while time.monotonic() < deadline:
        name = f"tab-{tab}-{number}"
        started = time.monotonic()
        await page.goto(f"{address}/?run=map-run")
        await page.wait_for_selector(".ftft-map[data-drawn]")
        await rest(page)
        await page.get_by_role("button", name=STRATEGIES[number % len(STRATEGIES)], exact=True).click()
        await page.get_by_test_id("selection-count").filter(has_text=re.compile(r"^\d+ of")).wait_for()
        await rest(page)
        text = page.locator(".st-key-map-name").get_by_role("textbox")
        await text.fill(name)
        await text.press("Enter")
        await rest(page)
        await page.get_by_role("button", name=re.compile(r"^Save .* as subset$")).click()
        await page.get_by_text(f"Saved as {name}").wait_for()
        tally.saved.add(name)
        await look(page, tally, f"tab {tab}, saving")
        tally.did("subsets saved in a tab", started)
        number += 1


async def walk(page: Page, address: str, tally: Tally, deadline: float, tab: int) -> None:
    number = tab
    while time.monotonic() < deadline:
        name = PAGES[number % len(PAGES)]
        started = time.monotonic()
        await page.goto(f"{address}/{name}?suite=tour")
        await page.wait_for_selector(".stApp [data-testid=stMainBlockContainer]")
        # The page of runs is watched for a while: it looks for itself.
        await page.wait_for_timeout(6000 if name == "fine_tune" else 1500)
        await look(page, tally, f"tab {tab}, {name}")
        tally.did(f"page {name} looked at", started)
        number += 1


async def in_tab(
    browser: Browser, tally: Tally, deadline: float, tab: int, act: Callable[[Page], Awaitable[None]]
) -> None:
    """Open a tab; start over in it if a step in it times out, which is no lock error, but told."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(TIMEOUT_MS)
    page = await context.new_page()
    while time.monotonic() < deadline:
        try:
            await act(page)
        except BrowserError as failure:
            await look(page, tally, f"tab {tab}")
            tally.saw(f"tab {tab}", str(failure).splitlines()[0])
    await context.close()


async def share(workspace: Workspace, address: str, minutes: float) -> Tally:
    tally = Tally()
    deadline = time.monotonic() + 60 * minutes
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        tabs = [
            in_tab(browser, tally, deadline, 1, lambda page: save_subsets(page, address, tally, deadline, 1)),
            in_tab(browser, tally, deadline, 2, lambda page: save_subsets(page, address, tally, deadline, 2)),
            in_tab(browser, tally, deadline, 3, lambda page: walk(page, address, tally, deadline, 3)),
            in_tab(browser, tally, deadline, 4, lambda page: walk(page, address, tally, deadline, 4)),
        ]
        trainers = [train(workspace, tally, deadline, number) for number in (1, 2)]
        await asyncio.gather(*tabs, *trainers, list_runs(workspace, tally, deadline))
        await browser.close()
    return tally


def lost_updates(workspace: Workspace, tally: Tally) -> list[str]:
    """What was told to be saved, or was trained, and is not there."""
    workspace.sync()
    subsets = set(workspace.subsets()["name"])
    lost = [f"subset {name}" for name in sorted(tally.saved - subsets)]
    with workspace.database.reading() as connection:
        tags = {tag for (tag,) in connection.execute("SELECT DISTINCT tag FROM tags").fetchall()}
        scored = {run for (run,) in connection.execute("SELECT DISTINCT run_id FROM scores WHERE final").fetchall()}
    lost += [f"tag {tag}" for tag in sorted(tally.tagged - tags)]
    for row in workspace.runs().to_dict("records"):
        if row["status"] == "finished" and (row["counted_epochs"] != EPOCHS or row["run_id"] not in scored):
            lost.append(f"{row['name']} has {row['counted_epochs']} of {EPOCHS} epochs")
    return lost


def start_app(workspace: Workspace) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (workspace.folder / "app.log").open("wb")
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(port)]
    # With its words, an error can be told from one about locks.
    app = subprocess.Popen(
        [*command, "--server.headless", "true", "--client.showErrorDetails", "full"],
        cwd=ROOT,
        env=environment(workspace.folder),
        stdout=log,
        stderr=log,
    )
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                return app, address
        except OSError:
            assert app.poll() is None
            assert time.monotonic() < deadline, "the app did not come up"
            time.sleep(0.3)


def main() -> int:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="ftft-sharing-"))
    workspace = prepare(folder / "workspace")
    app, address = start_app(workspace)
    try:
        tally = asyncio.run(share(workspace, address, minutes))
    finally:
        app.terminate()
        app.wait(20)
    lost = lost_updates(workspace, tally)
    problems = workspace.health()["problems"]
    answer: dict[str, Any] = {
        "minutes": minutes,
        "operations": dict(sorted(tally.done.items())),
        "longest_seconds": {name: round(seconds, 1) for name, seconds in sorted(tally.longest_seconds.items())},
        "lock_errors": len(tally.lock_errors),
        "lost_updates": len(lost),
        "other_errors": len(tally.other_errors),
        "what": [*tally.lock_errors, *lost, *tally.other_errors, *problems][:20],
        "load_average": os.getloadavg(),
    }
    print(json.dumps(answer, indent=1))
    return 1 if tally.lock_errors or lost else 0


if __name__ == "__main__":
    sys.exit(main())
