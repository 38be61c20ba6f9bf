"""A comparison as people print it: Markdown, LaTeX, CSV, and one sentence.

Owns wording and rounding for display. Takes the rows of a `Comparison` (a frame or records) and computes no score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd

from ftft_core.comparison.baselines import cost_base
from ftft_core.comparison.columns import make_columns
from ftft_core.comparison.compare import ROW_COLUMNS, Comparison, to_records
from ftft_core.errors import InputError, one_of, unknown
from ftft_core.metrics import HIGHER_IS_BETTER

Rows: TypeAlias = pd.DataFrame | Sequence[Mapping[str, Any]]
"""Rows of a comparison: `Comparison.rows`, or `Comparison.records()`."""

METRIC_TITLES = {"accuracy": "Accuracy", "macro_f1": "Macro-F1", "ece": "Expected calibration error"}
ROLE_TITLES = {
    "dev": "Development",
    "in_distribution": "In distribution",
    "out_of_distribution": "Out of distribution",
}
"""In the order in which they stand in a table."""

MISSING = "–"
_LATEX = {
    "\\": r"\textbackslash{}",
    **{character: "\\" + character for character in "&%$#_{}"},
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}"},
    **{"±": r"$\pm$", "–": "--", "−": "$-$"},
}


@dataclass(frozen=True)
class _Table:
    """One metric's table, as text: sections of splits, then costs."""

    title: str
    methods: list[str]
    sections: list[tuple[str, list[tuple[str, list[str]]]]]


