"""The charts of the comparison page: robustness against cost, and curves over what was spent so far.

Owns what is drawn and the sentences beside it; how, is `figures`'.
"""

from __future__ import annotations

import html
from typing import Any

import pandas as pd
import streamlit as st

from ftft_core.comparison import pareto_front, to_records
from ftft_core.comparison.columns import Column
from ftft_core.comparison.tables import METRIC_TITLES
from ftft_core.figures.compare_charts import cost_curves_figure, cost_front_figure
from ftft_core.metrics import HIGHER_IS_BETTER
from ftft_core.ui import compare_reads, compare_state
from ftft_core.ui.frame import theme
from ftft_core.workspace import ComparisonReport
from ftft_core.workspace.results import CostCurves

ROLES = {"out_of_distribution": "out of distribution", "in_distribution": "in distribution", "dev": "development set"}


def chart_config(name: str) -> dict[str, Any]:
    """Settings of a chart whose one button saves it as SVG."""
    return {
        "displaylogo": False,
        "displayModeBar": True,
        "modeBarButtons": [["toImage"]],
        "toImageButtonOptions": {"format": "svg", "filename": name},
        "responsive": True,
    }


def front_points(report: ComparisonReport, metric: str) -> pd.DataFrame:
    """Return what the chart of robustness against cost shows: one row a method whose score and cost are known."""
    averages = report.comparison.averages
    robust = averages[(averages["role"] == "out_of_distribution") & (averages["metric"] == metric)]
    by_column = {row["column"]: row for row in to_records(robust)}
    rows = []
    for column in report.columns:
        row = by_column.get(column.column)
        if row is None or row["mean"] is None or row["cost_share"] is None:
            continue
        is_baseline = column.title == report.comparison.baseline
        values = (row["mean"], row["std"], row["cost_share"], is_baseline, row["num_seeds"])
        rows.append((column.name, column.column, *values))
    names = ["name", "column", "score", "std", "cost_share", "is_baseline", "num_seeds"]
    points = pd.DataFrame(rows, columns=names).astype({"std": float, "score": float, "cost_share": float})
    sign = 1 if HIGHER_IS_BETTER[metric] else -1
    return points.assign(on_front=pareto_front(points["cost_share"], sign * points["score"]))


def draw_front(report: ComparisonReport, metric: str, focus: list[str]) -> None:
    """Draw robustness against cost."""
    points = front_points(report, metric)
    st.html('<div class="ftft-heading">Robustness against cost</div>')
    if points.empty:
        st.markdown(":gray[The chart needs a baseline run, an out-of-distribution split, and the runs' costs.]")
        return
    figure = cost_front_figure(
        points,
        theme(),
        score_name=METRIC_TITLES[metric],
        baseline=report.comparison.baseline,
        focus=focus,
        higher_is_better=HIGHER_IS_BETTER[metric],
    )
    st.plotly_chart(figure, config=chart_config("robustness-against-cost"), theme=None, key="compare.front")
    one = points["num_seeds"].eq(1).any()
    st.html(
        '<div class="ftft-quiet">The line is the Pareto front: nothing cheaper is as good. Bars: ± standard deviation '
        f"over seeds{', none where there is one seed' if one else ''}.</div>"
    )


@st.fragment
def draw_curves(report: ComparisonReport, metric: str, focus: list[str]) -> None:
    """Draw scores over what was spent so far, and say when the baseline's best is reached."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.html('<div class="ftft-heading">Learning curves against cost</div>', width="content")
        st.space("stretch")
        problems: list[str] = []
        role = compare_state.asked("curves", ROLES, "out_of_distribution", problems)
        compare_state.pick(
            "Curves of", "curves", ROLES, role, "out_of_distribution", label_visibility="collapsed", width=190
        )
    found = compare_reads.curves(report.suite, report.comparison.baseline, metric, role)
    if found.curves.empty or not found.baseline_cost:
        st.markdown(":gray[Curves need a finished baseline run whose cost is known, and predictions on every split.]")
        return
    drawn = [column for column in report.columns if column.column in set(found.curves["column"])]
    shown = {column.column: column.name for column in _not_too_many(drawn, focus, report.comparison.baseline)}
    reached = dict(zip(found.reach["column"], found.reach["share"], strict=True))
    figure = cost_curves_figure(
        found.curves,
        found.points,
        shown,
        theme(),
        whole=found.baseline_cost,
        baseline=report.comparison.baseline,
        target=float(found.reach["target"].iloc[0]) if len(found.reach) else None,
        reached=reached,
        score_name=METRIC_TITLES[metric],
        where=ROLES[role],
        focus=focus,
        higher_is_better=HIGHER_IS_BETTER[metric],
    )
    st.plotly_chart(figure, config=chart_config("learning-curves-against-cost"), theme=None, key="compare.curves.chart")
    said = reach_words(report, found, drawn, metric, ROLES[role])
    st.html("".join(f'<div class="ftft-quiet">{html.escape(sentence)}</div>' for sentence in said))


MAX_CURVES = 8
NAMED = 4
"""Methods that a sentence names before it counts the others."""


def _not_too_many(drawn: list[Column], focus: list[str], baseline: str) -> list[Column]:
    """Keep at most as many as there are colours: what is looked at and the baseline first."""
    ranked = sorted(drawn, key=lambda column: (column.column not in focus, column.title != baseline))
    kept = {column.column for column in ranked[:MAX_CURVES]}
    return [column for column in drawn if column.column in kept]


def reach_words(report: ComparisonReport, found: CostCurves, drawn: list[Column], metric: str, where: str) -> list[str]:
    """Say at which share of the baseline's cost each method reaches the baseline's best score."""
    if found.reach.empty:
        return []
    baseline = report.comparison.baseline
    by_column = found.reach.set_index("column")
    target = 100 * float(by_column["target"].iloc[0])
    reaching: list[tuple[float, str]] = []
    missing: list[tuple[float, str]] = []
    for column in drawn:
        row = by_column.loc[column.column]
        if pd.notna(row["share"]):
            reaching.append((float(row["share"]), column.name))
        else:
            missing.append((float(row["best"]), column.name))
    said = []
    if reaching:
        each = ", ".join(f"{name} at {100 * share:.0f} %" for share, name in sorted(reaching))
        said.append(
            f"{baseline}’s best {METRIC_TITLES[metric].lower()} {where}, {target:.1f}, is reached by {each} of its "
            "cost."
        )
    if missing:
        nearest = sorted(missing, reverse=HIGHER_IS_BETTER[metric])
        names = ", ".join(f"{name} (at best {100 * best:.1f})" for best, name in nearest[:NAMED])
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        said.append(f"Not reached by {names}{more}.")
    if not found.has_snapshots:
        said.append(
            "No run was looked at before its end, so each is one point; runs trained with --snapshots 8 draw a curve."
        )
    else:
        counts = ", ".join(f"{count} of {split}" for split, count in found.num_examples.items())
        said.append(
            f"Means over seeds at the points that were looked at, on {counts} examples; the table is of all of them."
        )
    return said
