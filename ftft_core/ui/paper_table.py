"""The comparison as a table of a paper, in HTML with every word from data escaped.

Owns rounding, marking and the words on hover; the numbers are `comparison`'s.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from ftft_core.comparison import to_records
from ftft_core.comparison.columns import Column, fact_words, reference_words
from ftft_core.comparison.runs import short_model
from ftft_core.comparison.tables import METRIC_TITLES, MISSING, ROLE_TITLES, points_words
from ftft_core.figures import Theme
from ftft_core.metrics import HIGHER_IS_BETTER
from ftft_core.planning import flops_words
from ftft_core.ui.frame import duration_words
from ftft_core.workspace import ComparisonReport
from ftft_core.workspace.report import FEW_SEEDS

ROOMY_COLUMNS = 6
"""Up to this many methods intervals stand in the cells; with more they show on hover."""

TIP_LETTERS = 72
"""Longest line of what shows on hover."""

TIP_COLUMNS = 9
"""Up to this many methods the table never scrolls, so that what shows on hover may stand over its edge."""


def table_css(theme: Theme) -> str:
    """Return the rules of the table beyond those that all pages share."""
    worse = theme.correctness[0]
    return f"""<style>
.stApp, .js-plotly-plot text {{ font-variant-ligatures: no-common-ligatures; }}
.ftft-paper.tips {{ overflow: visible; }}
.ftft-paper td, .ftft-paper th {{ line-height: 1.32; }}
.ftft-paper thead th {{ vertical-align: top; padding-bottom: 0.4rem; }}
.ftft-paper thead .detail, .ftft-paper thead .seeds {{ display: block; font-weight: 400; font-size: 0.82em;
  color: var(--ftft-muted); }}
.ftft-paper thead .seeds.few {{ color: {worse}; font-weight: 600; }}
.ftft-paper tbody .seeds {{ display: block; font-size: 0.82em; color: {worse}; }}
.ftft-paper tr.section td {{ font-weight: 600; color: inherit; padding: 0.75rem 0 0.15rem; font-size: 0.9em; }}
.ftft-paper tr.section .dot {{ display: inline-block; width: 0.62em; height: 0.62em; border-radius: 50%;
  margin-right: 0.5em; }}
.ftft-paper tr.out td:first-child, .ftft-paper tr.in td:first-child {{ padding-left: 1.15em; }}
.ftft-paper .delta, .ftft-paper .score {{ white-space: nowrap; }}
.ftft-paper .delta.worse {{ color: {worse}; font-weight: 600; }}
.ftft-paper .delta.better {{ color: var(--ftft-accent); font-weight: 600; }}
.ftft-paper .delta .interval {{ font-weight: 400; font-size: 0.94em; }}
.ftft-paper.dense th, .ftft-paper.dense td {{ padding-left: 0.3rem; padding-right: 0.3rem; font-size: 0.93em; }}
.ftft-paper .tip {{ position: relative; cursor: default; display: inline-block; }}
.ftft-paper .tip > .tipbox {{ display: none; position: absolute; z-index: 30; right: -0.5rem;
  top: calc(100% + 2px); background: {theme.background}; border: 1px solid var(--ftft-line); border-radius: 4px;
  box-shadow: 0 4px 14px rgba(0, 0, 0, 0.18); padding: 0.5rem 0.7rem; text-align: left; white-space: pre;
  font-weight: 400; font-size: 0.8rem; line-height: 1.45; color: {theme.text}; pointer-events: none; }}
