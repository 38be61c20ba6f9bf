"""Compare: what did each method reach on each split, and what did it cost?"""

import pandas as pd
import streamlit as st

from ftft_core import ui
from ftft_core.comparison import method_names, pareto_front, to_csv, to_latex, to_markdown
from ftft_core.comparison.tables import METRIC_TITLES
from ftft_core.errors import FTFTError
from ftft_core.figures import robustness_cost_figure

FORMATS = {
    "CSV": ("csv", "text/csv", to_csv),
    "Markdown": ("md", "text/markdown", to_markdown),
    "LaTeX": ("tex", "text/x-tex", to_latex),
}

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
    ui.guard(
        "This suite has no finished run to compare yet.",
        "Fine-tune on all examples (erm, the baseline) and on a subset; both then stand here side by side.",
        page=("pages/fine_tune.py", "Fine-tune"),
    )

methods = list(dict.fromkeys(finished["method"]))
title_column, metric_column, baseline_column = st.columns([3, 1, 1], vertical_alignment="bottom")
metric = metric_column.selectbox(
    "Score", list(METRIC_TITLES), format_func=METRIC_TITLES.get, key="metric", bind="query-params"
)
baseline = baseline_column.selectbox("Baseline", methods, methods.index("erm") if "erm" in methods else 0)
try:
    report = ui.reads.compare(now.suite, baseline=baseline)
except FTFTError as failure:
    ui.show_error(failure)
    st.stop()

title_column.markdown(ui.as_text(report.conclusion))
table_column, chart_column = st.columns([1.7, 1], gap="large")
with table_column:
    st.html(ui.comparison_table(report.comparison, report.costs, metric))
    st.caption(
        f"Percent, mean ± standard deviation over seeds; beneath, the difference to {ui.as_text(baseline)} in points. "
        "\\* marks a difference whose 95 % interval excludes zero, on single splits after Holm's correction."
    )
    with st.container(horizontal=True, gap="small"):
        for name, (ending, mime, write) in FORMATS.items():
            kwargs = {} if write is to_csv else {"baseline": baseline}
            st.download_button(
                f"Export {name}", write(report.rows, **kwargs), f"comparison.{ending}", mime, on_click="ignore"
            )
with chart_column:
    averages = report.comparison.averages
    robust = averages[(averages["role"] == "out_of_distribution") & (averages["metric"] == metric)]
    points = pd.DataFrame(
        {
            "method": method_names(robust) if len(robust) else [],
            "score": robust["mean"].astype(float).to_numpy(),
            "cost_share": robust["cost_share"].astype(float).to_numpy(),
        }
    ).dropna()
    st.html('<div class="ftft-heading">Robustness against cost</div>')
    if points.empty:
        st.markdown(":gray[The chart needs a baseline run, an out-of-distribution split, and the runs' costs.]")
    else:
        score = -points["score"] if metric == "ece" else points["score"]
        points["on_front"] = pareto_front(points["cost_share"], score)
        st.plotly_chart(
            robustness_cost_figure(points, ui.theme(), baseline=baseline, score_name=METRIC_TITLES[metric]),
            config={"displayModeBar": False},
            theme=None,
            key="compare.front",
        )
    for note in report.notes:
        st.markdown(f":gray[{ui.as_text(note)}]")
