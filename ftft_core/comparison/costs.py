"""What methods cost, side by side, and which are worth their cost.

Owns the table of costs and the Pareto front. What a single run cost, with its reference, is added up in `workspace`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ftft_core.comparison.baselines import baseline_of
from ftft_core.comparison.runs import MethodRuns, RunResult, group_runs, mean_or_none
from ftft_core.errors import InputError

COST_FIELDS = {
    "flops": "total_flops",
    "seconds": "train_seconds",
    "optimizer_steps": "num_optimizer_steps",
    "examples_seen": "num_examples_seen",
}
"""Column of `cost_table` -> field of `RunResult`."""


def cost_table(runs: Sequence[RunResult], *, baseline: str = "erm") -> pd.DataFrame:
    """Cost of each method, mean over its seeds, in all four units and as shares of one method's.

    :param baseline: the method whose cost is 100 %.
    :returns: one row per method with the key columns, num_seeds, flops, seconds, optimizer_steps, examples_seen, and
        <unit>_share of each: the mean over the mean of the `baseline` runs on the same model and layers (chosen as
        `compare_runs` says, if there are several). NaN where a run's cost is not known or no baseline fits.
        Seconds compare only between runs on the same machine.
    """
    methods, _ = group_runs(runs)
    rows: list[dict[str, Any]] = []
    for method in methods:
        its_baseline = baseline_of(method, methods, baseline)
        costs = {unit: _mean_cost(method, field) for unit, field in COST_FIELDS.items()}
        shares: dict[str, float | None] = {}
        for unit, field in COST_FIELDS.items():
            whole = None if its_baseline is None else _mean_cost(its_baseline, field)
            own = costs[unit]
            shares[f"{unit}_share"] = own / whole if own is not None and whole else None
        rows.append({**asdict(method.key), "num_seeds": len(method.runs), **costs, **shares})
    units = [*COST_FIELDS, *(f"{unit}_share" for unit in COST_FIELDS)]
    keys = ["method", "model", "num_layers", "reference_model", "reference_layers", "fraction", "num_seeds"]
    frame = pd.DataFrame(rows, columns=[*keys, *units])
    return frame.astype({**dict.fromkeys(units, "float64"), "reference_layers": "Int64"})


def flops_together(runs: Sequence[RunResult]) -> tuple[float, float] | None:
    """FLOPs of several runs with all that they needed: each part once, and in full for every run that needed it.

    The first is what somebody pays who makes all of them, the second the sum of what `cost_table` counts.

    :returns: None where the cost of a part is not known.
    """
    if not all(run.flops_of_parts for run in runs):
        return None
    once: dict[str, float] = {}
    for run in runs:
        once.update(run.flops_of_parts)
    return sum(once.values()), sum(sum(run.flops_of_parts.values()) for run in runs)


SAME_COST = 0.01
"""Costs that differ by less than this share count as equal: a cost that was matched is so to one optimizer step."""


def pareto_front(cost: npt.ArrayLike, score: npt.ArrayLike, *, same_cost: float = SAME_COST) -> npt.NDArray[np.bool_]:
    """Which of M methods no other beats: none costs at most as much and scores at least as well, one of them strictly.

    :param cost: (M,) lower is better; :param score: (M,) higher is better. A method with a NaN is never on the front.
    :param same_cost: share of the lower one by which two costs may differ and still be equal, from 0.
    :returns: (M,) mask; methods that agree in both stand on the front together.
    :raises InputError: if the lengths differ.
    """
    costs, scores = np.asarray(cost, dtype=np.float64), np.asarray(score, dtype=np.float64)
    if costs.shape != scores.shape or costs.ndim != 1:
        raise InputError(
            f"A Pareto front needs one cost and one score per method; received shapes {costs.shape} and {scores.shape}."
        )
    # [i, j]: j is at least as good as i in both, and better in one; comparisons with NaN are False
    most = 1 + same_cost
    no_worse = (costs[None, :] <= most * costs[:, None]) & (scores[None, :] >= scores[:, None])
    better = (most * costs[None, :] < costs[:, None]) | (scores[None, :] > scores[:, None])
    return np.asarray(~(no_worse & better).any(axis=1) & ~np.isnan(costs) & ~np.isnan(scores))


def _mean_cost(method: MethodRuns, field: str) -> float | None:
    return mean_or_none([getattr(run, field) for run in method.runs])
