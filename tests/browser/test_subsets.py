"""The subsets page under the pointer: renaming, removing and undoing, combining, comparing; in one tab and in two."""

from __future__ import annotations

import re

import pytest

from ftft_core.errors import NotFoundError
from ftft_core.selection import IdsCondition, Recipe
from tests.browser.conftest import sized_tab


@pytest.fixture
def few(app):
    """The subset `few` of four examples, and `some` of three, two of them shared."""
    ids = {"few": ("1", "2", "3", "4"), "some": ("3", "4", "9")}
    made = [
        app.workspace.save_subset(Recipe(conditions=(IdsCondition(example_ids=chosen),)), name=name, suite="toy").subset
        for name, chosen in ids.items()
    ]
    yield made[0]
    for name in list(app.workspace.subsets("toy")["name"])[::-1]:
        if name != "ambiguous-33":
            app.workspace.remove_subset(name)


@pytest.fixture
def subsets(person, app, few):
    """A fresh tab on the subsets."""
    opened = open_tab(person, app)
    yield opened
    opened.close()


def open_tab(person, app):
    tab = sized_tab(person, 1280, 720)
    tab.goto(f"{app.address}/subsets")
    tab.get_by_text("labels of the training split").wait_for()
    return tab


def card(tab, subset):
    return tab.locator(f".st-key-subset-card-{subset}")


def pick(tab, subset, action):
    tab.locator(f".st-key-subset-menu-{subset} button:visible").click()
    tab.get_by_role("menuitem", name=action).click()


def rename(tab, subset, name):
    card(tab, subset).get_by_role("button", name="Rename").click()
    tab.get_by_role("textbox", name="Name").fill(name)
    tab.get_by_role("textbox", name="Name").press("Enter")


def test_a_card_shows_a_miniature_and_is_renamed_in_place(subsets, app, few):
    picture = card(subsets, few).locator(".ftft-mini img")
    picture.wait_for()
    assert picture.evaluate("image => [image.naturalWidth, image.width]") == [352, 176]  # crisp at twice the size
    rename(subsets, few, "handful")
    card(subsets, few).get_by_text("handful", exact=True).wait_for()
    subsets.get_by_role("textbox", name="Name").wait_for(state="detached")
    assert app.workspace.subset(few).name == "handful"
    assert subsets.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_name_that_can_not_be_says_so_at_its_card(subsets, app, few):
    rename(subsets, few, "two words")
    card(subsets, few).get_by_text("allowed are letters, digits").wait_for()
    assert app.workspace.subset(few).name == "few"


def test_a_subset_is_removed_without_a_question_and_comes_back(subsets, app, few):
    pick(subsets, few, "Remove")
    card(subsets, few).get_by_text("few was removed").wait_for()
    with pytest.raises(NotFoundError, match="was removed"):
        app.workspace.subset(few)
    card(subsets, few).get_by_role("button", name="Undo").click()
    card(subsets, few).get_by_role("button", name="Fine-tune on this").wait_for()
    assert app.workspace.subset(few).size == 4


def test_a_subset_that_runs_were_trained_on_stays(subsets, app):
    subset = app.workspace.subset("ambiguous-33").subset
    pick(subsets, subset, "Remove")
    card(subsets, subset).get_by_text("was not removed: others were made from it").wait_for()
    assert app.workspace.subset(subset).size == 79


def test_subsets_are_combined_with_a_live_count(subsets, app):
    line = subsets.get_by_role("textbox", name="Combine")
    line.fill("few - some")
    # Another test may have left a removed subset of as many.
    subsets.get_by_test_id("combine-count").filter(has_text=re.compile("^2 examples")).wait_for()
    line.fill("few - somme")
    subsets.get_by_text("There is no subset 'somme'; the nearest names are some").wait_for()
    line.fill("few | some")
    save = subsets.get_by_role("button", name="Save 5 examples as subset")
    save.wait_for()
    subsets.get_by_placeholder("few-some").fill("joined")
    save.click()
    subsets.locator(".ftft-subset-name", has_text="joined").wait_for()
    assert app.workspace.subset_examples("joined")["example_id"].tolist() == ["1", "2", "3", "4", "9"]
    assert line.input_value() == ""


def test_two_subsets_are_compared_and_what_they_share_is_saved(subsets, app):
    for picker, name in (("Compare", "few (4)"), ("with", "some (3)")):
        subsets.get_by_role("combobox", name=picker).click()
        subsets.get_by_role("option", name=name).click()
    subsets.get_by_text("Jaccard 0.40; two random subsets of these sizes would have 0.01").wait_for()
    subsets.get_by_role("button", name="Save the 2 in both").click()
    subsets.locator(".ftft-subset-name", has_text="few-and-some").wait_for()
    assert app.workspace.subset_examples("few-and-some")["example_id"].tolist() == ["3", "4"]


def test_what_another_tab_removed_gives_a_sentence(subsets, app, few, person):
    other = open_tab(person, app)
    card(other, few).get_by_role("button", name="Fine-tune on this").wait_for()
    pick(subsets, few, "Remove")
    card(subsets, few).get_by_text("few was removed").wait_for()
    rename(other, few, "handful")
    other.get_by_text("Subset 'few' was removed meanwhile").wait_for()
    other.close()


def test_the_map_is_shown_coloured_by_a_subset(subsets, few):
    card(subsets, few).get_by_role("link", name="Show on the map").click()
    subsets.wait_for_url(re.compile("colour=subset"))
