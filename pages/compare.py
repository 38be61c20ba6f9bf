"""Compare: what did each method reach on each split, over how many seeds, and what did it cost?"""

import html

import streamlit as st

from ftft_core import ui
from ftft_core.comparison.tables import METRIC_TITLES
from ftft_core.errors import FTFTError
from ftft_core.ui import compare_reads, compare_state
from ftft_core.ui.compare_charts import draw_curves, draw_front
from ftft_core.ui.compare_examples import EXAMPLES_CSS
from ftft_core.ui.compare_export import draw_export
from ftft_core.ui.compare_notes import draw_notes, no_erm_markup, seeds_markup, table_caption
from ftft_core.ui.compare_pair import draw_pair, read_pins
from ftft_core.ui.paper_table import comparison_table, table_css

BESIDE_COLUMNS = 5  # up to this many methods the charts stand beside the table

now = ui.chosen()
if now.suite is None:
    ui.guard(
        "A comparison puts methods in columns and test splits in rows.",
        "It needs a suite with finished runs. The demo makes them on a small sample.",
        command="ftft demo",
    )
runs = ui.reads.runs(now.suite)
finished = runs[(runs["status"] == "finished") & (runs["method"] != "reference")]
if finished.empty:
    ended = runs[runs["status"].isin(["failed", "lost", "cancelled"]) & (runs["method"] != "reference")]
    ui.guard(
        f"This suite has no finished run to compare yet{f'; {len(ended)} ended early' if len(ended) else ''}.",
        "Fine-tune on all examples (erm, the baseline) and on a subset, or let an experiment run several methods with "
        "several seeds; they then stand here side by side.",
        page=("pages/fine_tune.py", "Fine-tune"),
        experiment=True,
    )

compare_state.forget_other_suite(now.suite)
problems: list[str] = []
methods = {method: method for method in dict.fromkeys(finished["method"])}
usual = "erm" if "erm" in methods else next(iter(methods))
metric = compare_state.asked("metric", METRIC_TITLES, "accuracy", problems)
baseline = compare_state.asked("baseline", methods, usual, problems)
try:
    report = compare_reads.report(now.suite, baseline)
except FTFTError as failure:
    ui.show_error(failure)
    st.stop()
first, second = read_pins(report, problems)

st.html(table_css(ui.theme()) + EXAMPLES_CSS)
compare_state.tell(problems)
words_column, metric_column, baseline_column = st.columns([4.2, 1.25, 1], vertical_alignment="top")
with metric_column:
    compare_state.pick("Score", "metric", METRIC_TITLES, metric, "accuracy")
with baseline_column:
    compare_state.pick("Baseline", "baseline", methods, baseline, usual)
said = "<br>".join(map(html.escape, report.conclusions(first, metric)))
words_column.html(f'<div class="ftft-summary">{said}</div>{no_erm_markup(report)}{seeds_markup(report)}')

beside = len(report.columns) <= BESIDE_COLUMNS
table_column, chart_column = st.columns([1.72, 1], gap="large") if beside else (st.container(), st.container())
with table_column:
    st.html(comparison_table(report, metric, ui.theme()))
    st.html(table_caption(report, metric))
    draw_export(report, metric)
    if beside:
        draw_notes(report)
with chart_column:
    front_column, curves_column = (st.container(), st.container()) if beside else st.columns(2, gap="large")
    with front_column:
        draw_front(report, metric, [first, second])
    with curves_column:
        draw_curves(report, metric, [first, second])
if not beside:
    draw_notes(report)
st.divider()
draw_pair(report, first, second, metric)
ui.write_address()
