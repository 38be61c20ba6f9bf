"""The suites page: what it says of a suite, shows of its examples, adds and removes, without a browser."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ftft_core.errors import InputError, NameTakenError, NotFoundError, SuiteError
from ftft_core.experiments import prepare_demo
from ftft_core.figures import LIGHT
from ftft_core.store.splits import NO_GROUP, SHOWN_CHARACTERS, ExampleFilter
from ftft_core.suites import SpecText, load_suite
from ftft_core.ui.suite_actions import SuitesState
from ftft_core.ui.suite_dialogs import FILE, WRITTEN
from ftft_core.ui.suite_markup import MAX_SHOWN_CHARACTERS, example_markup, split_bar, splits_table
from ftft_core.workspace import Workspace
from tests.ui_workspace import (
    AWKWARD_TEXTS,
    NUM_PAIRS,
    PAIR_GROUPS,
    PAIR_LABELS,
    PAIRS,
    WIDE,
    add_pair_suite,
    add_wide_suite,
    make_workspace,
)

APP = Path(__file__).parents[1] / "app.py"
pytestmark = pytest.mark.usefixtures("app_decides_on_pages")

GOOD = "text: text\nlabel: label\ntrain: train.csv\ndev: train.csv\nout_of_distribution: {far: far.csv}\n"
ROWS = "text,label\nsame,no\nother,yes\nthird,no\nfourth,yes\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that no test changes: `toy`, pairs in groups, 150 labels."""
    folder = tmp_path_factory.mktemp("suites")
    workspace = make_workspace(folder, with_comparison=False)
    add_pair_suite(workspace, folder)
    add_wide_suite(workspace, folder)
    return workspace