.ftft-paper tr > :nth-child(-n+4) .tip > .tipbox {{ right: auto; left: 0; }}
.ftft-paper .tip:hover > .tipbox, .ftft-paper .tip:focus > .tipbox {{ display: block; }}
.ftft-paper .tip:focus {{ outline: 1px dotted var(--ftft-muted); outline-offset: 2px; }}
</style>"""


def comparison_table(report: ComparisonReport, metric: str, theme: Theme) -> str:
    """Return the table of one metric: methods in columns, splits in rows, cost below.

    A difference is marked where its interval excludes zero after the correction for many comparisons. On hover every
    number says which runs and seeds it comes from.
    """
    cells = _Cells(report, metric)
    body = []
    for role, title in ROLE_TITLES.items():
        splits = [split.name for split in report.compared.splits if split.role == role]
        if not splits or role == "dev":
            continue
        colour = theme.in_distribution if role == "in_distribution" else theme.out_of_distribution
        kind = "in" if role == "in_distribution" else "out"
        body.append(_section(title, cells.width, f'<span class="dot" style="background: {colour}"></span>'))
        body += [_row(split, [cells.split(column, split) for column in report.columns], kind) for split in splits]
        if len(splits) > 1:
            averages = [cells.average(column, role) for column in report.columns]
            body.append(_row("average", averages, f"average {kind}"))
    body.append(_section(_cost_title(report), cells.width))
    body += _cost_rows(report, cells)
    baselines = report.baselines
    head = "".join(f"<th>{_head(column, column.id in baselines, cells)}</th>" for column in report.columns)
    kinds = " dense" * (cells.width > ROOMY_COLUMNS) + " tips" * (cells.width <= TIP_COLUMNS)
    return (
        f'<div class="ftft-paper{kinds}" data-testid="comparison-table"><table>'
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


class _Cells:
    """The cells of one metric's table."""

    def __init__(self, report: ComparisonReport, metric: str) -> None:
        comparison = report.comparison
        self.report, self.metric, self.width = report, metric, len(report.columns)
        self.baselines = report.baseline_ids
        chosen = (comparison.rows["metric"] == metric).to_numpy()
        marks = comparison.marks[chosen]
        self.rows = {
            (column, row["split"]): {**row, "marked": bool(marked)}
            for column, marked, row in zip(
                marks["column"], marks["marked"], to_records(comparison.rows[chosen]), strict=True
            )
        }
        averages = comparison.averages[comparison.averages["metric"] == metric]
        self.averages = {(row["column"], row["role"]): row for row in to_records(averages)}
        self.seeds = comparison.seeds[comparison.seeds["metric"] == metric] if len(comparison.seeds) else None

    def split(self, column: Column, split: str) -> str:
        """Return the cell of a method on a split."""
        row = self.rows.get((column.id, split))
        return self._cell(row, column, split, self._values(column, [split]))

    def average(self, column: Column, role: str) -> str:
        """Return the cell of a method's mean over the splits of a role."""
        row = self.averages.get((column.id, role))
        splits = [split.name for split in self.report.compared.splits if split.role == role]
        values = self._values(column, splits)
        return self._cell(row, column, f"mean of {len(splits)} splits, {ROLE_TITLES[role].lower()}", values)

    def tip(self, shown: str, words: Sequence[str]) -> str:
        """Return something with what it says on hover."""
        said = html.escape("\n".join(words))
        if self.width > TIP_COLUMNS:  # the table may scroll, which would cut a box of our own
            return f'<span class="tip" title="{said}">{shown}</span>'
        return f'<span class="tip" tabindex="0">{shown}<span class="tipbox">{said}</span></span>'

    def against(self, column: Column) -> str:
        """Name the baseline's version that a column is held against, where another column has another one."""
        chosen = self.baselines.get(column.id)
        return "" if chosen is None or self.report.shared_baseline(column.id) else self.report.column(chosen).name

    def _values(self, column: Column, splits: Sequence[str]) -> list[tuple[int, str, float]]:
        """Give seed, name of the run, and score (mean over the splits), of the runs that have them all."""
        if self.seeds is None or not splits:
            return []
        found = self.seeds[(self.seeds["column"] == column.id) & self.seeds["split"].isin(splits)]
        names = self.report.compared.names
        return [
            (int(seed), names.get(str(run_id), str(run_id)), float(of_run["value"].mean()))
            for (seed, run_id), of_run in found.groupby(["seed", "run_id"], sort=True)
            if len(of_run) == len(splits)
        ]

    def _cell(
        self, row: Mapping[str, Any] | None, column: Column, where: str, values: Sequence[tuple[int, str, float]]
    ) -> str:
        title = f"{column.name}, {where}: {METRIC_TITLES.get(self.metric, self.metric).lower()}"
        if row is None or row["mean"] is None:
            why = [run.words for run in column.missing] or ["no run of it has predictions here"]
            return self.tip(MISSING, [title, *why])
        words = [title, *(f"seed {seed}   {100 * value:5.1f}   {name}" for seed, name, value in values)]
        words += [run.words for run in column.missing]
        spread = "" if row["std"] is None else f" <small>± {100 * row['std']:.1f}</small>"
        fewer = row["num_seeds"] < column.num_seeds
        seeds = f'<span class="seeds few">{_seeds(row["num_seeds"])}</span>' * fewer
        shown = f'<span class="score">{100 * row["mean"]:.1f}{spread}</span>{seeds}'
        if row["delta"] is None or row["method"] == self.report.comparison.baseline:
            return self.tip(shown, words)
        interval = f"[{points_words(row['delta_low'])}, {points_words(row['delta_high'])}]"
        against = self.against(column) or self.report.comparison.baseline
        words.append(f"{points_words(row['delta'])} points against {against}, 95 % interval {interval}")
        in_cell = f' <span class="interval">{interval}</span>' if self.width <= ROOMY_COLUMNS else ""
        side = _side(row, self.metric) if row["marked"] else ""
        mark = "*" * bool(side)
        return self.tip(f'{shown}<span class="delta {side}">{points_words(row["delta"])}{mark}{in_cell}</span>', words)


def _head(column: Column, is_baseline: bool, cells: _Cells) -> str:
    """Return the head of a column: name, what tells it apart, and how many seeds."""
    few = column.num_seeds < FEW_SEEDS
    said = _seeds(column.num_seeds)
    if column.missing:
        said = f"{column.num_seeds} of {column.num_wanted} seeds"
    if is_baseline:
        said = f"baseline, {said}"
    elif against := cells.against(column):
        said = f"against {against}; {said}"
    detail_words = _column_words(
        column, [cells.report.compared.names.get(run.run_id, run.run_id) for run in column.runs]
    )
    detail = f'<span class="detail">{html.escape(column.detail)}</span>' if column.detail else ""
    shown = f'{html.escape(column.title)}{detail}<span class="seeds{" few" * few}">{html.escape(said)}</span>'
    return cells.tip(shown, detail_words)


