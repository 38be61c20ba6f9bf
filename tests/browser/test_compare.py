"""The comparison page under the pointer: what shows on hover, pins, links and Back, examples, saving a figure."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.browser.conftest import is_strange, running_app, sized_tab
from tests.compare_workspace import AWKWARD, SUITE, TWIN, make_compare_workspace


@pytest.fixture(scope="module")
def compared(browser, tmp_path_factory):
    """The app on a workspace full of runs to compare."""
    with running_app(make_compare_workspace(tmp_path_factory.mktemp("browser-compare"))) as running:
        yield running


@pytest.fixture(scope="module")
def report(compared):
    return compared.workspace.compare(SUITE)


@pytest.fixture
def open_page(person, compared):
    """Open the page at an address; it must not fail anywhere, nor ask anybody but the app."""
    tabs, failures, strangers = [], [], []

    def open_it(query="", *, size=(1440, 900), theme="light"):
        tab = sized_tab(person, *size)
        tab.emulate_media(color_scheme=theme)
        tabs.append(tab)
        tab.on("pageerror", lambda error: failures.append(str(error)))
        tab.on("request", lambda sent: strangers.append(sent.url) if is_strange(sent.url, compared.address) else None)
        tab.goto(f"{compared.address}/compare?suite={SUITE}{query}")
        tab.get_by_test_id("pair-examples").wait_for()
        rest(tab)
        return tab

    yield open_it
    for tab in tabs:
        tab.close()
    assert failures == []
    assert strangers == []


def rest(tab):
    """Wait until no script runs and nothing that is shown is out of date."""
    tab.wait_for_function(
        """() => document.querySelector(".stApp")?.dataset.testScriptState === "notRunning"
          && !document.querySelector("[data-stale=true]")"""
    )


def choose(tab, name, option, value):
    """Choose in a list, and wait until the address says so and the page has followed."""
    listed = tab.get_by_role("option", name=option, exact=True)
    for _ in range(10):  # a part of the page that is drawn anew just then closes the list
        tab.locator(f".st-key-compare-{name} input").click()
        try:
            listed.click(timeout=4000)
            break
        except PlaywrightTimeout:
            tab.keyboard.press("Escape")
    tab.wait_for_url(re.compile(f"[?&]{name}={value}(&|$)"))
    rest(tab)


@pytest.mark.slow
def test_small_and_dark_it_fits_and_its_words_can_be_read(open_page):
    tab = open_page("&split=checks", size=(1280, 720), theme="dark")
    assert fits(tab)
    assert contrast(tab, ".ftft-paper .delta") >= 4.5
    assert contrast(tab, ".ftft-warn") >= 4.5


def test_numbers_say_where_they_come_from_on_hover_and_a_figure_is_saved_as_svg(open_page, tmp_path):
    tab = open_page()
    assert fits(tab)
    assert contrast(tab, ".ftft-paper .delta") >= 4.5
    assert contrast(tab, ".ftft-warn") >= 4.5
    row = tab.get_by_test_id("comparison-table").locator("tr", has_text="news")
    cell = row.locator(".tip").nth(3)
    assert not cell.locator(".tipbox").is_visible()
    cell.hover()
    cell.locator(".tipbox").wait_for(state="visible")
    said = cell.locator(".tipbox").inner_text()
    assert re.search(r"ftft, news: accuracy\nseed 0 +\d+\.\d +ftft-0\nseed 1", said)
    assert "seed 3 failed: the disk is full" in said
    for tip in tab.get_by_test_id("comparison-table").locator("thead .tip").all():
        tip.hover()
        box = tip.locator(".tipbox").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 1440

    with tab.expect_download() as saved:
        tab.locator(".st-key-compare-front .modebar-btn").first.click()
    file = tmp_path / saved.value.suggested_filename
    saved.value.save_as(file)
    assert file.name == "robustness-against-cost.svg"
    text = file.read_text(encoding="utf-8")
    assert text.startswith("<svg")
    assert "erm_matched" in text


def test_pins_and_score_go_into_the_address_and_back(open_page, compared, report):
    tab = open_page()
    before = tab.get_by_test_id("pair-summary").inner_text()
    choose(tab, "second", "random", report.column("random").id)
    choose(tab, "split", "checks (out of distribution)", "checks")
    summary = tab.get_by_test_id("pair-summary").inner_text()
    assert summary.startswith("Of 240 examples only ftft is right in most seeds on ")
    assert "only random on" in summary
    choose(tab, "metric", "Macro-F1", "macro_f1")

    other = open_page(tab.url.partition(f"suite={SUITE}")[2])  # somebody else, by link
    linked = other.get_by_test_id("pair-summary").inner_text()
    assert linked.partition(": McNemar")[0] == summary.partition(": McNemar")[0]
    assert "Difference in macro-f1" in linked

    for _ in range(3):
        tab.go_back()
        rest(tab)
    tab.wait_for_function(
        "(said) => document.querySelector('[data-testid=pair-summary]')?.innerText === said", arg=before
    )


def test_examples_won_and_lost_are_counted_paged_searched_and_shown_as_they_are(open_page, compared, report):
    tab = open_page("&split=checks")
    pair = compared.workspace.compare_pair(report, "ftft", "erm", "checks")
    for name, outcome in {"only erm right": "lost", "both right": "both_right"}.items():
        tab.get_by_role("radio", name=re.compile(f"^{name}")).or_(
            tab.get_by_role("button", name=re.compile(f"^{name}"))
        ).first.click()
        tab.get_by_text(f"of {pair.counts()[outcome]:,}, where the two differ most first").wait_for()
        rest(tab)
    _, expected = compared.workspace.pair_examples(report, pair, "both_right", offset=20, limit=20)
    tab.locator(".st-key-compare-examples-page").get_by_role("spinbutton").fill("2")
    tab.keyboard.press("Enter")
    tab.get_by_text(re.compile("^21 to 40 of")).wait_for()
    rest(tab)
    shown = tab.get_by_test_id("pair-examples").locator("td.id").all_inner_texts()
    assert shown == list(expected["example_id"])

    outcome = next(each for each in pair.counts() if "0" in set(ids_of(compared, report, pair, each)))
    tab = open_page(f"&split=checks&outcome={outcome}")
    search = tab.get_by_placeholder("search the texts")
    search.fill("<img")
    search.press("Enter")
    tab.get_by_text(re.compile("^1 to 1 of 1,")).wait_for()
    rest(tab)
    assert tab.get_by_test_id("pair-examples").locator(".text").inner_text() == AWKWARD
    assert tab.get_by_test_id("pair-examples").locator("img").count() == 0


def test_a_test_example_that_is_a_training_example_leads_to_its_place_on_the_map(open_page, compared, report):
    pair = compared.workspace.compare_pair(report, "ftft", "erm", "forum")
    outcome = next(each for each in pair.counts() if str(TWIN) in ids_of(compared, report, pair, each))
    tab = open_page(f"&split=forum&outcome={outcome}")
    search = tab.get_by_placeholder("search the texts")
    search.fill(f"train: somebody says something, number {TWIN},")
    search.press("Enter")
    tab.get_by_role("link", name=re.compile("see it on the map$")).click()
    tab.wait_for_selector(".ftft-map[data-drawn]")
    assert f"example={TWIN}" in tab.url
    tab.get_by_text(re.compile(f"number {TWIN}, and somebody else")).first.wait_for()


def ids_of(compared, report, pair, outcome):
    return list(compared.workspace.pair_examples(report, pair, outcome, limit=1000)[1]["example_id"])


def fits(tab):
    """Whether nothing scrolls sideways, neither the page nor the table."""
    return all(
        tab.get_by_test_id(place).evaluate("(element) => element.scrollWidth <= element.clientWidth")
        for place in ("stMain", "comparison-table")
    )


def contrast(tab, selector):
    """Contrast of an element's colour against the page's background, as WCAG measures it."""
    colours = tab.locator(selector).first.evaluate(
        """(element) => [element, document.querySelector(".stApp")].map(getComputedStyle)
          .map((style, place) => (place ? style.backgroundColor : style.color))"""
    )
    lights = sorted(luminance(colour) for colour in colours)
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour):
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
