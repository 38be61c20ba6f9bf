"""Tables of docs/results.md over suites: all in one, every seed, and what was tried; `results.py` puts them there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from wording import MISSING, number, table

from ftft_core.comparison import Comparison, difference_words, to_records
from ftft_core.comparison.runs import short_model
from ftft_core.comparison.tables import METRIC_TITLES, version_to_speak_of
from ftft_core.workspace import ComparisonReport

SUMMARISED = ("ftft", "random", "erm_matched", "cartography")
HEAD = ("suite", "main model", "erm", *(f"{method} − erm" for method in SUMMARISED), "cost of ftft")
SHORT = ("cost of ftft", "ftft − erm", "erm_matched − erm", "random − erm")
WORDS = (
    "Accuracy out of distribution, mean of the splits, in percent; differences in points with their 95 % interval, and "
    "the number of seeds in parentheses. Of several versions of a method the one with most seeds, then the best on "
    "dev. Cost: FLOPs with the reference's, share of ERM's."
)
NOT_LEARNT = (
    "†: has not learnt the task, with some of its seeds at least, so that its mean out of distribution says little."
)


def summary(rows: Sequence[Sequence[str]]) -> str:
    """Write the table of all suites, and what its marks mean."""
    words = f"{WORDS} {NOT_LEARNT}" if any("†" in cell for row in rows for cell in row) else WORDS
    return f"{table(HEAD, rows)}\n\n{words}"


def short_summary(rows: Sequence[Sequence[str]]) -> str:
    """Write the rows that have plain fine-tuning of the same cost, with the columns that decide."""
    columns = [HEAD.index(name) for name in ("suite", "main model", *SHORT)]
    known = [row for row in rows if row[HEAD.index("erm_matched − erm")] != MISSING]
    return table([HEAD[place] for place in columns], [[row[place] for place in columns] for row in known])


def summary_rows(report: ComparisonReport, metric: str) -> Iterator[list[str]]:
    """Give a row for each main model: plain fine-tuning, what others differ from it by, and what ftft costs."""
    comparison = report.comparison
    averages = comparison.averages
    averages = averages[(averages["role"] == "out_of_distribution") & (averages["metric"] == metric)]
    for model, layers in main_models(report):
        own = {column.id for column in report.of_main_model(model, layers).columns}
        chosen = to_records(averages[averages["column"].isin(own)])
        erm = version_for_summary(chosen, "erm", comparison.averages)
        if comparison.baseline != "erm" or erm is None:
            continue
        versions = [version_for_summary(chosen, method, comparison.averages) for method in SUMMARISED]
        ftft = versions[0]
        yield [
            report.suite,
            f"{short_model(model)}, {layers} layers",
            f"{number(erm['mean'], 1, 100)} ({erm['num_seeds']})",
            *(difference_cell(version, comparison) for version in versions),
            number(None if ftft is None else ftft["cost_share"], 2),
        ]


def version_for_summary(rows: Sequence[dict[str, Any]], method: str, averages: pd.DataFrame) -> dict[str, Any] | None:
    """Of the versions of a method the one that conclusions speak of."""
    known = [row for row in rows if row["method"] == method and row["mean"] is not None]
    return dict(version_to_speak_of(known, averages)) if known else None


def difference_cell(row: dict[str, Any] | None, comparison: Comparison) -> str:
    """Write a difference to ERM, its seeds, and the mark of what has not learnt the task."""
    if row is None or row["delta"] is None:
        return MISSING
    is_learnt = row["column"] not in comparison.unlearnt and row["column"] not in comparison.partly_unlearnt
    return f"{difference_words(row)} ({row['num_seeds']}){'' if is_learnt else ' †'}"


def seeds_table(report: ComparisonReport, metric: str) -> Iterator[str]:
    """Give the means of every seed: on dev, in distribution and out of it, so that one sees what seeds do."""
    scores = report.comparison.seeds
    names = {column.id: column.name for column in report.columns}
    scores = scores[(scores["metric"] == metric) & scores["column"].isin([*names])]
    if scores.empty:
        return
    means = scores.groupby(["column", "role", "seed"])["value"].mean()
    seeds = sorted(scores["seed"].unique())
    rows = [
        [names[column], title, *(number(means.get((column, role, seed)), 1, 100) for seed in seeds)]
        for column in names
        for role, title in (("dev", "development"), ("in_distribution", "in"), ("out_of_distribution", "out"))
        if (column, role) in means.index.droplevel("seed")
    ]
    head = ["method", "distribution", *(f"seed {seed}" for seed in seeds)]
    yield f"<details><summary>{METRIC_TITLES[metric]} by seed</summary>\n\n{table(head, rows)}\n\n</details>"


def tuning_table(kept: Mapping[str, Any]) -> str:
    """Write what `tuning.py --keep` kept: variants by their mean difference to plain fine-tuning over the suites.

    :param kept: suite -> `seeds` and `rows`, one for each variant; a variant that one suite lacks stands there with a
        dash and is placed by the others.
    """
    by_suite = {suite: {row["variant"]: row for row in each["rows"]} for suite, each in kept.items()}
    variants = dict.fromkeys(name for rows in by_suite.values() for name in rows)

    def difference(name: str) -> float:
        found = [rows for rows in by_suite.values() if name in rows]
        return float(np.mean([rows[name]["dev_accuracy"] - rows["erm"]["dev_accuracy"] for rows in found]))

    def cells(name: str) -> Iterator[str]:
        found = [rows[name] for rows in by_suite.values() if name in rows]
        yield name
        yield number(float(np.mean([row["cost_share"] for row in found])), 2)
        for rows in by_suite.values():
            if name in rows:
                seeds = ", ".join(number(score, 1, 100) for score in rows[name]["by_seed"])
                yield f"{number(rows[name]['dev_accuracy'], 1, 100)} ({seeds})"
            else:
                yield MISSING
        yield f"{difference(name):+.1%}".rstrip("%").replace("-", "−")

    head = ["variant", "cost, share of erm", *by_suite, "mean difference to erm"]
    ordered = sorted(variants, key=lambda name: -difference(name))
    return table(head, [[*cells(name)] for name in ordered])


def main_models(report: ComparisonReport) -> list[tuple[str, int]]:
    """Give the main models that were compared, in the order of their columns."""
    return list(dict.fromkeys((column.key.model, column.key.num_layers) for column in report.columns))
