"""Pages: what they say, refuse and save, without a browser."""

import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ftft_core.errors import InputError
from ftft_core.selection import Recipe
from ftft_core.ui.detail import number_words
from ftft_core.ui.frame import as_text, duration_words, queue_words
from ftft_core.ui.subset_markup import percent
from tests.ui_workspace import make_workspace

APP = Path(__file__).parents[1] / "app.py"
pytestmark = pytest.mark.usefixtures("app_decides_on_pages")
PAGES = ("suites", "data_map", "subsets", "fine_tune", "compare", "transfer")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    return make_workspace(tmp_path_factory.mktemp("filled"))


@pytest.fixture
def app(filled, monkeypatch):
    monkeypatch.setenv("FTFT_WORKSPACE", str(filled.folder))
    return AppTest.from_file(str(APP), default_timeout=60)


@pytest.fixture
def empty_app(tmp_path, monkeypatch):
    monkeypatch.setenv("FTFT_WORKSPACE", str(tmp_path / "empty"))
    return AppTest.from_file(str(APP), default_timeout=60)


def open_page(app, name):
    return (app if name == "data_map" else app.switch_page(f"pages/{name}.py")).run()


def written(app):
    """Everything that the page says in words."""
    said = [element.value for kind in (app.markdown, app.error) for element in kind]
    return "\n".join([*said, *(element.proto.body for element in app.get("html"))])


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens(app, name):
    page = open_page(app, name)
    assert not page.exception
    assert not page.error


@pytest.mark.parametrize("name", PAGES[1:])  # the first is a form: test_pages_suites
def test_an_empty_workspace_says_the_one_step_that_fills_a_page(empty_app, name):
    page = open_page(empty_app, name)
    assert not page.exception
    assert [code.value for code in page.code] in (["ftft demo"], ["ftft suite add NAME SPEC.yaml"])


def test_opening_the_app_imports_nothing_that_trains(filled):
    script = (
        "import sys\n"
        "from streamlit.testing.v1 import AppTest\n"
        f"app = AppTest.from_file({str(APP)!r}, default_timeout=60).run()\n"
        "assert not app.exception, app.exception\n"
        f"for name in {PAGES!r}:\n"
        "    if name != 'data_map':\n"
        "        assert not app.switch_page(f'pages/{name}.py').run().exception\n"
        "print([name for name in ('torch', 'transformers', 'datasets') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"FTFT_WORKSPACE": str(filled.folder), "PATH": "", "PYTHONPATH": str(APP.parent), "HOME": "/nonexistent"},
        capture_output=True, text=True, timeout=120, check=False, cwd=APP.parent,
    )  # fmt: skip
    assert done.stdout.strip().splitlines()[-1:] == ["[]"], done.stdout + done.stderr


def test_the_run_picker_shows_runs_with_a_map_first_then_the_newest(app):
    open_page(app, "data_map")
    assert app.selectbox(key="suite").value == "toy"
    assert app.selectbox(key="run").options == ["map-run", "erm-1", "erm-0", "ftft-1", "ftft-0"]


def test_a_run_without_a_whole_epoch_says_what_it_waits_for(app):
    open_page(app, "data_map")
    app.selectbox(key="run").select("erm-0").run()
    assert "no finished epoch yet" in written(app)


def test_the_comparison_concludes_and_shows_means_spreads_and_costs(app):
    page = open_page(app, "compare")
    words = written(page)
    assert "ftft reaches" in words.replace("\\", "")
    assert "<small>±" in words
    assert "Out of distribution" in words
    assert "50 %" in words  # ftft's FLOPs with its reference's


def test_a_suite_without_finished_runs_leads_to_fine_tuning(tmp_path, monkeypatch):
    workspace = make_workspace(tmp_path, with_comparison=False)
    monkeypatch.setenv("FTFT_WORKSPACE", str(workspace.folder))
    page = open_page(AppTest.from_file(str(APP), default_timeout=60), "compare")
    assert "no finished run to compare yet" in written(page)


def test_markdown_of_data_is_escaped():
    assert as_text("**a** [b](c) $x$ <i>") == "\\*\\*a\\*\\* \\[b\\]\\(c\\) \\$x\\$ \\<i\\>"


def test_durations_are_worded_as_people_say_them():
    worded = {None: "", 4.4: "4 s", 59.6: "1 min", 720: "12 min", 3900: "1 h 05 min"}
    assert {seconds: duration_words(seconds) for seconds in worded} == worded


def test_shares_and_numbers_are_worded_without_false_zeros():
    assert [percent(count, 1000) for count in (0, 5, 333, 995)] == ["0 %", "under 1 %", "33 %", "over 99 %"]
    assert [number_words(value) for value in (None, 3, 0, 0.12345, 1.0)] == ["–", "3", "0", "0.123", "1.000"]


def test_the_queue_is_idle_or_says_how_long_it_takes(filled):
    queue = filled.queue()
    assert queue_words(queue) == "Idle"
    queue.loc[0] = ["r1", "a", "running", 0, 125.0, "cpu"]
    queue.loc[1] = ["r2", "b", "queued", 1, None, None]
    assert queue_words(queue) == "1 of 2 running, 2 min left"


def test_a_recipe_that_takes_nothing_is_refused(filled):
    recipe = Recipe(source_run="map-run", conditions=({"kind": "where", "expression": "confidence > 2"},))
    with pytest.raises(InputError, match="leaves none of 240 examples"):
        filled.preview_subset(recipe)
