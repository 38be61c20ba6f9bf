"""Runs on one suite, compared: means over seeds, differences to a baseline, and what is missing.

Owns the rows that `ftft compare` promises and the frames beside them. The statistics of a difference live in
`bootstrap`, the scores in `scoring`, the grouping of runs in `runs`, costs in `costs`, notes in `notes`, tables in
`tables`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ftft_core.comparison.baselines import baseline_of, cost_base
from ftft_core.comparison.bootstrap import (
    NUM_RESAMPLES,
    Difference,
    SeedScores,
    difference,
    marks_by_metric,
)
from ftft_core.comparison.columns import make_columns
from ftft_core.comparison.notes import (
    notes_on_baselines,
    notes_on_labels,
    notes_on_learning,
    notes_on_seeds,
    unlearnt_methods,
)
from ftft_core.comparison.runs import (
    KEY_COLUMNS,
    ComparedSplit,
    MethodRuns,
    RunResult,
    group_runs,
)
from ftft_core.comparison.scoring import Scores, group_scores, score_all, seed_scores
from ftft_core.errors import InputError, unknown
from ftft_core.metrics import METRICS

ROW_COLUMNS = (
    *KEY_COLUMNS,
    *("split", "role", "metric", "mean", "std", "num_seeds", "delta", "delta_low", "delta_high", "cost_share"),
)
"""Columns of every row of a comparison, a promise of the command line."""

ROLES = ("dev", "in_distribution", "out_of_distribution")


@dataclass(frozen=True)
class Comparison:
    """What a comparison found. Scores and differences are in [0, 1] resp. [-1, 1], at full precision."""

    baseline: str
    rows: pd.DataFrame
    """`ROW_COLUMNS`, one row per method, split and metric; NaN (None in `records`) where something is missing.

    `std` is over seeds with ddof 1, missing with one seed. `delta` is method minus baseline; `delta_low` and
    `delta_high` bound its 95 % interval (see `bootstrap`). `cost_share` is the mean of the method's total FLOPs over
    that of `cost_base`. The rows of what others are compared with have difference 0.
    """

    averages: pd.DataFrame
    """As `rows`, for the unweighted mean over all splits of a role; `split` is "average". Over seeds that have all.

    With the columns of `marks`, corrected for all averages within each metric; those of a single split, which was
    tested as itself, have no p-value.
    """

    marks: pd.DataFrame
    """In step with `rows`: p_value, p_holm (corrected within each metric), marked, has_seed_noise, column (the id of
    the method's version, see `runs.column_id`).

    A difference is never marked if its interval leaves out seed noise.
    """

    groups: pd.DataFrame
    """Scores per group of a split: `KEY_COLUMNS`, split, role, group, metric, mean, std, num_seeds, num_examples."""

    notes: tuple[str, ...]
    """One sentence for whatever is missing, was left out, or narrows what the numbers mean."""

    methods: tuple[MethodRuns, ...] = ()
    """What was compared, in the order of the rows."""

    seeds: pd.DataFrame = field(default_factory=pd.DataFrame)
    """What the means are of: column, run_id, seed, split, role, metric, value, one row per run, split and metric."""

    num_resamples: int = NUM_RESAMPLES
    """R of the bootstrap."""

    unlearnt: Mapping[str, str] = field(default_factory=dict)
    """Column -> one sentence, of methods that have not learnt the task (`cartography.has_learnt`, on dev) with most of
    their seeds."""

    partly_unlearnt: Mapping[str, str] = field(default_factory=dict)
    """The same of methods that are so with some of their seeds, up to half."""

    @property
    def cost_base(self) -> str:
        """The method whose cost is 100 %: erm where there is a run of it, else the baseline."""
        return cost_base((method.key.method for method in self.methods), self.baseline)

    def records(self) -> list[dict[str, Any]]:
        """Rows as JSON takes them: exactly the keys `ROW_COLUMNS`, None for what is missing."""
        return to_records(self.rows)


def to_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a frame as plain Python values, None for what is missing."""
    return [{name: _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def compare_runs(
    runs: Sequence[RunResult],
    splits: Sequence[ComparedSplit],
    labels: Sequence[str],
    *,
    baseline: str = "erm",
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
    metrics: Sequence[str] = tuple(METRICS),
) -> Comparison:
    """Compare methods on splits.

    Runs are averaged over seeds where nothing but the seed differs; others stand in rows of their own, with a note. A
    method's baseline is the `baseline` method's runs on the same model and layers; if there are several, those that
    were given just the method's cost (`erm_matched`), else with the same reference, else on all the data, else with the
    same fraction, then those that agree in most facts, then with most seeds. Other kinds of the baseline's own runs are
    compared with the one on all the data that has most seeds. A note says where the two differ in more than the method.
    A run whose example ids or gold labels on a split differ from most others' counts as lacking that split.

    :param runs: finished runs on one suite; those with the method `reference` are left out.
    :param labels: the suite's labels, in the order of the logits.
    :param num_resamples: R of the bootstrap.
    :param seed: of the resampling; the same input and seed give the same output.
    :raises InputError: for an unknown metric or role, a split given twice, or fewer than 100 resamples. A missing
        baseline, seed or prediction is no error: what depends on it is null, and a note says so.
    """
    methods, notes = group_runs(runs)
    _check(splits, metrics, num_resamples)
    base = cost_base((method.key.method for method in methods), baseline)
    lost = "differences and cost shares" if base == baseline else "differences"
    if not methods:
        notes.append("There is no finished run to compare (a run made only to be a reference does not count).")
    elif not any(method.key.method == baseline for method in methods):
        notes.append(f"There is no '{baseline}' run to compare with: {lost} are left empty.")
    baselines = [baseline_of(method, methods, baseline) for method in methods]
    names = {column.id: column.name for column in make_columns(methods)}
    notes += notes_on_baselines(methods, baselines, baseline, lost, names)
    wholes = [baseline_of(method, methods, base) for method in methods]
    if base != baseline:
        notes += [
            f"{names[method.id]} has no '{base}' run on its own model and layers: its cost share is left empty."
            for method, whole in zip(methods, wholes, strict=True)
            if whole is None
        ]
    scores = score_all(methods, splits, labels, num_resamples, seed, notes)
    rows: list[dict[str, Any]] = []
    marks: list[dict[str, Any]] = []
    averages: list[dict[str, Any]] = []
    marks_of_averages: list[dict[str, Any]] = []
    for method, its_baseline, whole in zip(methods, baselines, wholes, strict=True):
        share = _cost_share(method, whole)
        if method.mean_flops is None:
            name = names[method.id]
            notes.append(f"{name}: the FLOPs of some runs are not known, so its cost share is left empty.")
        for split in splits:
            for metric in metrics:
                found = _difference(method, its_baseline, (split.name,), metric, scores, seed)
                where = {"split": split.name, "role": split.role, "metric": metric}
                rows.append(_row(method, where, seed_scores(method, (split.name,), metric, scores), found, share))
                marks.append(_mark(method, its_baseline, where, found))
        for role in ROLES:
            its_splits = tuple(split.name for split in splits if split.role == role)
            for metric in metrics if its_splits else ():
                found = _difference(method, its_baseline, its_splits, metric, scores, seed)
                where = {"split": "average", "role": role, "metric": metric}
                averages.append(_row(method, where, seed_scores(method, its_splits, metric, scores), found, share))
                # The mean over one split is that split, which was tested already.
                marks_of_averages.append(_mark(method, its_baseline, where, found, is_new=len(its_splits) > 1))
    unlearnt, partly_unlearnt = unlearnt_methods(methods, splits, scores, names)
    notes += [
        *notes_on_learning(unlearnt, partly_unlearnt, names),
        *notes_on_seeds(methods, baselines, names),
        *notes_on_labels(methods, splits),
    ]
    marked = _holm_per_metric(marks)
    marked_averages = _holm_per_metric(marks_of_averages)
    groups = group_scores(methods, splits, labels, metrics, scores)
    return Comparison(
        baseline,
        _frame(rows),
        _frame(averages).join(marked_averages),
        marked,
        groups,
        tuple(dict.fromkeys(notes)),
        tuple(methods),
        _seed_frame(methods, splits, metrics, scores),
        num_resamples,
        unlearnt,
        partly_unlearnt,
    )


def _check(splits: Sequence[ComparedSplit], metrics: Sequence[str], num_resamples: int) -> None:
    problems = [unknown("metric", metric, METRICS) for metric in metrics if metric not in METRICS]
    problems += [unknown("role to compare on", split.role, ROLES) for split in splits if split.role not in ROLES]
    names = [split.name for split in splits]
    problems += [f"The split '{name}' is given twice; give it once." for name in {*names} if names.count(name) > 1]
    if num_resamples < 100:
        problems.append(
            f"num_resamples: received {num_resamples}; a 95 % interval needs at least 100. The default is 2000."
        )
    if problems:
        raise InputError("The runs cannot be compared like that.", problems)


def _difference(
    method: MethodRuns, baseline: MethodRuns | None, splits: Sequence[str], metric: str, scores: Scores, seed: int
) -> Difference | None:
    own = seed_scores(method, splits, metric, scores)
    other = None if baseline is None else seed_scores(baseline, splits, metric, scores)
    return None if own is None or other is None else difference(own, other, seed=seed)


def _cost_share(method: MethodRuns, whole: MethodRuns | None) -> float | None:
    if whole is None or method.mean_flops is None or not whole.mean_flops:
        return None
    return method.mean_flops / whole.mean_flops


def _row(
    method: MethodRuns,
    where: Mapping[str, str],
    scores: SeedScores | None,
    found: Difference | None,
    cost_share: float | None,
) -> dict[str, Any]:
    num_seeds = 0 if scores is None else len(scores.seeds)
    return {
        **asdict(method.key),
        **where,
        "mean": None if scores is None else float(scores.points.mean()),
        "std": None if scores is None or num_seeds < 2 else float(scores.points.std(ddof=1)),
        "num_seeds": num_seeds,
        "delta": None if found is None else found.delta,
        "delta_low": None if found is None else found.low,
        "delta_high": None if found is None else found.high,
        "cost_share": cost_share,
    }


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(ROW_COLUMNS))
    numbers = ["mean", "std", "delta", "delta_low", "delta_high", "cost_share", "fraction"]
    return frame.astype({**dict.fromkeys(numbers, "float64"), "reference_layers": "Int64", "num_seeds": "int64"})


def _mark(
    method: MethodRuns,
    baseline: MethodRuns | None,
    where: Mapping[str, str],
    found: Difference | None,
    *,
    is_new: bool = True,
) -> dict[str, Any]:
    # What no table shows a difference of is no test, and one seed can't be marked: neither weighs on the correction.
    is_compared = baseline is not None and method.key.method != baseline.key.method
    is_test = is_new and found is not None and found.has_seed_noise and is_compared
    return {
        "metric": where["metric"],
        "p_value": found.p_value if found is not None and is_test else None,
        "has_seed_noise": found is not None and found.has_seed_noise,
        "column": method.id,
    }


def _seed_frame(
    methods: Sequence[MethodRuns], splits: Sequence[ComparedSplit], metrics: Sequence[str], scores: Scores
) -> pd.DataFrame:
    columns = ["column", "run_id", "seed", "split", "role", "metric", "value"]
    rows = [
        (method.id, run.run_id, run.seed, split.name, split.role, metric, scores[run.run_id, split.name, metric][0])
        for method in methods
        for run in method.runs
        for split in splits
        for metric in metrics
        if (run.run_id, split.name, metric) in scores
    ]
    return pd.DataFrame(rows, columns=columns)


def _holm_per_metric(tests: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    marks = pd.DataFrame(tests, columns=["metric", "p_value", "has_seed_noise", "column"])
    marks = marks.astype({"p_value": "float64", "has_seed_noise": bool})
    marks["p_holm"], marks["marked"] = marks_by_metric(marks["metric"], marks["p_value"], marks["has_seed_noise"])
    return marks[["p_value", "p_holm", "marked", "has_seed_noise", "column"]]


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value
