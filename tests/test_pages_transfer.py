"""The transfer page: what it says, what it keeps in the address, and its empty states, without a browser."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from ftft_core.comparison import SCORE_ENDS
from ftft_core.figures import DARK, LIGHT
from ftft_core.figures.transfer_charts import agreement_figure, averages_figure
from ftft_core.ui.transfer import set_words
from ftft_core.ui.transfer_tables import verdict
from ftft_core.workspace import Workspace
from tests.transfer_workspace import MAIN, SMALL, WEAK, make_transfer_workspace
from tests.ui_workspace import make_workspace

APP = Path(__file__).parents[1] / "app.py"
pytestmark = pytest.mark.usefixtures("app_decides_on_pages")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that no test changes."""
    return make_transfer_workspace(tmp_path_factory.mktemp("transfer"))


@pytest.fixture
def workspace(made: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of it, which the app shows."""
    shutil.copytree(made.folder, tmp_path / "workspace")
    monkeypatch.setenv("FTFT_WORKSPACE", str(tmp_path / "workspace"))
    return Workspace(tmp_path / "workspace")


def open_transfer(**address: str) -> AppTest:
    page = AppTest.from_file(str(APP), default_timeout=60).switch_page("pages/transfer.py")
    for name, value in address.items():
        page.query_params[name] = value
    return page.run()


def written(page: AppTest) -> str:
    """Everything that the page says in words."""
    said = [element.value for kind in (page.markdown, page.error, page.warning) for element in kind]
    return "\n".join([*said, *(element.proto.body for element in page.get("html"))]).replace("\\", "")


def test_the_verdict_stands_first(workspace: Workspace) -> None:
    page = open_transfer()
    assert not page.exception
    said = written(page)
    assert f'<div class="ftft-verdict">{SMALL} is the cheapest reference that is good enough, at 25 %' in said
    assert f"{WEAK} looks too weak" in said
    assert "Which score transfers best" in said
    assert "How often such estimates are right has not been measured yet" in said or "benchmark suites" in said
    assert page.query_params["suite"] == "toy"
    report = workspace.transfer_report(workspace.transferable_runs("toy")["run_id"].tolist())
    of_one = report.reliabilities.set_index("group")["reliability_of_one"]
    corrected = report.advice.references.set_index("reference")["corrected_correlation"].dropna()
    assert len(corrected)
    for reference, value in corrected.items():
        is_noisy = min(of_one[reference], of_one[report.main.name]) < 0.3
        assert f"{value:.2f} corrected{', unsure' if is_noisy else ''}<" in said.replace("−", "-")


def test_the_address_says_what_is_compared(workspace: Workspace) -> None:
    page = open_transfer(suite="toy", score="confidence", fraction="0.25", runs="main-0,small-1,nobody", main=SMALL)
    assert not page.exception
    assert page.selectbox(key="transfer.score").value == "confidence"
    assert page.number_input(key="transfer.fraction").value == 0.25
    assert page.selectbox(key="transfer.main").value == SMALL
    assert page.multiselect(key="transfer.runs").value == [workspace.run(name)["run_id"] for name in
                                                           ("main-0", "small-1")]  # fmt: skip
    assert "The link names 1 of 3 runs that have no such map here: nobody." in written(page)
    page.selectbox(key="transfer.score").select("aum").run()
    assert page.query_params["score"] == "aum"
    assert page.query_params["fraction"] == "0.25"


def test_what_a_link_can_t_say_is_told(workspace: Workspace) -> None:
    page = open_transfer(suite="toy", score="magic", fraction="7", main="gpt")
    assert not page.exception
    said = written(page)
    assert "The link asks for the score 'magic'" in said
    assert "The link asks for the fraction 7; it must be at least 0.01" in said
    assert "The link names the main model 'gpt', which none of these runs is of" in said
    assert "ftft-verdict" in said


def test_a_fraction_that_the_box_can_t_show_is_told(workspace: Workspace) -> None:
    page = open_transfer(suite="toy", fraction="0.002")
    assert not page.exception
    assert "The link asks for the fraction 0.002; it must be at least 0.01 and at most 0.99." in written(page)
    assert page.number_input(key="transfer.fraction").value == pytest.approx(1 / 3, abs=1e-4)


def test_an_average_is_saved_as_a_subset(workspace: Workspace) -> None:
    page = open_transfer()
    page.selectbox(key="transfer.average").select(f"{SMALL}, 2 seeds")
    page.text_input(key="transfer.name").input("both")
    next(button for button in page.button if button.label.startswith("Save the most ambiguous")).click().run()
    assert not page.exception
    assert "Saved 80 examples as **both**" in written(page)
    assert workspace.recipe_words(workspace.subset("both").recipe).endswith(
        "of the average of runs small-0 and small-1"
    )


def test_a_workspace_without_a_suite_says_what_will_be_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTFT_WORKSPACE", str(tmp_path / "empty"))
    page = open_transfer()
    assert not page.exception
    assert "Transfer asks whether a cheap model's data map" in written(page)


def test_one_map_is_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_workspace(tmp_path / "one", with_comparison=False)
    monkeypatch.setenv("FTFT_WORKSPACE", str(made.folder))
    said = written(open_transfer())
    assert "Only run map-run has a data map yet; a comparison takes two" in said


def test_with_one_model_there_is_no_reference_to_judge(workspace: Workspace) -> None:
    page = open_transfer(suite="toy", runs="main-0,main-1")
    assert not page.exception
    assert "All runs are of the main model; two of its seeds overlap by" in written(page)
    page = open_transfer(suite="toy", runs="main-0")
    assert "Choose at least two runs to compare" in written(page)


def test_words_of_the_page() -> None:
    assert set_words("variability", 0.33) == "the most ambiguous 33 %"
    assert set_words("loss", 0.1) == "the 10 % of highest loss"
    assert verdict("<b>", ["& more"]) == (
        '<div class="ftft-verdict">&lt;b&gt;</div><div class="ftft-quiet">&amp; more</div>'
    )


GRID = pd.DataFrame(
    [("m", "m", 0.5, 3, False), ("m", "r", 0.3, 2, True), ("r", "r", np.nan, 0, False)],
    columns=["group_a", "group_b", "overlap", "num_pairs", "same_seed"],
)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_the_matrix_runs_from_chance_to_the_ceiling(theme) -> None:
    figure = agreement_figure(GRID, ["m", "r"], "overlap", theme, chance=0.2, ceiling=0.5, main=["m"])
    (heat,) = figure.data
    assert (heat.zmin, heat.zmax) == (0.2, 0.5)
    np.testing.assert_array_equal(np.asarray(heat.z, dtype=float), [[0.5, 0.3], [0.3, np.nan]])
    cells = {(note.x, note.y): note.text for note in figure.layout.annotations if note.xref != "paper"}
    assert cells == {(0, 0): "0.50", (1, 0): "0.30*", (0, 1): "0.30*", (1, 1): "one run"}
    words = [note.text for note in figure.layout.annotations if note.xref == "paper"]
    assert words == ["chance 0.20", "ceiling 0.50"]
    colours = {note.text: note.font.color for note in figure.layout.annotations if note.xref != "paper"}
    for text, share in (("0.50", 1.0), ("0.30*", 1 / 3)):
        assert contrast(colours[text], theme.scores, share) >= 4.5


def test_a_matrix_without_a_ceiling_says_so() -> None:
    figure = agreement_figure(GRID, ["m", "r"], "overlap", LIGHT, chance=0.2, ceiling=None)
    assert [note.text for note in figure.layout.annotations if note.xref == "paper"][1] == "0.50, no ceiling known"
    figure = agreement_figure(GRID, ["m", "r"], "overlap", LIGHT, chance=0.2, ceiling=0.1)
    assert figure.layout.annotations[-1].text == "ceiling 0.10, no more than chance"


def test_averages_of_unknown_cost_are_left_out_of_the_chart() -> None:
    rows = [("a", "run", 0.3, 0.2), ("b", "seeds", 0.4, np.nan), ("c", "main", 0.5, 1.0)]
    averages = pd.DataFrame(rows, columns=["average", "kind", "overlap", "cost_share"]).assign(same_seed=False)
    figure = averages_figure(averages, LIGHT, chance=0.2, ceiling=0.5)
    assert [list(trace.x) for trace in figure.data] == [[0.2], [1.0]]


def test_long_names_in_the_matrix_keep_the_end_that_tells_them_apart() -> None:
    names = [f"a-model-of-a-long-name, 12 layers, {layers} steps" for layers in (100, 200)]
    grid = GRID.replace(dict(zip("mr", names, strict=True)))
    labels = agreement_figure(grid, names, "overlap", LIGHT, chance=0.2, ceiling=0.5).layout.yaxis.ticktext
    assert labels == ("a-model-of-… layers, 100 steps  <b>1</b>", "a-model-of-… layers, 200 steps  <b>2</b>")


def test_texts_of_runs_are_shown_as_they_are() -> None:
    grid = GRID.replace({"m": "<b>m</b>", "r": "$r$"})
    figure = agreement_figure(grid, ["<b>m</b>", "$r$"], "overlap", LIGHT, chance=0.2, ceiling=0.5)
    assert "&lt;b&gt;m" in figure.layout.yaxis.ticktext[0]
    assert re.search(r"(?<!&#36;)\$r", figure.layout.yaxis.ticktext[1]) is None


def contrast(text: str, scale: tuple[str, ...], share: float) -> float:
    place = share * (len(scale) - 1)
    low, high = scale[int(place)], scale[min(int(place) + 1, len(scale) - 1)]

    def channels(colour: str) -> np.ndarray:
        return np.array([int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)])

    def luminance(colour: np.ndarray) -> float:
        linear = np.where(colour <= 0.03928, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    back = luminance((1 - place % 1) * channels(low) + (place % 1) * channels(high))
    front = luminance(channels(text))
    return (max(back, front) + 0.05) / (min(back, front) + 0.05)


def test_exports_hold_every_table(made: Workspace) -> None:
    from ftft_core.ui.transfer_tables import report_csv

    report = made.transfer_report(["main-0", "main-1", "small-0", "small-1"])
    path = made.folder / "report.csv"
    path.write_text(report_csv(report), encoding="utf-8")
    frame = pd.read_csv(path)
    assert frame["row"].value_counts().to_dict() == {
        "reference": 1,
        "pair": 3,
        "reliability": 2,
        "score": 2 * len(SCORE_ENDS),
        "average": len(report.averages),
    }
    assert set(frame["main"]) == {MAIN}
    row = frame[frame["row"] == "reference"].iloc[0]
    assert row["overlap"] == pytest.approx(report.advice.references["overlap"][0])


def test_a_score_that_hardly_any_run_knows_is_not_offered(workspace: Workspace) -> None:
    page = open_transfer(suite="toy", score="adjusted_variability")
    assert page.selectbox(key="transfer.score").value == "adjusted_variability"
    without = [dataclasses.replace(workspace.dynamics(run), steps=None) for run in ("main-0", "small-0")]
    for run in workspace.transferable_runs("toy", score="adjusted_variability")["name"].tolist()[1:]:
        workspace.remove_run(run)
    for number, dynamics in enumerate(without):
        workspace.import_dynamics(dynamics, name=f"imported-{number}", suite="toy")
    page = open_transfer(suite="toy", score="adjusted_variability")
    assert not page.exception
    assert any("which fewer than two runs of this suite know" in each.value for each in page.warning)
    assert page.selectbox(key="transfer.score").value == "variability"
    assert "adjusted_variability" not in page.selectbox(key="transfer.score").options