@pytest.fixture
def workspace(made: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of it, which the app shows."""
    shutil.copytree(made.folder, tmp_path / "workspace")
    monkeypatch.setenv("FTFT_WORKSPACE", str(tmp_path / "workspace"))
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with the files of a small suite; one training text stands in its test split."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "train.csv").write_text(ROWS, encoding="utf-8")
    (folder / "far.csv").write_text("text,label\nsame,no\nunseen,yes\n", encoding="utf-8")
    (folder / "spec.yaml").write_text(GOOD, encoding="utf-8")
    return folder


def open_suites(suite: str = "toy", **address: str) -> AppTest:
    page = AppTest.from_file(str(APP), default_timeout=60)
    page.run()
    page.switch_page("pages/suites.py")
    page.query_params.clear()  # the data map's
    page.query_params.update({"suite": suite, **address})
    return page.run()


def written(page: AppTest) -> str:
    """Everything that the page says in words."""
    said = [element.value for kind in (page.markdown, page.error, page.warning) for element in kind]
    return "\n".join([*said, *(element.proto.body for element in page.get("html"))]).replace("\\", "")


def fill(page: AppTest, name: str, text: str, folder: str, *, drop_leaked: bool = False) -> AppTest:
    """Write a spec into the open form and press its button."""
    page.segmented_control(key="suites.add.kind").set_value(WRITTEN).run()
    page.text_input(key="suites.add.name").input(name)
    page.text_input(key="suites.add.folder").input(folder)
    page.text_area(key="suites.add.text").input(text)
    page.checkbox(key="suites.add.drop").set_value(drop_leaked)
    return press(page, "Check and add the suite")


def press(page: AppTest, label: str) -> AppTest:
    return next(button for button in page.button if button.label.replace("\\", "") == label).click().run()


def test_a_suite_is_shown_with_what_its_splits_hold(workspace: Workspace) -> None:
    page = open_suites()
    assert not page.exception
    said = written(page)
    fingerprint = workspace.suite_facts("toy")["fingerprint"]
    assert f'<code title="{fingerprint}">{fingerprint[:12]}</code>' in said
    assert "460 examples in 5 splits" in said
    assert 'title="no: 160 (67 %)"' in said
    assert f'background: {LIGHT.out_of_distribution}; border-color: {LIGHT.out_of_distribution}"></i>out of' in said
    assert [link.proto.label for link in page.get("page_link") if "map" in link.proto.label] == [
        "Open the data map of its runs"
    ]
    assert len(page.dataframe[0].value) == 50
    assert "1 to 50 of 240, in file order" in said


def test_pairs_groups_and_150_labels_are_shown(workspace: Workspace) -> None:
    said = written(open_suites(PAIRS))
    assert "pairs of texts" in said
    assert "4 + 5" in said
    assert "<b>yes</b>" not in said
    said = written(open_suites(WIDE))
    assert "150 labels" in said
    assert 'title="other labels: 284 (95 %)"' in said


def test_a_coarser_label_has_the_colours_of_what_it_merges() -> None:
    labels = ("entailment", "neutral", "contradiction")
    bar = split_bar({"entailment": 3, "other": 1}, labels, {"other": ("neutral", "contradiction")}, LIGHT)
    assert f'background: {LIGHT.labels[0]}" title="entailment: 3 (75 %)"' in bar
    stripes = f"repeating-linear-gradient(90deg, {LIGHT.labels[1]} 0px 4px, {LIGHT.labels[2]} 4px 8px)"
    assert f'background: {stripes}" title="other: 1 (25 %)"' in bar


def test_splits_hold_words_groups_and_labels(workspace: Workspace, data: Path) -> None:
    workspace.add_suite(
        "mapped",
        SpecText(
            "text: text\nlabel: label\nlabels: [a, b, c]\ntrain: t.jsonl\ndev: t.jsonl\n"
            "in_distribution: {coarse: {file: coarse.csv, label_map: {bc: [b, c]}}}",
            _with_three_labels(data),
        ),
    )
    found = workspace.describe_splits("mapped").set_index("split")
    assert found.loc["coarse", "labels"] == {"a": 1, "bc": 2}
    assert found["median_words"].tolist() == [2.0, 2.0, 1.0]
    assert found["median_words_pair"].isna().all()
    assert "bc is b or c" in splits_table(workspace.describe_splits("mapped"), ("a", "b", "c"), LIGHT)
    groups = workspace.split_groups(PAIRS, "train")
    assert list(zip(groups["group"], groups["num_examples"], strict=True)) == [
        (PAIR_GROUPS[0], 90),
        (PAIR_GROUPS[1], 30),
    ]


def _with_three_labels(folder: Path) -> Path:
    rows = [{"text": "one two", "label": label} for label in "abc"]
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (folder / "coarse.csv").write_text("text,label\nx,a\ny,bc\nz,b\n", encoding="utf-8")
    return folder


def test_examples_are_searched_filtered_and_paged(workspace: Workspace) -> None:
    def ids(offset: int = 0, limit: int = 50, **wanted: object) -> tuple[int, list[str]]:
        page = workspace.split_examples(PAIRS, "train", ExampleFilter(**wanted), offset=offset, limit=limit)
        return page.total, list(page.rows["example_id"])

    assert ids(offset=118) == (NUM_PAIRS, ["118", "119"])
    assert ids(search="NUMBER 11", limit=3) == (11, ["11", "110", "111"])
    assert ids(search=r"odd number 1\d$", regex=True) == (5, ["11", "13", "15", "17", "19"])
    assert ids(label=PAIR_LABELS[1], group=PAIR_GROUPS[1], limit=2) == (10, ["0", "12"])
    assert ids(group=NO_GROUP) == (0, [])
    long = workspace.split_examples(PAIRS, "train", ExampleFilter(), offset=5, limit=1).rows["text"][0]
    assert len(long) == SHOWN_CHARACTERS + 1
    with pytest.raises(InputError, match="can't be used"):
        ids(search="(", regex=True)
    with pytest.raises(NotFoundError, match="no split 'trian'"):
        workspace.split_examples(PAIRS, "trian")


def test_the_page_searches_and_filters(workspace: Workspace) -> None:
    page = open_suites(PAIRS)
    page.text_input(key="suites.search").input("odd number").run()
    assert "1 to 50 of 60 that match, of 120" in written(page)
    next(box for box in page.selectbox if box.label == "Label").select(PAIR_LABELS[1]).run()
    assert "1 to 20 of 20 that match, of 120" in written(page)
    page.text_input(key="suites.search").input("(").run()
    page.toggle(key="suites.regex").set_value(True).run()
    assert "can't be used" in written(page)
    assert not page.exception


def test_the_address_holds_the_split(workspace: Workspace) -> None:
    page = open_suites("toy", split="far")
    assert "1 to 50 of 60" in written(page)
    page.segmented_control(key="suites.split").set_value("dev").run()
    assert "1 to 40 of 40" in written(page)
    assert page.query_params["split"] == "dev"
    assert "which this suite does not have; it has train, dev, usual" in written(open_suites("toy", split="near"))


def test_texts_of_any_kind_are_shown_as_text() -> None:
    for text in AWKWARD_TEXTS.values():
        shown = example_markup({"label": "<i>", "group": None, "example_id": "0"}, [text])
        assert "<img" not in shown
        assert "<h1" not in shown
        assert "<i>" not in shown
    cut = example_markup({"label": "a", "group": None, "example_id": "0"}, ["x" * (MAX_SHOWN_CHARACTERS + 1_000)])
    assert "x … and 1,000 characters more" in cut
    assert "without its text" in example_markup({"label": "a", "group": float("nan"), "example_id": "0"}, [])


def test_a_suite_is_added_from_a_written_spec(workspace: Workspace, data: Path) -> None:
    page = press(open_suites(), "Add a suite")
    (data / "dev.csv").write_text("text,label\nmine,no\nyours,yes\n", encoding="utf-8")
    fill(page, "fresh", GOOD.replace("dev: train.csv", "dev: dev.csv"), str(data), drop_leaked=True)
    assert not page.exception
    assert page.selectbox(key="suite").value == "fresh"
    assert page.query_params["suite"] == "fresh"
    assert "1 of the 4 training examples were left out" in written(page)
    assert "same" not in set(workspace.split_examples("fresh", "train").rows["text"])
    assert "Fine-tune a first model on it" in [link.proto.label for link in page.get("page_link")]


def test_a_suite_is_added_from_a_file(workspace: Workspace, data: Path) -> None:
    page = press(open_suites(), "Add a suite")
    page.text_input(key="suites.add.name").input("filed")
    page.text_input(key="suites.add.path").input(str(data / "spec.yaml"))
    press(page, "Check and add the suite")
    assert page.selectbox(key="suite").value == "filed"
    assert list(workspace.suite_splits("filed")["split"]) == ["train", "dev", "far"]


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_kept(workspace: Workspace, data: Path) -> None:
    page = press(open_suites(), "Add a suite")
    before = sorted(path.name for path in (workspace.folder / "suites").iterdir())
    fill(page, "two words", GOOD.replace("far.csv", "fra.csv").replace("text: text", "text: txt"), str(data))
    said = written(page)
    assert "The suite name 'two words' cannot be used" in said
    assert "Did you mean &#x27;text&#x27;?" in said
    assert "fra.csv: the file does not exist" in said
    fill(page, "toy", "label: label", str(data / "nowhere"))
    said = written(page)
    assert "A suite named 'toy' is there already" in said
    assert "nowhere' does not exist; give the folder" in said
    assert "train: is required, but missing." in said
    assert list(workspace.suites()["suite"]) == ["toy", PAIRS, WIDE]
    assert sorted(path.name for path in (workspace.folder / "suites").iterdir()) == before


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "Give the path of the spec"),
        ("FOLDER", "is a folder; give the path of the spec"),
        ("FOLDER/none.yaml", "cannot be read: No such file"),
        ("~nobody-here/spec.yaml", "can't be used"),
        ("x" * 300, "can't be used: File name too long"),
    ],
)
def test_a_path_that_is_no_spec_says_so(workspace: Workspace, data: Path, path: str, said: str) -> None:
    page = press(open_suites(), "Add a suite")
    assert page.segmented_control(key="suites.add.kind").value == FILE
    page.text_input(key="suites.add.name").input("fresh")
    page.text_input(key="suites.add.path").input(path.replace("FOLDER", str(data)))
    assert said in written(press(page, "Check and add the suite"))


def test_an_empty_workspace_has_the_form_and_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTFT_WORKSPACE", str(tmp_path / "empty"))
    page = AppTest.from_file(str(APP), default_timeout=60).switch_page("pages/suites.py").run()
    assert not page.exception
    assert "No suite yet" in [heading.value for heading in page.subheader]

    def fails(workspace: Workspace) -> None:
        raise InputError("Its package cannot be found: run pip install it")

    monkeypatch.setattr("ftft_core.ui.suite_actions.prepare_demo", fails)
    assert "Its package cannot be found" in written(press(page, "Add the sample suite"))
    monkeypatch.setattr("ftft_core.ui.suite_actions.prepare_demo", prepare_demo)
    page = press(page, "Add the sample suite")
    assert page.selectbox(key="suite").value == "sample"
    assert "airline" in written(page)


def test_a_suite_in_use_says_what_uses_it(workspace: Workspace) -> None:
    page = press(open_suites(), "Remove")
    assert "It can't be removed while this uses it" in written(page)
    assert "<li>run map-run</li>" in written(page)
    assert not [button for button in page.button if "for good" in button.label]


def test_a_suite_is_removed_once_its_name_is_typed(workspace: Workspace, data: Path) -> None:
    workspace.add_suite("fresh", data / "spec.yaml")
    page = press(open_suites("fresh"), "Remove")
    button = next(button for button in page.button if "for good" in button.label)
    assert button.disabled
    page.text_input(key="suites.remove.name").input("fresh").run()
    press(page, "Remove fresh for good")
    assert not page.exception
    assert list(workspace.suites()["suite"]) == ["toy", PAIRS, WIDE]
    assert page.selectbox(key="suite").value == "toy"
    assert "removed meanwhile" not in written(page)


def test_what_another_tab_removed_is_told(workspace: Workspace, data: Path) -> None:
    workspace.add_suite("fresh", data / "spec.yaml")
    page = open_suites("fresh")
    page.session_state["ftft.suites"] = SuitesState(removing="fresh", shown="fresh")
    workspace.remove_suite("fresh")
    page.run()
    assert not page.exception
    assert "Suite fresh was removed meanwhile; this is toy." in written(page)


def test_content_that_two_suites_share_stays_until_both_are_removed(workspace: Workspace, data: Path) -> None:
    folder = workspace.folder / "suites" / workspace.add_suite("one", data / "spec.yaml").fingerprint
    suite = load_suite("one", data / "spec.yaml")
    with pytest.raises(NameTakenError, match="'one' is there already"):
        workspace.keep_suite(suite)
    assert folder.exists()
    workspace.add_suite("two", data / "spec.yaml")
    workspace.remove_suite("one")
    assert folder.exists()
    workspace.remove_suite("two")
    assert not folder.exists()


def test_the_steps_of_adding_are_told(workspace: Workspace, data: Path) -> None:
    steps: list[str] = []
    workspace.add_suite("fresh", data / "spec.yaml", on_step=steps.append)
    assert steps[0] == "Reading train.csv (1 of 3)"
    assert steps[-2:] == ["Checking 10 examples", "Keeping 10 examples"]


def test_specs_that_unfold_without_end_are_refused(tmp_path: Path) -> None:
    bomb = "a: &a [x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    for text, said in ((bomb, "unfold to more than"), ("text: &a [*a]", "unfold to more"), ("[" * 3000, "too deeply")):
        with pytest.raises(SuiteError, match=said):
            load_suite("bomb", SpecText(text, tmp_path))
    with pytest.raises(SuiteError, match="The spec is empty"):
        load_suite("empty", SpecText(" \n", tmp_path))
    with pytest.raises(SuiteError) as caught:
        load_suite("long", SpecText(f"text: t\nlabel: l\ntrain: {'x' * 300}.csv\ndev: d.csv", tmp_path))
    assert caught.value.problems[0].endswith("the file cannot be read: File name too long.")