def _seeds(count: int) -> str:
    return f"{count} seed{'s' * (count != 1)}"


def _column_words(column: Column, runs: Sequence[str]) -> list[str]:
    """Say what the runs of a column are, and which."""
    key, facts = column.key, column.facts
    own = {name: value for name, value in facts.items() if value is not None and not name.startswith("reference.")}
    words = [f"{column.name}: {short_model(key.model)}, {key.num_layers} layers"]
    of_data = ["budget", "stop", "precision", "suite_fingerprint"]
    words.append(", ".join(fact_words(name, own[name]) for name in of_data if name in own))
    words.append(", ".join(fact_words(name, value) for name, value in own.items() if name.startswith("training.")))
    if key.fraction < 1:
        chosen = [fact_words(name, value) for name, value in own.items() if name.startswith("subset.")]
        words.append(", ".join([f"{100 * key.fraction:.4g} % of the training examples", *chosen]))
    if key.reference_model is not None:
        other = [
            fact_words(name, value)
            for name, value in facts.items()
            if name.startswith("reference.") and value is not None and value != _same_of_run(facts, name)
        ]
        words.append(", ".join([f"reference {reference_words(key).removeprefix('from ')}", *other]))
    known = {"budget", "stop", "precision", "suite_fingerprint"}
    rest = [name for name in own if name not in known and not name.startswith(("training.", "subset."))]
    words += [fact_words(name, own[name]) for name in rest]
    words += [f"runs {', '.join(runs)}"] if runs else []
    words += [run.words for run in column.missing]
    return [line for word in words if word for line in textwrap.wrap(word, TIP_LETTERS)]


def _same_of_run(facts: Mapping[str, object], name: str) -> object:
    """Give the run's own value of what a fact says of its reference."""
    own = name.removeprefix("reference.")
    return facts.get(own, facts.get(f"training.{own}"))


def _cost_title(report: ComparisonReport) -> str:
    """Say what the rows below hold: amounts, and whose share where there is a run of it."""
    base = report.comparison.cost_base
    has_base = any(method.key.method == base for method in report.comparison.methods)
    share = f" as a share of {base}’s" if has_base else ""
    return f"Cost{share}, the reference’s included"


def _cost_rows(report: ComparisonReport, cells: _Cells) -> list[str]:
    records = to_records(report.costs)
    costs = {method.id: row for method, row in zip(report.comparison.methods, records, strict=True)}
    lines: list[tuple[str, list[str]]] = [("FLOPs", []), ("optimizer steps", []), ("training time", [])]
    for column in report.columns:
        row = costs.get(column.id)
        own = [report.compared.own_flops.get(run.run_id) for run in column.runs]
        for (_, line), unit in zip(lines, ("flops", "optimizer_steps", "seconds"), strict=True):
            if row is None or row[unit] is None:
                why = "some of its runs do not say what they cost" if column.runs else "no run has finished"
                line.append(cells.tip(MISSING, [column.name, why]))
                continue
            words = [f"{column.name}: mean of {_seeds(column.num_seeds)}"]
            if unit == "flops" and own and all(value is not None for value in own):
                of_run = sum(value for value in own if value is not None) / len(own)
                words.append(f"its own runs {_amount('flops', of_run)}")
                words.append(f"reference and selecting {_amount('flops', max(0.0, row[unit] - of_run))}")
            if unit == "seconds":
                words.append("seconds compare only between runs on one machine")
            share = row[f"{unit}_share"]
            amount = _amount(unit, row[unit])
            shown = amount if share is None else f'{100 * share:.0f} %<span class="delta">{amount}</span>'
            line.append(cells.tip(shown, words))
    return [_row(name, line) for name, line in lines]


def _amount(unit: str, value: float) -> str:
    if unit == "flops":
        return flops_words(value)
    return duration_words(value) if unit == "seconds" else f"{value:,.0f}"


def _row(name: str, cells: Sequence[str], kind: str = "") -> str:
    return f'<tr class="{kind}"><td>{html.escape(name)}</td>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _section(title: str, num_methods: int, before: str = "") -> str:
    return f'<tr class="section"><td colspan="{num_methods + 1}">{before}{html.escape(title)}</td></tr>'


def _side(row: Mapping[str, Any], metric: str) -> str:
    return "better" if (row["delta"] > 0) == HIGHER_IS_BETTER[metric] else "worse"


def interval_words(delta: float, low: float, high: float) -> str:
    """Word a difference with its interval, in points: "+1.2 [−0.3, +2.7]"."""
    return f"{points_words(delta)} [{points_words(low)}, {points_words(high)}]"