def to_markdown(
    rows: Rows,
    *,
    metrics: Sequence[str] | None = None,
    baseline: str = "erm",
    names: Sequence[str] | None = None,
    marks: Sequence[bool] | None = None,
    cost_of: str | None = None,
) -> str:
    """Tables as Markdown, one per metric: methods in columns, splits in rows, seeds and cost share below.

    A cell is mean ± standard deviation over seeds in percent, then the difference to the baseline with its 95 %
    interval in points. A method in several versions is told apart by what differs (model, reference, fraction).

    :param metrics: which, in which order; all that the rows hold when left out.
    :param names: name of the method of each row, where more is known of what differs than rows say.
    :param marks: whether the difference of each row stands out; it then has an asterisk.
    :param cost_of: the method that cost shares are of; `cost_base` of the rows when left out.
    :raises InputError: for no rows, or a metric that the rows lack.
    """
    blocks = []
    for table in _tables(rows, metrics, baseline, names, marks, cost_of):
        width = len(table.methods)
        lines = [f"### {_escape_markdown(table.title)}", ""]
        lines.append(_markdown_row(["Split", *map(_escape_markdown, table.methods)]))
        lines.append("|---|" + "---:|" * width)
        for section, entries in table.sections:
            lines.append(_markdown_row([f"**{section}**", *[""] * width]))
            lines += [_markdown_row([_escape_markdown(name), *cells]) for name, cells in entries]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def to_latex(
    rows: Rows,
    *,
    metrics: Sequence[str] | None = None,
    baseline: str = "erm",
    names: Sequence[str] | None = None,
    marks: Sequence[bool] | None = None,
    cost_of: str | None = None,
) -> str:
    r"""Tables as LaTeX, the same as `to_markdown`'s; needs `\usepackage{booktabs}`. Names are escaped."""
    blocks = []
    for table in _tables(rows, metrics, baseline, names, marks, cost_of):
        width = len(table.methods)
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{escape_latex(table.title)}}}"]
        lines += [rf"\begin{{tabular}}{{l{'r' * width}}}", r"\toprule", _latex_row(["Split", *table.methods])]
        for section, entries in table.sections:
            lines += [r"\midrule", rf"\multicolumn{{{width + 1}}}{{l}}{{\textit{{{escape_latex(section)}}}}} \\"]
            lines += [_latex_row([name, *cells]) for name, cells in entries]
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def conclude(
    comparison: Comparison, *, method: str | None = None, metric: str = "accuracy", column: str | None = None
) -> str:
    """Say what a method reached against the baseline, out of distribution if there is such a split, and then what it
    gained or lost in distribution.

    Of several versions of the method the one with most seeds speaks, then the best on dev: a choice by test scores
    would make it look better than it is. What the interval leaves out is said.

    :param method: ftft when left out; without runs of it, what else there is beside the baseline.
    :param column: one version of a method alone, see `runs.column_id`.
    :raises InputError: for a metric that the comparison lacks.
    """
    averages = comparison.averages
    if not averages.empty and metric not in set(averages["metric"]):
        raise InputError(unknown("metric in this comparison", metric, averages["metric"].unique()))
    if column is not None:
        averages = averages[averages["column"] == column]
        method = next(iter(averages["method"]), method)
    method = method or _spoken_of(list(averages["method"]), comparison.baseline)
    roles = [role for role in reversed(ROLE_TITLES) if role in set(averages["role"])]
    if not roles:
        return "There is nothing to conclude: no run was compared on any split."
    chosen = averages[(averages["role"] == roles[0]) & (averages["metric"] == metric)]
    where = f"on average {ROLE_TITLES[roles[0]].lower()}" if roles[0] != "dev" else "on the development set"
    records = [row for row in to_records(chosen) if row["method"] == method and row["mean"] is not None]
    if not records:
        have = one_of(chosen["method"].unique())
        return (
            f"There is nothing to conclude about {method}: no run of it has all predictions {where} (runs of: {have})."
        )
    best = version_to_speak_of(records, comparison.averages)
    names = {each.id: each.name for each in make_columns(comparison.methods)}
    name = names.get(best["column"], method)
    words = f"{name} reaches {100 * best['mean']:.1f} {METRIC_TITLES[metric].lower()} {where}"
    if method == comparison.baseline:
        return f"{words} ({_seeds(best['num_seeds'])}); it is the baseline."
    if best["delta"] is None:
        return f"{words} ({_seeds(best['num_seeds'])}); there is no {comparison.baseline} run to compare it with."
    share = best["cost_share"]
    cost = "at unknown cost" if share is None else f"at {share:.2f} of {comparison.cost_base}'s cost in FLOPs"
    low, high = best["delta_low"], best["delta_high"]
    seeds = _seeds(best["num_seeds"]) + ("" if best["has_seed_noise"] else "; the noise of a lone seed is not in it")
    return (
        f"{words} {cost} ({comparison.baseline} {100 * (best['mean'] - best['delta']):.1f}; 95 % interval of the "
        f"difference {points_words(low)} to {points_words(high)} points, {seeds})."
        + _reading(
            low,
            high,
            metric,
            is_corrected_away=best.get("p_holm") is not None and not best["marked"],
            has_seed_noise=bool(best["has_seed_noise"]),
        )
        + _said_in_distribution(comparison, best, roles[0], metric)
        + _said_of_learning(comparison, str(best.get("column")))
    )


def version_to_speak_of(rows: Sequence[Mapping[str, Any]], averages: pd.DataFrame) -> Mapping[str, Any]:
    """Of rows of one metric, one for each version of a method, that with most seeds, then the best on dev, then the
    cheapest.

    :param averages: of the comparison, where the scores on dev are.
    """
    metric = rows[0]["metric"]
    of_dev = averages[(averages["role"] == "dev") & (averages["metric"] == metric)]
    dev = dict(zip(of_dev["column"], of_dev["mean"] * (1 if HIGHER_IS_BETTER[metric] else -1), strict=True))

    def rank(row: Mapping[str, Any]) -> tuple[float, ...]:
        score = dev.get(row["column"], math.nan)
        cost = row["cost_share"]
        return (
            -row["num_seeds"],
            math.inf if math.isnan(score) else -score,
            math.inf if cost is None else cost,
        )

    return min(rows, key=rank)


