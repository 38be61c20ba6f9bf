"""Two pinned methods, point by point: who wins where, what is confused, how sure they are, which examples differ.

Owns the section of the page and its words; the numbers are `comparison.pairs`'.
"""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from ftft_core.comparison.pairs import Pair, Side, mcnemar
from ftft_core.comparison.tables import METRIC_TITLES, ROLE_TITLES
from ftft_core.errors import FTFTError
from ftft_core.figures import Theme
from ftft_core.figures.pair_charts import confusion_figure, groups_figure, reliability_figure
from ftft_core.figures.themes import side_colours
from ftft_core.ui import compare_reads, compare_state
from ftft_core.ui.compare_charts import chart_config
from ftft_core.ui.compare_examples import draw_examples
from ftft_core.ui.frame import show_error, theme
from ftft_core.ui.paper_table import interval_words
from ftft_core.workspace import ComparisonReport

GROUP_ORDERS = {"delta": "by difference", "name": "by name", "size": "largest group first"}
MAX_GROUPS = 60
"""Groups that one chart shows; of more, those that differ most."""


def default_pins(report: ComparisonReport) -> tuple[str, str]:
    """Return the methods to look at first: ftft, or what is not the baseline, against the baseline."""
    usable = [column for column in report.columns if column.runs]
    baseline = next((column for column in usable if column.title == report.comparison.baseline), usable[0])
    others = [column for column in usable if column.title != report.comparison.baseline]
    others = others or [column for column in usable if column.id != baseline.id] or [baseline]
    first = next((column for column in report.versions("ftft") if column in others), others[0])
    return first.id, baseline.id


def read_pins(report: ComparisonReport, problems: list[str]) -> tuple[str, str]:
    """Return the two pinned columns that the address names."""
    names = {column.id: column.name for column in report.columns if column.runs}
    first, second = default_pins(report)
    return (
        compare_state.asked("first", names, first, problems),
        compare_state.asked("second", names, second, problems),
    )


def draw_pair(report: ComparisonReport, first: str, second: str, metric: str) -> None:
    """Draw the two pinned methods on one split."""
    names = {column.id: column.name for column in report.columns if column.runs}
    splits = {split.name: f"{split.name} ({ROLE_TITLES[split.role].lower()})" for split in report.compared.splits}
    if not splits:
        return
    out = [split.name for split in report.compared.splits if split.role == "out_of_distribution"]
    problems: list[str] = []
    split = compare_state.asked("split", splits, out[0] if out else next(iter(splits)), problems)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="compare.pins"):
        st.html('<div class="ftft-heading ftft-part">Point by point</div>', width="content")
        st.space("stretch")
        usual = default_pins(report)
        collapsed: dict[str, Any] = {"label_visibility": "collapsed", "width": 230}
        compare_state.pick("First method", "first", names, first, usual[0], **collapsed)
        st.html('<span class="ftft-quiet">against</span>', width="content")
        compare_state.pick("Second method", "second", names, second, usual[1], **collapsed)
        st.html('<span class="ftft-quiet">on</span>', width="content")
        default = out[0] if out else next(iter(splits))
        compare_state.pick("Split", "split", splits, split, default, **collapsed)
    compare_state.tell(problems)
    if len(names) == 1:
        st.markdown(":gray[There is one method; fine-tune with another to see where the two differ.]")
        st.page_link("pages/fine_tune.py", label="Fine-tune", icon=":material/arrow_forward:")
        return
    if first == second:
        st.markdown(":gray[Both are the same method; pin another one to see where the two differ.]")
        return
    try:
        pair = compare_reads.pair(report.suite, report.comparison.baseline, first, second, split)
    except FTFTError as failure:
        show_error(failure)
        return
    short = _short_names(report, first, second)
    st.html(summary_markup(pair, names[first], names[second], metric, theme()))
    _draw_matrices(pair, short, theme())
    if len(pair.groups):
        _draw_groups(pair, names[first], names[second], metric)
    draw_examples(report, pair, short)


def _short_names(report: ComparisonReport, first: str, second: str) -> tuple[str, str]:
    """Return the methods' bare names where these tell the two apart."""
    a, b = report.column(first), report.column(second)
    return (a.title, b.title) if a.title != b.title else (a.name, b.name)


def summary_markup(pair: Pair, first: str, second: str, metric: str, colours: Theme) -> str:
    """Return the sentence that says who is ahead, by how much, and by how many examples."""
    found = pair.differences[metric]
    a, b = side_colours(colours)
    ahead = f"{interval_words(found.delta, found.low, found.high)} points"
    counts = pair.counts()
    won, lost = counts["won"], counts["lost"]
    p_value = mcnemar(won, lost)
    seeds = "" if found.has_seed_noise else " (the noise of a lone seed is not in it)"
    many = max(len(pair.first.seeds), len(pair.second.seeds)) > 1
    by_seeds = " in most seeds" if many else ""
    words = (
        f"Of {len(pair.gold):,} examples only {_tinted(first, a)} is right{by_seeds} on <b>{won:,}</b>, only "
        f"{_tinted(second, b)} on <b>{lost:,}</b>: McNemar’s exact p {_p_words(p_value)}"
        f"{', the seeds taken as they are' if many else ''}. "
        f"Difference in {html.escape(METRIC_TITLES[metric].lower())}: <b>{html.escape(ahead)}</b>{seeds}."
    )
    notes = "".join(f'<div class="ftft-quiet">{html.escape(note)}</div>' for note in pair.notes)
    return f'<div class="ftft-summary" data-testid="pair-summary">{words}</div>{notes}'


