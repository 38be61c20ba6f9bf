"""The suites page under the pointer: a suite is written, checked, added, looked at and removed."""

from __future__ import annotations

import pytest

from tests.browser.conftest import sized_tab

SPEC = "text: text\nlabel: label\ntrain: train.csv\ndev: train.csv\nout_of_distribution: {far: far.csv}\n"
HOSTILE = "<img src=x onerror=\"document.title='owned'\"> **stars** $x^2$"


@pytest.fixture
def suites(person, app):
    """A fresh tab on the suites."""
    tab = sized_tab(person, 1280, 720)
    tab.goto(f"{app.address}/suites?suite=toy")
    tab.get_by_text("1 to 50 of 240, in file order").wait_for()
    tab.wait_for_url("**/suites?suite=toy&run=*")  # The page stands; what is clicked before may be drawn anew.
    yield tab
    tab.close()
    if "fresh" in set(app.workspace.suites()["suite"]):
        app.workspace.remove_suite("fresh")


def test_a_suite_is_added_looked_at_and_removed(suites, app, tmp_path):
    for name, count in {"train": 4, "far": 2}.items():
        lines = "".join(f'"{HOSTILE.replace(chr(34), chr(34) * 2)} {name} {row}",{row % 2}\n' for row in range(count))
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{lines}", encoding="utf-8")
    suites.get_by_role("button", name="Add a suite").click()
    suites.get_by_role("textbox", name="Name").fill("fresh")
    suites.get_by_text("Written here").click()
    suites.get_by_role("textbox", name="Folder").fill(str(tmp_path))
    spec = suites.get_by_role("textbox", name="Spec (YAML)")
    spec.fill(SPEC.replace("far.csv", "fra.csv"))
    add = suites.get_by_role("button", name="Check and add the suite")
    add.click()
    suites.get_by_text("Did you mean 'far.csv'?").wait_for()
    assert suites.get_by_role("textbox", name="Name").input_value() == "fresh"
    spec.fill(SPEC)
    add.click()
    suites.wait_for_url("**/suites?suite=fresh")

    suites.get_by_text("1 to 4 of 4, in file order").wait_for()
    suites.get_by_role("radio", name="far").click()
    suites.wait_for_url("**/suites?suite=fresh&split=far")
    suites.get_by_text("1 to 2 of 2, in file order").wait_for()
    box = suites.get_by_test_id("stDataFrame").locator("canvas").first.bounding_box()
    suites.mouse.click(box["x"] + 120, box["y"] + 45)
    example = suites.get_by_test_id("example")
    example.get_by_text(f"{HOSTILE} far 0").wait_for()
    assert example.locator("img, strong, .katex").count() == 0
    assert suites.title() != "owned"

    suites.get_by_role("button", name="Remove", exact=True).click()
    suites.get_by_role("textbox", name="Type fresh").fill("fresh")
    suites.get_by_role("button", name="Remove fresh for good").click()
    suites.get_by_text("1 to 50 of 240, in file order").wait_for()
    assert "fresh" not in set(app.workspace.suites()["suite"])
