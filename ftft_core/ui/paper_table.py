"""The comparison as a table of a paper, in HTML with every word from data escaped.

Owns rounding and marking for display; the numbers are `comparison`'s.
"""

from __future__ import annotations

import html
from typing import Any

import pandas as pd

from ftft_core.comparison import Comparison, method_names, to_records
from ftft_core.comparison.tables import MISSING, ROLE_TITLES
from ftft_core.ui.frame import duration_words

NUM_KEYS = 6
"""Leading columns of a comparison's rows that name the method."""


def comparison_table(comparison: Comparison, costs: pd.DataFrame, metric: str) -> str:
    """Return the table of one metric: methods in columns, splits in rows, cost below.

    A difference is marked where its interval excludes zero after the correction for many comparisons.
    """
    rows = comparison.rows.reset_index(drop=True)
    names = pd.Series(method_names(rows))
    marked = comparison.marks["marked"].to_numpy(dtype=bool)
    methods = list(dict.fromkeys(names))
    cells = {
        (name, row["split"]): _cell(row, bool(mark), comparison.baseline)
        for name, row, mark in zip(names, to_records(rows), marked, strict=True)
        if row["metric"] == metric
    }
    averages = comparison.averages
    average_names = method_names(averages) if len(averages) else []
    average_cells = {
        (name, row["role"]): _cell(row, _excludes_zero(row) and bool(row.get("has_seed_noise")), comparison.baseline)
        for name, row in zip(average_names, to_records(averages), strict=True)
        if row["metric"] == metric
    }
    body = []
    for role, title in ROLE_TITLES.items():
        splits = list(dict.fromkeys(rows.loc[rows["role"] == role, "split"]))
        if not splits or role == "dev":
            continue
        body.append(_section(title, len(methods)))
        body += [_row(split, [cells.get((name, split), MISSING) for name in methods]) for split in splits]
        if len(splits) > 1:
            body.append(_row("average", [average_cells.get((name, role), MISSING) for name in methods], "average"))
    body.append(_section("Cost, with the reference's", len(methods)))
    body += _cost_rows(rows, names, methods, costs)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("", *methods))
    return f'<div class="ftft-paper"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def _cell(row: dict[str, Any], marked: bool, baseline: str) -> str:
    if row["mean"] is None:
        return MISSING
    spread = "" if row["std"] is None else f" <small>± {100 * row['std']:.1f}</small>"
    source = f"{row['num_seeds']} seed{'s' * (row['num_seeds'] != 1)}"
    if row["delta"] is None or row["method"] == baseline:
        return f'<span title="{source}">{100 * row["mean"]:.1f}{spread}</span>'
    interval = f"95 % interval {_points(row['delta_low'])} to {_points(row['delta_high'])} points, {source}"
    return (
        f'<span title="{interval}">{100 * row["mean"]:.1f}{spread}'
        f'<span class="delta{" marked" * marked}">{_points(row["delta"])}{"*" * marked}</span></span>'
    )


def _cost_rows(rows: pd.DataFrame, names: pd.Series, methods: list[str], costs: pd.DataFrame) -> list[str]:
    shares = {name: row["cost_share"] for name, row in zip(names, to_records(rows), strict=True)}
    lines = [_row("FLOPs, of the baseline's", [_share(shares[name]) for name in methods])]
    if len(costs) == len(methods):  # the same methods in the same order: one row of costs a method
        records = to_records(costs)
        lines.append(_row("training time", [duration_words(row["seconds"]) or MISSING for row in records]))
        lines.append(_row("optimizer steps", [_whole(row["optimizer_steps"]) for row in records]))
        lines.append(_row("seeds", [_whole(row["num_seeds"]) for row in records]))
    return lines


def _row(name: str, cells: list[str], kind: str = "") -> str:
    return f'<tr class="{kind}"><td>{html.escape(name)}</td>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _section(title: str, num_methods: int) -> str:
    return f'<tr class="section"><td colspan="{num_methods + 1}">{html.escape(title)}</td></tr>'


def _excludes_zero(row: dict[str, Any]) -> bool:
    low, high = row["delta_low"], row["delta_high"]
    return low is not None and high is not None and not low <= 0 <= high


def _points(difference: float | None) -> str:
    if difference is None:
        return MISSING
    text = f"{100 * difference:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def _share(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:.0f} %"


def _whole(number: float | None) -> str:
    return MISSING if number is None else f"{number:,.0f}"
