"""The subsets page: what it lists, proposes and saves, without a browser."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from ftft_core.dynamics import TrainingDynamics
from ftft_core.errors import InputError, NameTakenError, NotFoundError
from ftft_core.figures import LIGHT
from ftft_core.selection import IdsCondition, Recipe, SetCondition, TaggedCondition
from ftft_core.ui.subset_actions import SubsetsState, free_name
from ftft_core.ui.subset_markup import balance_bar, description, legend, percent
from ftft_core.workspace import SubsetRecord, Workspace
from tests.ui_workspace import LABELS, NUM_TRAIN, make_workspace

APP = Path(__file__).parents[1] / "app.py"
pytestmark = pytest.mark.usefixtures("app_decides_on_pages")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that no test changes."""
    return make_workspace(tmp_path_factory.mktemp("subsets"))


@pytest.fixture
def workspace(made: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of it, which the app shows."""
    shutil.copytree(made.folder, tmp_path / "workspace")
    monkeypatch.setenv("FTFT_WORKSPACE", str(tmp_path / "workspace"))
    return Workspace(tmp_path / "workspace")


def open_subsets() -> AppTest:
    return AppTest.from_file(str(APP), default_timeout=60).switch_page("pages/subsets.py").run()


def by_hand(workspace: Workspace, name: str, ids: str) -> SubsetRecord:
    recipe = Recipe(conditions=(IdsCondition(example_ids=tuple(ids.split())),))
    return workspace.save_subset(recipe, name=name, suite="toy")


def written(page: AppTest) -> str:
    """Everything that the page says in words."""
    said = [element.value for kind in (page.markdown, page.error, page.warning) for element in kind]
    return "\n".join([*said, *(element.proto.body for element in page.get("html"))])


def names_of_cards(page: AppTest) -> list[str]:
    marker = '<div class="ftft-subset-name">'
    bodies = (element.proto.body for element in page.get("html"))
    return [body.removeprefix(marker).removesuffix("</div>") for body in bodies if body.startswith(marker)]


def do(page: AppTest, action: str, record: SubsetRecord) -> AppTest:
    """Open a dialog as the menu does."""
    page.session_state["ftft.subsets"] = SubsetsState(doing=(action, record.subset, record.name))
    return page.run()


def test_a_card_says_what_a_subset_is_and_who_used_it(workspace: Workspace) -> None:
    page = open_subsets()
    assert not page.exception
    said = written(page)
    assert "Ambiguous 33 % of run map-run" in said
    assert '79 examples <span class="ftft-quiet">33 % of the training split' in said
    assert 'alt="ambiguous-33, on the map of map-run: variability across, confidence up"' in said
    assert "1 subset<" in said
    links = [link.proto.label for link in page.get("page_link")]
    assert [label for label in links if "ftft" in label] == ["ftft\\-1", "ftft\\-0"]
    assert [box.key for box in page.text_input if box.key == "subsets.expression"] == []  # nothing to combine it with


def test_the_map_is_linked_coloured_by_the_subset(workspace: Workspace) -> None:
    page = open_subsets()
    (link,) = (link.proto for link in page.get("page_link") if link.proto.label == "Show on the map")
    assert f"colour=subset%3A{workspace.subset('ambiguous-33').subset}" in link.query_string
    assert f"run={workspace.run('map-run')['run_id']}" in link.query_string


def test_the_next_step_is_fine_tuning_on_it(workspace: Workspace) -> None:
    subset = workspace.subset("ambiguous-33").subset
    page = open_subsets().button(key=f"subset-tune-{subset}").click().run()
    assert page.selectbox(key="ft_subset").value == subset


def test_a_subset_made_from_another_is_named_there(workspace: Workspace) -> None:
    few = by_hand(workspace, "few", "1 2 3")
    both = Recipe(conditions=(SetCondition(expression="few", operands={"few": few.subset}),))
    workspace.save_subset(both, name="same")
    assert '<span title="same">part of same</span>' in written(open_subsets())


def test_a_miniature_is_on_the_map_that_its_subset_comes_from(workspace: Workspace) -> None:
    positions, labels = np.arange(NUM_TRAIN), (np.arange(NUM_TRAIN) % 3 == 0).astype(int)
    logits = np.random.default_rng(1).normal(size=(4, NUM_TRAIN, 2))
    dynamics = TrainingDynamics.from_arrays(positions, labels, logits, label_names=LABELS)
    workspace.import_dynamics(dynamics, name="newer", suite="toy")
    source = workspace.run("map-run")["run_id"]
    workspace.save_subset(Recipe(source_run=source, strategy="ambiguous", fraction=0.2, epochs=2), name="early")
    early = workspace.subset("early").subset
    minus = SetCondition(
        expression="early - few", operands={"early": early, "few": by_hand(workspace, "few", "1").subset}
    )
    workspace.save_subset(Recipe(conditions=(minus,)), name="minus", suite="toy")
    workspace.random_twin("minus", name="twin")
    said = written(open_subsets())
    for name in ("early", "minus", "twin"):
        assert f"{name}, on the map of map-run, epoch 2:" in said
    assert "few, on the map of newer:" in said
    assert "Random twin of minus" in said


def test_many_subsets_are_paged_searched_and_sorted(workspace: Workspace) -> None:
    for number in range(13):
        by_hand(workspace, f"few-{number:02}", " ".join(str(row) for row in range(1, 3 + number)))
    page = open_subsets()
    assert names_of_cards(page) == [f"few-{number:02}" for number in range(12, 0, -1)]
    page.session_state["subsets.page"] = 2
    assert names_of_cards(page.run()) == ["few-00", "ambiguous-33"]
    page.selectbox(key="subsets.order").select("smallest").run()
    assert names_of_cards(page)[:2] == ["few-00", "few-01"]
    page.text_input(key="subsets.find").input("W-1").run()
    assert names_of_cards(page) == ["few-10", "few-11", "few-12"]
    page.text_input(key="subsets.find").input("nothing").run()
    assert "No subset's name contains nothing" in written(page)


def test_an_expression_counts_and_saves_what_it_leaves(workspace: Workspace) -> None:
    by_hand(workspace, "few", "1 2 3 4")
    by_hand(workspace, "some", "3 4 9")
    page = open_subsets()
    page.text_input(key="subsets.expression").input("few & (some").run()
    assert "at character 7: &#x27;(&#x27; is never closed" in written(page)
    page.text_input(key="subsets.expression").input("few - few").run()
    assert "No example is left by this expression." in written(page)
    page.text_input(key="subsets.expression").input("few | some").run()
    page.text_input(key="subsets.new_name").input("few").run()
    page.button(key="subsets.save").click().run()
    assert "A subset named 'few' is there already" in page.error[0].value.replace("\\", "")
    page.text_input(key="subsets.new_name").input("joined").run()
    page.button(key="subsets.save").click().run()
    assert not page.exception
    assert workspace.subset("joined").size == 5
    assert page.text_input(key="subsets.expression").value == ""
    assert names_of_cards(page)[0] == "joined"


def test_two_subsets_are_compared(workspace: Workspace) -> None:
    few, some = by_hand(workspace, "few", "1 2 3 4"), by_hand(workspace, "some", "3 4 9")
    page = open_subsets()
    page.selectbox(key="subsets.first").select(few.subset).run()
    page.selectbox(key="subsets.second").select(few.subset).run()
    assert "Pick two different subsets" in written(page)
    page.selectbox(key="subsets.second").select(some.subset).run()
    said = written(page)
    assert "Jaccard 0.40; two random subsets of these sizes would have 0.01" in said
    assert "Medians on the map of map-run" in said
    page.button(key="subsets.shortcut.a - b").click().run()
    assert workspace.subset_examples("few-not-some")["example_id"].tolist() == ["1", "2"]


def test_classes_are_balanced_under_a_free_name(workspace: Workspace) -> None:
    page = do(open_subsets(), "Balance the classes", workspace.subset("ambiguous-33"))
    rarest = min(workspace.subset_labels("ambiguous-33").values())
    assert f"{2 * rarest} of 79 examples stay" in written(page)
    page.button(key="subset-save").click().run()
    assert not page.exception
    assert workspace.subset_labels("ambiguous-33-equal") == {"no": rarest, "yes": rarest}
    assert page.session_state["ftft.subsets"].doing is None


def test_a_random_twin_has_as_many_of_each_label_if_wanted(workspace: Workspace) -> None:
    page = do(open_subsets(), "Save a random twin", workspace.subset("ambiguous-33"))
    page.checkbox(key="subset-twin-labels").check().run()
    page.text_input(key="subset-new-name").input("twin").run()
    page.button(key="subset-save").click().run()
    assert workspace.subset_labels("twin") == workspace.subset_labels("ambiguous-33")


def test_making_again_says_what_would_differ_and_only_then_saves(workspace: Workspace) -> None:
    ids = workspace.subset_examples("ambiguous-33")["example_id"].tolist()
    workspace.mark("toy", ids[:3], "tag", "odd", author="mia")
    odd = workspace.save_subset(Recipe(conditions=(TaggedCondition(tag="odd"),)), name="odd", suite="toy")
    page = do(open_subsets(), "Make again", odd)
    assert "Its recipe gives the same 3 examples" in written(page)
    assert "subset-save" not in {button.key for button in page.button}
    workspace.mark("toy", ids[3:5], "tag", "odd", author="mia")
    workspace.mark("toy", ids[:1], "untag", "odd", author="mia")
    page = do(page, "Make again", odd)
    assert "**+2 / −1** since it was saved: 4 examples now." in written(page)
    page.button(key="subset-save").click().run()
    assert workspace.subset("odd-2").size == 4
    assert workspace.subset("odd").size == 3


def test_what_cannot_be_balanced_says_why(workspace: Workspace) -> None:
    page = do(open_subsets(), "Balance the classes", by_hand(workspace, "few", "1 2"))
    assert "there is nothing to balance" in page.error[0].value
    assert not page.exception


def test_a_dialog_of_a_subset_that_another_tab_removed_closes_with_a_sentence(workspace: Workspace) -> None:
    few = by_hand(workspace, "few", "1 2")
    page = open_subsets()
    workspace.remove_subset("few")
    page = do(page, "Export", few)
    assert "Subset few is not in this list any more" in page.warning[0].value
    assert not page.exception


def test_a_removed_subset_comes_back_under_another_name_where_its_own_is_taken(workspace: Workspace) -> None:
    old = by_hand(workspace, "few", "1 2")
    workspace.remove_subset("few")
    by_hand(workspace, "few", "3 4 5")
    page = open_subsets()
    page.button(key=f"subset-restore-{old.subset}").click().run()
    assert "another subset has that name by now" in page.error[0].value
    page.button(key=f"subset-restore-{old.subset}-other").click().run()
    assert workspace.subset(old.subset).name == "few-2"
    assert not page.exception


def test_a_suite_whose_subsets_were_all_removed_says_the_next_step_and_offers_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path, with_comparison=False)
    monkeypatch.setenv("FTFT_WORKSPACE", str(workspace.folder))
    few = by_hand(workspace, "few", "1 2")
    workspace.remove_subset("few")
    page = open_subsets()
    assert "This suite has no saved subset yet." in written(page)
    page.button(key=f"subset-restore-{few.subset}").click().run()
    assert names_of_cards(page) == ["few"]


def test_labels_and_recipes_from_data_are_escaped_and_the_ninth_label_is_other() -> None:
    labels = ["<i>", '"', *(f"label {number}" for number in range(8))]
    counts = dict.fromkeys(labels, 2)
    bar = balance_bar(counts, labels, LIGHT)
    assert 'title="&lt;i&gt;: 2 (10 %)"' in bar
    assert 'title="&quot;: 2 (10 %)"' in bar
    assert 'title="other: 4 (20 %)"' in bar
    assert bar.count("<span") == 9
    assert "&lt;i&gt; 10 %" in legend(counts, labels, LIGHT)
    said = description('where text == "<b>"', 1, "1 %", "1 Jan 2026", bar)
    assert "Where text == &quot;&lt;b&gt;&quot;" in said
    assert "1 example <" in said


def test_shares_are_never_rounded_to_nothing_or_everything() -> None:
    assert [percent(*each) for each in ((0, 10), (1, 1000), (999, 1000), (10, 10), (0, 0), (1, 3))] == [
        "0 %", "under 1 %", "over 99 %", "100 %", "0 %", "33 %",
    ]  # fmt: skip


def test_a_free_name_is_numbered_and_has_only_signs_that_names_may_have() -> None:
    assert free_name("few", ["some"]) == "few"
    assert free_name("few", ["few", "few-2"]) == "few-3"
    assert free_name("-a b/c.", []) == "a-b-c"
    assert free_name("", []) == "subset"
    assert len(free_name("x" * 200, ["x" * 90])) <= 100


def test_what_went_wrong_is_told_by_name() -> None:
    from ftft_core.ui.subset_actions import told

    assert told("s1", "few", InputError("Subset 's1' was not removed.", ["run a"])).message == (
        "Subset 'few' was not removed."
    )
    assert "was removed meanwhile" in told("s1", "few", NotFoundError("There is no subset 's1'.")).message
    taken = NameTakenError("A subset named 'a' is there already.")
    assert told("s1", "few", taken) is taken
