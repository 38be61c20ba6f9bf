"""What one can learn from finished runs: comparisons, two methods point by point, and curves against cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ftft_core.comparison import RunResult, compare_runs, cost_table
from ftft_core.comparison.columns import Column, make_columns
from ftft_core.comparison.efficiency import REACH_COLUMNS, first_reach, mean_curves
from ftft_core.comparison.pairs import OUTCOMES, Pair, compare_pair
from ftft_core.comparison.runs import MethodRuns
from ftft_core.errors import InputError, unknown
from ftft_core.metrics import HIGHER_IS_BETTER, METRICS, probabilities_and_gold
from ftft_core.store import comparing as comparing_store
from ftft_core.suites.sampling import snapshot_rows
from ftft_core.workspace.compared import ComparedRuns, read_compared_runs
from ftft_core.workspace.maps import Maps
from ftft_core.workspace.report import ComparisonReport

CURVE_ROLES = ("out_of_distribution", "in_distribution", "dev")


@dataclass(frozen=True)
class CostCurves:
    """Scores against what was spent so far, mean over the splits of a role."""

    curves: pd.DataFrame
    """See `comparison.efficiency.mean_curves`; `cost` in FLOPs, reference included."""
    points: pd.DataFrame
    """The same for every seed: `comparison.efficiency.POINT_COLUMNS` and is_end."""
    reach: pd.DataFrame
    """See `comparison.efficiency.first_reach`; no rows without a baseline."""
    baseline_cost: float | None
    """FLOPs of the baseline's whole run, mean over its seeds."""
    num_examples: dict[str, int]
    """Split -> examples that every point of it is the score of."""

    @property
    def has_snapshots(self) -> bool:
        """Whether any run was looked at before its end."""
        return bool((~self.points["is_end"]).any())


