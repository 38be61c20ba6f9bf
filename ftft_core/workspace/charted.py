"""What the charts of a comparison show, as rows and in words: robustness against cost, and when a score is reached.

Owns what is drawn and the sentences beside it, on the page and in documents; how it is drawn is `figures`'.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ftft_core.comparison import pareto_front, to_records
from ftft_core.comparison.columns import Column
from ftft_core.comparison.tables import METRIC_TITLES
from ftft_core.metrics import HIGHER_IS_BETTER
from ftft_core.workspace.report import ComparisonReport
from ftft_core.workspace.results import CostCurves

ROLES = {"out_of_distribution": "out of distribution", "in_distribution": "in distribution", "dev": "development set"}
NAMED = 4
"""Methods that a sentence names before it counts the others."""


def front_points(report: ComparisonReport, metric: str) -> pd.DataFrame:
    """Return what the chart of robustness against cost shows: one row a method whose score and cost are known.

    Costs are shares of plain fine-tuning of the same model, so each main model has a front of its own. What has not
    learnt the task is on none.
    """
    averages = report.comparison.averages
    robust = averages[(averages["role"] == "out_of_distribution") & (averages["metric"] == metric)]
    by_column = {row["column"]: row for row in to_records(robust)}
    rows = []
    for column in report.columns:
        row = by_column.get(column.id)
        if row is None or row["mean"] is None or row["cost_share"] is None:
            continue
        is_baseline = column.title == report.comparison.baseline
        values = (row["mean"], row["std"], row["cost_share"], is_baseline, row["num_seeds"])
        rows.append((column.name, column.id, *values, (column.key.model, column.key.num_layers)))
    names = ["name", "column", "score", "std", "cost_share", "is_baseline", "num_seeds", "main_model"]
    points = pd.DataFrame(rows, columns=names).astype({"std": float, "score": float, "cost_share": float})
    sign = 1 if HIGHER_IS_BETTER[metric] else -1
    scores = (sign * points["score"]).mask(points["column"].isin([*report.comparison.unlearnt]))
    on_front = np.zeros(len(points), dtype=bool)
    for _, of_model in points.groupby("main_model", sort=False):
        on_front[of_model.index] = pareto_front(of_model["cost_share"], scores[of_model.index])
    return points.assign(on_front=on_front)


def reach_words(
    report: ComparisonReport, found: CostCurves, drawn: Sequence[Column], metric: str, where: str
) -> list[str]:
    """Say at which share of the baseline's cost each method reaches the baseline's best score."""
    if found.reach.empty:
        return []
    baseline = report.comparison.baseline
    by_column = found.reach.set_index("column")
    target = 100 * float(by_column["target"].iloc[0])
    reaching: list[tuple[float, str]] = []
    missing: list[tuple[float, str]] = []
    learnt = [column for column in drawn if column.id not in report.comparison.unlearnt]
    for column in learnt:
        row = by_column.loc[column.id]
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
    if len(learnt) < len(drawn):
        said.append("Methods that have not learnt the task are left out of that.")
    spread, num_seeds = by_column[["target_std", "target_seeds"]].iloc[0]
    if num_seeds > 1:
        said.append(
            f"The {num_seeds:.0f} seeds of {baseline} spread there by {100 * spread:.1f} (standard deviation): to pass "
            "or miss its mark by less says little."
        )
    else:
        said.append(f"One seed of {baseline} sets that mark: to pass or miss it by little says little.")
    if not found.has_snapshots:
        said.append(
            "No run was looked at before its end, so each is one point; runs trained with --snapshots 8 draw a curve."
        )
    else:
        counts = ", ".join(f"{count} of {split}" for split, count in found.num_examples.items())
        said.append(
            f"Means over seeds at the points that were looked at, on {counts} examples; the table is of all of them."
        )
        ends = _only_ends(found, drawn)
        if ends:
            one = "is one point" if len(ends) == 1 else "are one point each"
            more = f" and {len(ends) - NAMED} more" if len(ends) > NAMED else ""
            names = f"{', '.join(ends[:NAMED])}{more}"
            said.append(f"{names} {one}: most of the seeds were not looked at on the way, or not at the same times.")
        some = [f"{name} {have} of {of}" for name, have, of in _partly_looked_at(found, drawn)]
        if some:
            said.append(f"Curves are of the seeds that were looked at: of {', '.join(some)}.")
    return said


def _partly_looked_at(found: CostCurves, drawn: Sequence[Column]) -> list[tuple[str, int, int]]:
    """Name the methods whose mean curve is of some of their seeds, with how many of how many."""
    num_seeds = found.curves.groupby("column")["num_seeds"].max().to_dict()
    return [
        (column.name, int(num_seeds[column.id]), column.num_seeds)
        for column in drawn
        if num_seeds.get(column.id, column.num_seeds) < column.num_seeds
    ]


def _only_ends(found: CostCurves, drawn: Sequence[Column]) -> list[str]:
    """Name the methods whose mean curve is its end alone."""
    on_the_way = set(found.curves.loc[~found.curves["is_end"].astype(bool), "column"])
    return [column.name for column in drawn if column.id not in on_the_way]