def _said_in_distribution(comparison: Comparison, best: Mapping[str, Any], role: str, metric: str) -> str:
    """Say what the same version came to in distribution, beside its robustness; nothing where that is not known."""
    averages = comparison.averages
    own = (averages["role"] == "in_distribution") & (averages["metric"] == metric)
    rows = [row for row in to_records(averages[own]) if row["column"] == best["column"] and row["delta"] is not None]
    if role != "out_of_distribution" or not rows:
        return ""
    row = rows[0]
    delta, low, high = (points_words(row[name]) for name in ("delta", "delta_low", "delta_high"))
    return (
        f" In distribution it is {100 * row['mean']:.1f} against {100 * (row['mean'] - row['delta']):.1f} "
        f"({delta}, interval {low} to {high})."
    )


def _said_of_learning(comparison: Comparison, column: str) -> str:
    """Say where a version has not learnt the task, in the mean or with some seeds; nothing where it has."""
    said = comparison.unlearnt.get(column) or comparison.partly_unlearnt.get(column)
    return f" {said}" if said else ""


def _spoken_of(methods: Sequence[str], baseline: str) -> str:
    """Choose the method that a conclusion is about."""
    if "ftft" in methods or not methods:
        return "ftft"
    return next((method for method in methods if method != baseline), baseline)


def method_names(rows: Rows) -> list[str]:
    """Name of the method of each row: short, and different for what differs (model, reference, fraction, budget).

    Rows that share all key columns but were kept apart (other budget or data) are numbered in their order.
    """
    records = to_records(_records_frame(rows))
    keys = [_key(row) for row in records]
    titles: dict[tuple[Any, ...], str] = {}
    for key in dict.fromkeys(keys):
        namesakes = [other for other in dict.fromkeys(keys) if other[0] == key[0]]
        models = {(other[1], other[2]) for other in dict.fromkeys(keys)}
        parts = [f"{key[1]}, {key[2]} layers"] if len(models) > 1 else []
        if len({(other[3], other[4]) for other in namesakes}) > 1:
            layers = f", {key[4]} layers" if key[4] is not None else ""
            parts.append(f"from {key[3]}{layers}" if key[3] is not None else "no reference")
        if len({other[5] for other in namesakes}) > 1:
            parts.append(f"{100 * key[5]:.4g} %")
        titles[key] = f"{key[0]} ({'; '.join(parts)})" if parts else str(key[0])
    seen: dict[tuple[Any, ...], int] = {}
    names = []
    for row, key in zip(records, keys, strict=True):
        where = (*key, row["split"], row["role"], row["metric"])
        seen[where] = seen.get(where, 0) + 1
        names.append(titles[key] + (f" #{seen[where]}" if seen[where] > 1 else ""))
    return names


def escape_latex(text: str) -> str:
    """Write text so that LaTeX prints it as it stands."""
    return "".join(_LATEX.get(character, character) for character in text)


