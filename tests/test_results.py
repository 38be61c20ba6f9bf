"""The document of results: made from what is kept, by hand-written words kept, and up to date."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.compare_workspace import SUITE, Made, make_compare_workspace
from tests.conftest import ROOT
from tests.transfer_workspace import MAIN, SMALL, make_transfer_workspace


@pytest.fixture(scope="module")
def program() -> ModuleType:
    """The module benchmarks/results.py, which is a program and in no package."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import results
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return results


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two suites: one with methods to compare, one with maps to compare."""
    folder = tmp_path_factory.mktemp("kept")
    made = (
        Made("erm", 1.15, 60, (0, 1, 2)),
        Made("ftft", 1.3, 20, (0, 1), "ambiguous-{seed}", reference=True),
    )
    make_compare_workspace(folder / "first", made).keep_results(SUITE, folder / "results")
    workspace = make_transfer_workspace(folder / "second")
    workspace.sync()
    workspace.keep_results("toy", folder / "results")
    return folder / "results"


@pytest.fixture(scope="module")
def made(program: ModuleType, kept: Path) -> tuple[list[Any], dict[str, Any]]:
    parts, cases = program.make_parts(kept)
    return parts, cases


def test_a_suite_has_its_tables_figures_and_sentences(made: Any) -> None:
    part = next(part for part in made[0] if part.name == f"results of {SUITE}")
    for said in (
        "### mini-lm, 6 layers on talk",
        "Accuracy in percent, higher is better; difference to erm with its 95 % interval, in points",
        "| seeds | 3 | 2 |",
        "| FLOPs, share of erm | 1.00 | 0.47 |",
        "**Fewer than three seeds**, so their spread is hardly known: ftft (2).",
        "accuracy out of distribution, ",
        "How erm converges on the development set",
        "Split 'praise' holds one label only",
    ):
        assert said in part.text, said
    assert list(part.figures) == ["results-talk-mini-lm-6l-cost.svg", "results-talk-mini-lm-6l-curves.svg"]
    assert all(f"(images/{name})" in part.text for name in part.figures)


def test_maps_of_references_are_held_against_the_main_model(made: Any) -> None:
    part = next(part for part in made[0] if part.name == "results of toy")
    row = next(line for line in part.text.splitlines() if line.startswith(f"| {SMALL} |"))
    assert row.split("|")[2].strip() == "2"
    assert row.endswith(" yes |")
    assert f"({MAIN}, " in part.text
    assert "0.20 is chance" in part.text


def test_one_table_has_a_row_for_each_main_model_with_the_numbers_of_its_suite(made: Any) -> None:
    texts = {part.name: part.text for part in made[0]}
    rows = [line.strip("| ").split(" | ") for line in texts["summary"].splitlines() if line.startswith("| ")]
    suites = {row[0]: row for row in rows[1:]}
    assert list(suites) == [SUITE]  # of the other there are maps alone
    assert rows[0][2:4] == ["erm", "ftft − erm"]
    model, erm, ftft, *others, cost = suites[SUITE][1:]
    assert model == "mini-lm, 6 layers"
    assert erm.endswith(" (3)")
    difference, num_seeds = ftft.rsplit(" ", 1)
    assert num_seeds == "(2)"
    assert f"({difference})" in texts[f"results of {SUITE}"]
    assert (others, cost) == (["–"] * 3, "0.47")


def test_every_seed_is_there_and_its_mean_is_that_of_the_method(made: Any) -> None:
    text = next(part.text for part in made[0] if part.name == f"results of {SUITE}")
    erm = next(line for line in text.splitlines() if line.startswith("| erm | out |"))
    ftft = next(line for line in text.splitlines() if line.startswith("| ftft | out |"))
    assert ftft.endswith(" – |")  # it has no third seed
    seeds = [float(cell) for cell in erm.strip("| ").split(" | ")[2:]]
    assert len(seeds) == 3
    summary = next(part.text for part in made[0] if part.name == "summary")
    mean = float(summary.split("mini-lm, 6 layers | ")[1].split(" (3)")[0])
    assert abs(sum(seeds) / 3 - mean) < 0.1  # each is rounded to 0.1


def test_estimates_are_counted(made: Any) -> None:
    parts, cases = made
    assert {case["reference"] for case in cases["cases"]} >= {SMALL}
    assert f"Not counted: {SUITE}: " in parts[-1].text
    json.dumps(cases)


def test_words_around_the_marks_stay_and_parts_may_be_moved(program: ModuleType, made: Any) -> None:
    parts, _ = made
    document = program.with_parts("# Results\n\nBy hand.\n", parts)
    assert program.with_parts(document, parts) == document
    first, last = program.marks_of(parts[0].name)
    moved = f"# Results\n\n{first}\nold\n{last}\n\nWhat it means.\n"
    again = program.with_parts(moved, parts)
    assert again.startswith(f"# Results\n\n{first}\n\n{parts[0].text}\n\n{last}\n\nWhat it means.\n")
    assert again.count(first) == 1
    assert "## The suite toy" in again


def test_a_figure_is_drawn_again_only_if_its_data_changed(program: ModuleType, made: Any, tmp_path: Path) -> None:
    figure = made[0][0].figures["results-talk-mini-lm-6l-cost.svg"]
    path = tmp_path / "figure.svg"
    assert not program.is_drawn(path, figure)
    path.write_text(f"<svg/><!-- {program.stamp(figure)} -->", encoding="utf-8")
    assert program.is_drawn(path, figure)
    figure.data[-1].y = tuple(value + 0.01 for value in figure.data[-1].y)
    assert not program.is_drawn(path, figure)


def test_the_document_is_up_to_date(program: ModuleType) -> None:
    if not program.kept_suites(program.RESULTS):
        pytest.skip("docs/results holds no results yet")
    parts, cases = program.make_parts(program.RESULTS)
    for path, of_readme in ((program.DOCUMENT, False), (program.README, True)):
        document = path.read_text(encoding="utf-8")
        own = [part for part in parts if part.of_readme == of_readme]
        assert program.with_parts(document, own) == document, "`make results` makes it so"
    assert json.loads((program.RESULTS / "probe.json").read_text(encoding="utf-8")) == cases
    for part in parts:
        for name, figure in part.figures.items():
            assert program.is_drawn(program.DOCUMENT.parent / "images" / name, figure), name


def test_files_of_results_are_small_and_hold_no_texts(program: ModuleType) -> None:
    files = [path for path in program.RESULTS.rglob("*") if path.is_file()]
    if not files:
        pytest.skip("docs/results holds no results yet")
    assert [path.name for path in files if path.stat().st_size > 2**20] == []
