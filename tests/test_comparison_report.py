"""What a report says of its columns: the baseline of each, uneven times, and notes in what is exported."""

from dataclasses import replace

from ftft_core.comparison.tables import escape_latex
from ftft_core.figures import LIGHT
from ftft_core.ui.compare_pair import default_pins
from ftft_core.ui.paper_table import comparison_table
from tests.compare_workspace import SUITE, Made, make_compare_workspace


def test_where_the_baseline_has_versions_each_column_says_which_it_is_held_against(tmp_path):
    slow = {"learning_rate": 2e-5}
    made = (
        Made("random", 0.95, 20, (0, 1), "random-{seed}"),
        Made("random", 0.9, 20, (0, 1), "random-{seed}", training=slow, suffix="-slow"),
        Made("erm", 1.1, 60, (0, 1)),
        Made("focal", 1.2, 20, (0, 1), "random-{seed}", training=slow, suffix="-slow"),
    )
    report = make_compare_workspace(tmp_path, made).compare(SUITE, baseline="random")
    quick, other = (column for column in report.columns if column.title == "random")
    assert report.baseline_ids == {report.column("erm").id: quick.id, report.column("focal").id: other.id}
    head = comparison_table(report, "accuracy", LIGHT).partition("<tbody>")[0]
    assert f"against {quick.name}; 2 seeds" in head
    assert f"against {other.name}; 2 seeds" in head
    assert default_pins(report)[0] == report.column("erm").id  # not the other version of the baseline
    alone = make_compare_workspace(tmp_path / "alone", made[::2]).compare(SUITE, baseline="random")
    assert "against" not in comparison_table(alone, "accuracy", LIGHT).partition("<tbody>")[0]


def test_uneven_training_times_are_told(tmp_path):
    workspace = make_compare_workspace(tmp_path, (Made("erm", 1.4, 60, (0, 1)),))
    report = workspace.compare(SUITE)
    assert not [note for note in report.notes if note.startswith("Training times")]
    (column,) = report.columns
    first, second = column.runs
    runs = (replace(first, train_seconds=60.0), replace(second, train_seconds=150.0))
    (note,) = [
        each
        for each in replace(report, columns=(replace(column, runs=runs),)).notes
        if each.startswith("Training times")
    ]
    assert "erm (60 seconds to 2.5 minutes)" in note


def test_files_that_are_exported_hold_what_narrows_their_numbers(tmp_path):
    report = make_compare_workspace(tmp_path).compare(SUITE)
    (note, *_) = report.notes
    assert report.as_markdown_file(["accuracy"]).endswith("".join(f"- {each}\n" for each in report.notes))
    assert f"Notes: {escape_latex(note)}" in report.as_latex_file()
