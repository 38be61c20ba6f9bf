"""The charts of the comparison page: robustness against cost, and curves over what was spent so far.

Owns what is drawn and the sentences beside it; how, is `figures`'.
"""

from __future__ import annotations

import html
from typing import Any

import pandas as pd
import streamlit as st

from ftft_core.comparison.columns import Column
from ftft_core.comparison.runs import short_model
from ftft_core.comparison.tables import METRIC_TITLES
from ftft_core.figures.compare_charts import cost_curves_figure, cost_front_figure
from ftft_core.metrics import HIGHER_IS_BETTER
from ftft_core.ui import compare_reads, compare_state
from ftft_core.ui.frame import theme
from ftft_core.workspace import ComparisonReport
from ftft_core.workspace.charted import ROLES, front_points, reach_words


def chart_config(name: str) -> dict[str, Any]:
    """Settings of a chart whose one button saves it as SVG."""
    return {
        "displaylogo": False,
        "displayModeBar": True,
        "modeBarButtons": [["toImage"]],
        "toImageButtonOptions": {"format": "svg", "filename": name},
        "responsive": True,
    }


def draw_front(report: ComparisonReport, metric: str, focus: list[str]) -> None:
    """Draw robustness against cost."""
    points = front_points(report, metric)
    st.html('<div class="ftft-heading">Robustness against cost</div>')
    if points.empty:
        st.markdown(":gray[The chart needs an erm or baseline run, an out-of-distribution split, and the runs' costs.]")
        return
    figure = cost_front_figure(
        points,
        theme(),
        score_name=METRIC_TITLES[metric],
        baseline=report.comparison.cost_base,
        focus=focus,
        higher_is_better=HIGHER_IS_BETTER[metric],
    )
    st.plotly_chart(figure, config=chart_config("robustness-against-cost"), theme=None, key="compare.front")
    bars = ", none where there is one seed" if points["num_seeds"].eq(1).any() else ""
    st.html(
        '<div class="ftft-quiet">The line is the Pareto front: nothing cheaper is as good'
        f"{_which_front(report, points)}. Bars: ± standard deviation over seeds{bars}.</div>"
    )


def _which_front(report: ComparisonReport, points: pd.DataFrame) -> str:
    words = ", each main model with its own" if points["main_model"].nunique() > 1 else ""
    some = points["column"].isin([*report.comparison.unlearnt]).any()
    return words + (", of the methods that have learnt the task" if some else "")


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
    compare_state.tell(problems)
    key = report.column(focus[0]).key
    mains = {(column.key.model, column.key.num_layers) for column in report.columns}
    report = report.of_main_model(key.model, key.num_layers)
    found = compare_reads.curves(report.suite, report.comparison.baseline, metric, role, (key.model, key.num_layers))
    if found.curves.empty or not found.baseline_cost:
        st.markdown(":gray[Curves need a finished baseline run whose cost is known, and predictions on every split.]")
        return
    drawn = [column for column in report.columns if column.id in set(found.curves["column"])]
    shown = {column.id: column.name for column in _not_too_many(drawn, focus, report.comparison.baseline)}
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
    if len(mains) > 1:
        said.append(
            f"Curves of {short_model(key.model)}, {key.num_layers} layers: costs are shares of its own plain "
            "fine-tuning. Pin a method of another main model below to see its curves."
        )
    if len(shown) < len(drawn):
        said.append(f"Drawn are {len(shown)} of {len(drawn)}: the baseline, those pinned below, and the first others.")
    st.html("".join(f'<div class="ftft-quiet">{html.escape(sentence)}</div>' for sentence in said))


MAX_CURVES = 8


def _not_too_many(drawn: list[Column], focus: list[str], baseline: str) -> list[Column]:
    """Keep at most as many as there are colours: what is looked at and the baseline first."""
    ranked = sorted(drawn, key=lambda column: (column.id not in focus, column.title != baseline))
    kept = {column.id for column in ranked[:MAX_CURVES]}
    return [column for column in drawn if column.id in kept]