def _draw_matrices(pair: Pair, names: tuple[str, str], colours: Theme) -> None:
    columns = st.columns([1, 1, 1.15], gap="medium")
    height = 232 if len(pair.labels) <= 4 else min(480, 120 + 28 * len(pair.labels))
    for place, (column, name, side) in enumerate(zip(columns, names, (pair.first, pair.second), strict=False)):
        with column:
            tint = side_colours(colours)[place]
            st.html(
                f'<div class="ftft-sub">{_tinted(name, tint)} <span class="ftft-quiet">confuses: gold in rows, '
                f"{_mean_words(side)}</span></div>"
            )
            st.plotly_chart(
                confusion_figure(side.confusion, pair.labels, colours, height=height),
                config=chart_config(f"confusion-{place + 1}"), theme=None, key=f"compare.confusion.{place}",
            )  # fmt: skip
    with columns[2]:
        errors = " ".join(
            f"{_tinted(name, tint)} <b>{100 * side.scores['ece'].mean():.1f}</b>{_spread(side.scores['ece'])}"
            for name, side, tint in zip(names, (pair.first, pair.second), side_colours(colours), strict=True)
        )
        st.html(f'<div class="ftft-sub"><span class="ftft-quiet">Calibration error</span> {errors}</div>')
        bins = {name: side.calibration for name, side in zip(names, (pair.first, pair.second), strict=True)}
        st.plotly_chart(
            reliability_figure(bins, colours, height=height),
            config=chart_config("reliability"), theme=None, key="compare.reliability",
        )  # fmt: skip


@st.fragment
def _draw_groups(pair: Pair, first: str, second: str, metric: str) -> None:
    groups = pair.groups[pair.groups["metric"] == metric]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.html(f'<div class="ftft-heading">{len(groups)} groups of {html.escape(pair.split)}</div>', width="content")
        st.html(f'<span class="ftft-quiet">{html.escape(groups_words(groups, first, second))}</span>', width="content")
        st.space("stretch")
        order = str(
            st.selectbox("Order of groups", list(GROUP_ORDERS), format_func=lambda name: GROUP_ORDERS[name],
                         key="compare.groups.order", label_visibility="collapsed", width=210)
        )  # fmt: skip
    drawn = ordered_groups(most_different(groups), order)
    if len(drawn) < len(groups):
        st.html(f'<div class="ftft-quiet">Drawn are the {len(drawn)} that differ most.</div>')
    st.plotly_chart(
        groups_figure(drawn, theme()),
        config=chart_config("groups"), theme=None, key="compare.groups.chart",
    )  # fmt: skip


def most_different(groups: pd.DataFrame) -> pd.DataFrame:
    """Return the groups that one chart can show: those with the largest differences to either side."""
    largest = groups["delta"].abs().sort_values(ascending=False, kind="stable").index[:MAX_GROUPS]
    return groups[groups.index.isin(largest)]


def ordered_groups(groups: pd.DataFrame, order: str) -> pd.DataFrame:
    """Return the groups from top to bottom."""
    if order == "delta":
        return groups.sort_values("delta", ascending=False, kind="stable")
    if order == "size":
        return groups.sort_values("num_examples", ascending=False, kind="stable")
    return groups


def groups_words(groups: pd.DataFrame, first: str, second: str) -> str:
    """Say in how many groups which is ahead, and how many of these differences hold after Holm's correction."""
    ahead, behind = int((groups["delta"] > 0).sum()), int((groups["delta"] < 0).sum())
    marked = int(groups["marked"].sum())
    held = "none of it holds" if not marked else f"{marked} of these differences hold{'s' * (marked == 1)}"
    return f"{first} is ahead in {ahead}, {second} in {behind}; {held} after Holm’s correction (filled points)."


def _tinted(name: str, colour: str) -> str:
    return f'<b style="color: {colour}">{html.escape(name)}</b>'


def _mean_words(side: Side) -> str:
    return f"mean of {len(side.seeds)} seeds" if len(side.seeds) > 1 else "1 seed"


def _spread(values: np.ndarray) -> str:
    return "" if len(values) < 2 else f' <small class="ftft-quiet">± {100 * values.std(ddof=1):.1f}</small>'


def _p_words(p_value: float) -> str:
    return "&lt; 0.001" if p_value < 0.001 else f"= {p_value:.3f}" if p_value < 0.1 else f"= {p_value:.2f}"
