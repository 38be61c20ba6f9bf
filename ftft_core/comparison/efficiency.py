"""Scores against what was spent so far: learning curves over cost, and when a method reaches another's best.

Owns means of curves over seeds and what is read off them. Where the points of a curve come from is `workspace`'s.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ftft_core.errors import InputError

POINT_COLUMNS = ("column", "run_id", "seed", "step", "cost", "value")
"""Columns of a curve's points: `cost` is all that was spent up to `step`, reference included, in FLOPs; `value` the
score there. The last point of a run is the model that it kept."""

CURVE_COLUMNS = ("column", "cost", "mean", "std", "num_seeds")
SAME_PLACE = 0.05
"""Share of a run within which the looks of several seeds lie at one place of their mean curve."""

REACH_COLUMNS = ("column", "target", "target_std", "target_seeds", "best", "cost", "share")


def mean_curves(points: pd.DataFrame) -> pd.DataFrame:
    """Mean of curves over those of a method's seeds that were looked at on the way; the ends of all, if most were not.

    The n-th looks of all these runs are one place, and so are their ends. A place that one of them lacks, as it stopped
    early, is left out, and so is one where they lie far apart, as they were not told to look at the same times.

    :param points: `POINT_COLUMNS`, and `is_end` for the model that a run kept.
    :returns: `CURVE_COLUMNS` and `is_end`, by method in the order of cost; `std` over seeds (ddof 1), NaN of one.
    """
    rows = []
    for column, of_method in points.groupby("column", sort=False):
        was_looked_at = of_method["run_id"].isin(of_method.loc[~of_method["is_end"], "run_id"])
        if 2 * of_method.loc[was_looked_at, "run_id"].nunique() >= of_method["run_id"].nunique():
            of_method = of_method[was_looked_at]
        else:
            of_method = of_method[of_method["is_end"]]
        num_seeds = of_method["run_id"].nunique()
        ends = of_method[of_method["is_end"]]
        looks = of_method[~of_method["is_end"]].sort_values("step", kind="stable")
        apart = SAME_PLACE * float(ends["step"].max()) if len(ends) else 0.0
        places = [(False, found) for _, found in looks.groupby(looks.groupby("run_id").cumcount())]
        places += [(True, ends)] if len(ends) else []
        for is_end, found in places:
            if len(found) < num_seeds or (not is_end and np.ptp(found["step"]) > apart):
                continue
            values = found["value"].to_numpy(dtype=float)
            std = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
            rows.append((column, float(found["cost"].mean()), float(values.mean()), std, num_seeds, is_end))
    frame = pd.DataFrame(rows, columns=[*CURVE_COLUMNS, "is_end"])
    by_column = [of_method.sort_values("cost", kind="stable") for _, of_method in frame.groupby("column", sort=False)]
    return pd.concat(by_column, ignore_index=True) if by_column else frame


def first_reach(curves: pd.DataFrame, baseline: str, *, higher_is_better: bool = True) -> pd.DataFrame:
    """Say at which share of the baseline's whole cost each method's mean curve first reaches the baseline's best.

    The best is the best mean of any place of the baseline's curve, and a method reaches it at the first of its own
    places that is at least as good: nothing is interpolated, so the share is at most too high.

    :param curves: from `mean_curves`; :param baseline: one of its columns.
    :returns: one row per method, `REACH_COLUMNS`: `target`, with its spread over the baseline's seeds (ddof 1; NaN of
        one) and their number; the method's own `best`; `cost` and `share` of it, NaN where it never reaches the target.
    :raises InputError: if the baseline has no curve.
    """
    sign = 1.0 if higher_is_better else -1.0
    of_baseline = curves[curves["column"] == baseline]
    if of_baseline.empty:
        raise InputError(f"The baseline '{baseline}' has no curve to compare with; it needs a finished run.")
    mark = of_baseline.loc[(sign * of_baseline["mean"]).idxmax()]
    target = float(mark["mean"])
    whole = float(of_baseline["cost"].max())
    rows = []
    for column, curve in curves.groupby("column", sort=False):
        reached = curve[sign * curve["mean"] >= sign * target]
        cost = float(reached["cost"].min()) if len(reached) else float("nan")
        best = float(sign * (sign * curve["mean"]).max())
        share = cost / whole if whole else np.nan
        rows.append((column, target, float(mark["std"]), int(mark["num_seeds"]), best, cost, share))
    return pd.DataFrame(rows, columns=REACH_COLUMNS)