class Results(Maps):
    """Comparing runs."""

    def compare(self, suite: str, *, baseline: str = "erm") -> ComparisonReport:
        """Compare the finished runs of a suite on every split but training, from their stored predictions."""
        with self.database.reading() as connection:
            compared = read_compared_runs(connection, suite)
        comparison = compare_runs(compared.finished, compared.splits, compared.labels, baseline=baseline)
        costs = cost_table(compared.finished, baseline=comparison.cost_base)
        columns = make_columns(comparison.methods, compared.unfinished)
        return ComparisonReport(suite, comparison, costs, columns, compared)

    def compare_pair(self, report: ComparisonReport, first: str, second: str, split: str) -> Pair:
        """Compare two methods of a comparison on one split, point by point.

        :param first: id of a column, or name of a method; :param second: likewise.
        :raises InputError: for an unknown method or split, or one without predictions there.
        """
        by_name = {each.name: each for each in report.compared.splits}
        if split not in by_name:
            raise InputError(unknown("split to compare on", split, by_name))
        sides = [_method_runs(report.column(each)) for each in (first, second)]
        num_resamples = report.comparison.num_resamples
        return compare_pair(sides[0], sides[1], by_name[split], report.compared.labels, num_resamples=num_resamples)

    def pair_examples(
        self,
        report: ComparisonReport,
        pair: Pair,
        outcome: str,
        *,
        rule: str = "most",
        gold: str | None = None,
        group: str | None = None,
        search: str | None = None,
        offset: int = 0,
        limit: int = 25,
    ) -> tuple[int, pd.DataFrame]:
        """Give the number of examples of an outcome, and a page of them: those that the two differ in most first.

        :param outcome: one of `comparison.pairs.OUTCOMES`; :param rule: see `Pair.outcomes`.
        :param gold: only those with this gold label; :param group: only those of this group.
        :returns: example_id, text, text_pair, label, group, first_right and second_right (shares of the seeds),
            first_predicted and second_predicted (most frequent), first_probability and second_probability (of the gold
            label, mean over seeds), and training_id, see `store.comparing.read_test_page`.
        """
        if outcome not in OUTCOMES:
            raise InputError(unknown("outcome", outcome, OUTCOMES))
        frame = self._pair_frame(report, pair)
        chosen = pair.outcomes(rule) == outcome
        if gold is not None:
            chosen &= frame["gold"].to_numpy() == gold
        if group is not None:
            chosen &= frame["group"].to_numpy() == group
        gap = (frame["first_probability"] - frame["second_probability"]).abs()
        asked = frame[chosen].loc[gap[chosen].sort_values(ascending=False, kind="stable").index]
        with self.database.reading() as connection:
            return comparing_store.read_test_page(
                connection, report.suite, pair.split, asked.drop(columns=["gold", "group"]), search=search,
                offset=offset, limit=limit,
            )  # fmt: skip

    def _pair_frame(self, report: ComparisonReport, pair: Pair) -> pd.DataFrame:
        split = next(each for each in report.compared.splits if each.name == pair.split)
        frame = pd.DataFrame({"example_id": pair.example_ids, "gold": np.asarray(pair.labels, dtype=object)[pair.gold]})
        groups = None
        for name, side in (("first", pair.first), ("second", pair.second)):
            gold_probability, votes = [], np.zeros((len(frame), len(pair.labels)))
            for run in report.column(side.id).runs:
                given = run.predictions.get(pair.split)
                if run.seed not in side.seeds or given is None:
                    continue
                rows = pd.Index(given.example_ids).get_indexer(pair.example_ids)
                values, _, _ = probabilities_and_gold(
                    given.logits[rows], given.labels[rows], report.compared.labels, split.label_map
                )
                gold_probability.append(values[np.arange(len(rows)), pair.gold])
                votes[np.arange(len(rows)), values.argmax(axis=1)] += 1
                groups = given.groups[rows] if given.groups is not None else groups
            frame[f"{name}_right"] = side.right
            frame[f"{name}_predicted"] = np.asarray(pair.labels, dtype=object)[votes.argmax(axis=1)]
            frame[f"{name}_probability"] = np.mean(gold_probability, axis=0)
        return frame.assign(group=groups)

    def cost_curves(
        self, report: ComparisonReport, *, metric: str = "accuracy", role: str = "out_of_distribution"
    ) -> CostCurves:
        """Give scores against cost: at the looks that runs took at their splits while they trained, and at the end.

        A run's FLOPs are spread evenly over its steps. Snapshots look at some examples of a split; where there are
        any, the end is scored on the same examples, so that all points of a curve are of the same ones.

        :raises InputError: for an unknown metric or role.
        """
        problems = [unknown("metric", metric, METRICS)] if metric not in METRICS else []
        problems += [unknown("role", role, CURVE_ROLES)] if role not in CURVE_ROLES else []
        if problems:
            raise InputError("There are no such curves.", problems)
        with self.database.reading() as connection:
            looks = comparing_store.read_scores_on_the_way(connection, report.suite, metric)
        splits = [split.name for split in report.compared.splits if split.role == role]
        looks = looks[looks["split"].isin(splits)]
        as_looks = role != "dev" and len(looks) > 0  # dev is always looked at whole
        rows: list[tuple[object, ...]] = []
        num_examples: dict[str, int] = {}
        for column in report.columns:
            for run in column.runs:
                found_ends = [_end_score(run, split, report.compared, metric, as_looks) for split in splits]
                ends = [end for end in found_ends if end is not None]
                if not splits or len(ends) < len(splits):
                    continue
                num_examples |= {split: count for split, (_, count) in zip(splits, ends, strict=True)}
                own, steps = report.compared.own_flops.get(run.run_id), report.compared.steps.get(run.run_id)
                if own is None or steps is None or run.total_flops is None:
                    continue
                before = run.total_flops - own
                of_run = looks[looks["run_id"] == run.run_id]
                for step, found in of_run.groupby("step"):
                    if len(found) == len(splits) and step < steps:
                        cost = before + own * float(step) / steps
                        rows.append((column.id, run.run_id, run.seed, step, cost, found["value"].mean(), False))
                rows.append(
                    (
                        column.id,
                        run.run_id,
                        run.seed,
                        steps,
                        run.total_flops,
                        float(np.mean([value for value, _ in ends])),
                        True,
                    )
                )
        points = pd.DataFrame(rows, columns=["column", "run_id", "seed", "step", "cost", "value", "is_end"])
        points = points.astype({"cost": float, "value": float, "is_end": bool})
        curves = mean_curves(points)
        baseline = _baseline_column(report, set(curves["column"]))
        if baseline is None:
            return CostCurves(curves, points, pd.DataFrame(columns=REACH_COLUMNS), None, num_examples)
        reach = first_reach(curves, baseline, higher_is_better=HIGHER_IS_BETTER[metric])
        whole = float(curves.loc[curves["column"] == baseline, "cost"].max())
        return CostCurves(curves, points, reach, whole, num_examples)


def _method_runs(column: Column) -> MethodRuns:
    if not column.runs:
        raise InputError(f"No run of {column.name} has finished, so there is nothing to compare point by point.")
    return MethodRuns(column.key, column.runs)


def _baseline_column(report: ComparisonReport, with_curves: set[str]) -> str | None:
    """Give the baseline's column that curves are held against: one that others are compared with, with most seeds."""
    candidates = [
        column for column in report.columns if column.title == report.comparison.baseline and column.id in with_curves
    ]

    baselines = report.baselines

    def rank(column: Column) -> tuple[bool, bool, int]:
        return column.id in baselines, column.key.fraction == 1.0, column.num_seeds

    return max(candidates, key=rank).id if candidates else None


def _end_score(
    run: RunResult, split: str, compared: ComparedRuns, metric: str, as_looks: bool
) -> tuple[float, int] | None:
    """Score the kept model on a split, or on those of its examples that looks on the way were of; say on how many."""
    given = run.predictions.get(split)
    if given is None or not len(given.labels):
        return None
    label_map = next(each.label_map for each in compared.splits if each.name == split)
    rows = snapshot_rows(len(given.labels)) if as_looks else np.arange(len(given.labels))
    values, gold, _ = probabilities_and_gold(given.logits[rows], given.labels[rows], compared.labels, label_map)
    return METRICS[metric](values, gold), len(rows)
