"""The transfer page in a real browser: first screen, both themes, and that what is chosen stays in the address."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.transfer_workspace import SMALL, add_transfer_runs


@pytest.fixture(scope="module")
def transfer(person, app):
    """The page over three models' runs, in a tab that tells of failures."""
    if "main-0" not in set(app.workspace.runs("toy")["name"]):
        add_transfer_runs(app.workspace, app.workspace.folder.parent)
    tab = person.new_page()
    tab.failures = []
    tab.on("pageerror", lambda failure: tab.failures.append(str(failure)))
    yield tab
    assert tab.failures == []
    tab.close()


def test_the_verdict_and_the_matrix_are_on_the_first_screen_and_choices_on_the_address(transfer, app):
    runs = ",".join(("main-0", "main-1", "main-2", "small-0", "small-1", "weak-0"))
    transfer.set_viewport_size({"width": 1440, "height": 900})
    transfer.goto(f"{app.address}/transfer?suite=toy&runs={runs}")
    for width, height, theme in ((1440, 900, "light"), (1280, 720, "dark")):
        transfer.set_viewport_size({"width": width, "height": height})
        transfer.emulate_media(color_scheme=theme)
        verdict = transfer.locator(".ftft-verdict").first
        verdict.wait_for()
        assert verdict.inner_text().startswith(f"{SMALL} is the cheapest reference that is good enough")
        scale = transfer.locator("g.annotation", has_text=re.compile("ceiling")).first
        scale.wait_for()
        box = scale.bounding_box()
        assert box["y"] + box["height"] <= height
        for part in ("document.documentElement", "document.querySelector('[data-testid=stMain]')"):
            assert transfer.evaluate(f"{part}.scrollWidth <= {part}.clientWidth")
    transfer.get_by_text("every run", exact=True).click()
    transfer.locator(".ytick", has_text="weak-0").first.wait_for()
    transfer.wait_for_function("new URL(location).searchParams.get('show') === 'each'")
    kept = parse_qs(urlsplit(transfer.url).query)
    assert kept["runs"] == [runs]
    transfer.reload()
    transfer.locator(".ytick", has_text="small-1").first.wait_for()
    with transfer.expect_download() as saved:
        transfer.get_by_role("button", name="Export CSV").click()
    assert saved.value.suggested_filename == "transfer-toy.csv"
    figure = transfer.locator(".st-key-transfer-matrix-overlap, .js-plotly-plot").first
    figure.hover()
    with transfer.expect_download() as saved:
        transfer.locator(".modebar-btn").first.click()
    assert saved.value.suggested_filename == "transfer-overlap.svg"