def _tables(
    rows: Rows,
    metrics: Sequence[str] | None,
    baseline: str,
    given_names: Sequence[str] | None,
    marks: Sequence[bool] | None,
    cost_of: str | None,
) -> list[_Table]:
    frame = _records_frame(rows)
    if frame.empty:
        raise InputError("There are no rows to print; compare at least one finished run first.")
    held = list(dict.fromkeys(frame["metric"]))
    strangers = [metric for metric in metrics or [] if metric not in held]
    if strangers:
        raise InputError("The table cannot be made.", [unknown("metric in these rows", m, held) for m in strangers])
    names = list(given_names or method_names(frame))
    marked = [False] * len(frame) if marks is None else list(marks)
    # Averages of several roles share a name, so the role is part of the place.
    cells = {
        (name, row["role"], row["split"], row["metric"]): {**row, "marked": mark}
        for name, mark, row in zip(names, marked, to_records(frame), strict=True)
    }
    methods = list(dict.fromkeys(names))
    tables = []
    for metric in metrics or held:
        sections = []
        for role, title in ROLE_TITLES.items():
            splits = list(dict.fromkeys(frame.loc[frame["role"] == role, "split"]))
            entries = [(s, [_cell(cells.get((name, role, s, metric)), baseline) for name in methods]) for s in splits]
            sections += [(title, entries)] if entries else []
        own = {name: [row for (n, *_, m), row in cells.items() if n == name and m == metric] for name in methods}
        sections.append(("Runs", [("seeds", [_seed_counts(own[name]) for name in methods])]))
        shares = [_share(next(row for (n, *_), row in cells.items() if n == name)) for name in methods]
        sections.append(("Cost", [(f"FLOPs, share of {cost_of or cost_base(frame['method'], baseline)}", shares)]))
        arrow = "higher" if HIGHER_IS_BETTER.get(metric, True) else "lower"
        title = f"{METRIC_TITLES.get(metric, metric)} in percent, {arrow} is better"
        title += f"; difference to {baseline} with its 95 % interval, in points"
        if any(row["marked"] for rows_of_method in own.values() for row in rows_of_method):
            title += "; * where it excludes 0 after Holm's correction, for single splits and for averages"
        tables.append(_Table(title, methods, sections))
    return tables


def _cell(row: Mapping[str, Any] | None, baseline: str) -> str:
    if row is None or row["mean"] is None:
        return MISSING
    text = f"{100 * row['mean']:.1f}"
    if row["std"] is not None:
        text += f" ± {100 * row['std']:.1f}"
    if row["delta"] is None or row["method"] == baseline:
        return text
    return f"{text} ({difference_words(row)}){'*' if row['marked'] else ''}"


def difference_words(row: Mapping[str, Any]) -> str:
    """Write the difference of a row that has one, with its interval, in points: "−3.6 [−8.0, +0.9]"."""
    return f"{points_words(row['delta'])} [{points_words(row['delta_low'])}, {points_words(row['delta_high'])}]"


def _seed_counts(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say over how many seeds a method's means are; two numbers where some split lacks seeds."""
    counts = {row["num_seeds"] for row in rows} or {0}
    return str(max(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def _share(row: Mapping[str, Any]) -> str:
    return MISSING if row["cost_share"] is None else f"{row['cost_share']:.2f}"


def points_words(difference: float) -> str:
    """Write a difference in points, with its sign: "−3.6", "+0.9", "0.0"."""
    text = f"{100 * difference:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def _seeds(num_seeds: int) -> str:
    return f"{num_seeds} seed{'s' * (num_seeds != 1)}"


def _reading(low: float, high: float, metric: str, *, is_corrected_away: bool, has_seed_noise: bool) -> str:
    """Read an interval in words: no difference shown is not the same as equality.

    :param is_corrected_away: whether Holm's correction for all averages takes the mark away.
    :param has_seed_noise: whether the noise of seeds is in the interval.
    """
    if low <= 0 <= high:
        return " The interval contains 0: neither is shown to be better."
    side = "better" if (low > 0) == HIGHER_IS_BETTER[metric] else "worse"
    if is_corrected_away:
        return f" The interval is on the {side} side, but not significantly so after Holm's correction for all methods."
    said = f" The whole interval is on the {side} side"
    return f"{said}." if has_seed_noise else f"{said}, which another seed may change."


def _records_frame(rows: Rows) -> pd.DataFrame:
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows), columns=list(ROW_COLUMNS))
    lacking = [column for column in ROW_COLUMNS if column not in frame]
    if lacking:
        raise InputError(f"Rows of a comparison need the columns {one_of(ROW_COLUMNS, limit=20)}; missing: {lacking}.")
    return frame[list(ROW_COLUMNS)]


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ROW_COLUMNS[:6])


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escape_markdown(text: str) -> str:
    """Keep a name from breaking the table or becoming a link, emphasis or HTML."""
    return "".join("\\" + character if character in "\\|*_`<[]" else character for character in text)


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(escape_latex(cell) for cell in cells) + r" \\"
