"""Whether maps of some runs can stand in for another's: transfer, reliability, averages, and early estimates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ftft_core.comparison import (
    Advice,
    Candidate,
    Estimate,
    ProbeCounts,
    Transfer,
    by_score,
    compare_averages,
    estimate,
    find_candidates,
    grid,
    judge,
    likely_main,
    probe_map,
    read_counts,
    reliabilities,
    transfer_matrix,
)
from ftft_core.config import parse
from ftft_core.errors import InputError, unknown
from ftft_core.selection import Recipe, leaving_out_excluded
from ftft_core.selection.select import NEEDS_TWO_EPOCHS
from ftft_core.store import dynamics as dynamics_store
from ftft_core.store import runs as run_store
from ftft_core.workspace.compared import matched_facts
from ftft_core.workspace.selecting import Selecting

PROBE_COUNTS = Path(__file__).parents[2] / "docs" / "results" / "probe.json"
"""Where `benchmarks/probe.py` keeps what came of estimates."""

PROBE_SHARE = 0.25
"""A run of more than this share of the cost of the dearest run of its model is no probe."""

MAX_EPOCH_LOGITS = 5_000_000
"""Examples times epochs of a run, past which its maps by epoch are not computed for the table of averages."""


@dataclass(frozen=True)
class ProbeReport:
    """What a probe of the main model says of the references, and how often such estimates were right."""

    probe: str
    """Name of the run."""
    cost: float | None
    """Its FLOPs."""
    estimate: Estimate
    counts: ProbeCounts


@dataclass(frozen=True)
class TransferReport:
    """Agreement of a set of runs on one suite, seeds grouped, references held against a main model."""

    suite: str
    score: str
    fraction: float
    candidates: tuple[Candidate, ...]
    """All groups of runs, the main model first."""
    main: Candidate
    transfer: Transfer
    """By run."""
    grid: pd.DataFrame
    """By group, see `comparison.grid`."""
    run_grid: pd.DataFrame
    """The same by run."""
    advice: Advice
    reliabilities: pd.DataFrame
    """By group, see `comparison.reliabilities`."""
    averages: pd.DataFrame
    """See `comparison.compare_averages`, with cost_share of a main run."""
    scores: pd.DataFrame
    """Which score transfers best, see `comparison.by_score`."""
    notes: tuple[str, ...]

    @property
    def chance(self) -> float:
        """Overlap to expect of two random selections."""
        return float(self.grid["chance"].iloc[0])

    def ceiling(self, what: str = "overlap") -> float | None:
        """Mean `overlap` or `correlation` of two seeds of the main model; None without a second seed."""
        own = self.grid[(self.grid["group_a"] == self.main.name) & (self.grid["group_b"] == self.main.name)]
        value = own[what].iloc[0]
        return None if pd.isna(value) else float(value)


class Transfers(Selecting):
    """Holding maps against each other."""

    def transfer(self, references: Sequence[str], *, fraction: float = 1 / 3, score: str = "variability") -> Transfer:
        """Compare the data maps of two or more runs on the same data, keyed by the names of the runs.

        :param score: chooses the sets that overlap; see `comparison.SCORE_ENDS`.
        :raises FingerprintError: when they were trained on other data.
        """
        runs = self.runs_on_same_data(references)
        maps = {str(run["name"]): self.map_frame(run["run_id"]) for run in runs}
        return transfer_matrix(maps, fraction=fraction, score=score)

    def transfer_report(
        self,
        references: Sequence[str],
        *,
        main: str | None = None,
        fraction: float = 1 / 3,
        score: str = "variability",
    ) -> TransferReport:
        """Hold references against a main model, over the runs given.

        :param references: runs on the same data, the main model's among them.
        :param main: a run of the main model, or the name of its group; the dearest plain fine-tuning when left out.
        :raises InputError: for fewer than two runs, a main that is not among them, or as `transfer_matrix`.
        :raises FingerprintError: when they were trained on other data.
        """
        _check_share(fraction)
        rows = self.with_matched(pd.DataFrame(self.runs_on_same_data(references)))
        maps = {str(row["name"]): self.map_frame(row["run_id"]) for row in rows.to_dict("records")}
        candidates, notes = find_candidates(rows)
        chosen = _find_main(candidates, rows, main)
        candidates = [chosen, *(each for each in candidates if each is not chosen)]
        groups = {each.name: each.runs for each in candidates}
        seeds = {run: seed for each in candidates for run, seed in zip(each.runs, each.seeds, strict=True)}
        transfer = transfer_matrix({run: maps[run] for run in seeds}, fraction=fraction, score=score)
        others = {each.name: each.runs for each in candidates[1:]}
        costs = {each.name: each.cost for each in candidates}
        advice = judge(transfer, chosen.runs, others, costs, seeds=seeds, main_cost=chosen.cost)
        averages = compare_averages(
            maps, chosen.runs, others, fraction=fraction, score=score, seeds=seeds,
            costs={run: each.cost for each in candidates for run in each.runs},
            epoch_maps=self._epoch_maps([each.runs[0] for each in candidates[1:]], rows, maps),
        )  # fmt: skip
        averages["cost_share"] = averages["cost"] / (chosen.cost or float("nan"))
        return TransferReport(
            suite=str(rows["suite"].iloc[0]),
            score=score,
            fraction=fraction,
            candidates=tuple(candidates),
            main=chosen,
            transfer=transfer,
            grid=grid(transfer, groups, seeds),
            run_grid=grid(transfer, {run: (run,) for run in seeds}, seeds),
            advice=advice,
            reliabilities=reliabilities(transfer, groups),
            averages=averages,
            scores=by_score(transfer, groups, chosen.name, seeds),
            notes=(*notes, *transfer.notes),
        )

    def transferable_runs(self, suite: str, *, score: str = "variability") -> pd.DataFrame:
        """Give the runs of a suite whose maps can be compared by a score, oldest first; see the view `runs`."""
        runs = self.runs(suite)
        enough = 2 if score in NEEDS_TWO_EPOCHS else 1
        if score == "adjusted_variability":
            with self.database.reading() as connection:
                runs = runs[runs["run_id"].isin(dynamics_store.runs_with_steps(connection))]
        return self.with_matched(runs[runs["counted_epochs"] >= enough].reset_index(drop=True))

    def with_matched(self, runs: pd.DataFrame) -> pd.DataFrame:
        """Add the column `matched` to rows of the view `runs`: whose cost a budget in FLOPs was taken from.

        It holds facts of a comparison by name, the same for every seed, and is empty for other budgets and where the
        run whose cost it was is gone.
        """
        found: dict[str, dict[str, object]] = {}
        with self.database.reading() as connection:
            for suite in runs["suite"].unique():
                found |= matched_facts(connection, str(suite))
        return runs.assign(matched=[found.get(str(run), {}) for run in runs["run_id"]])

    def possible_probes(self, suite: str) -> pd.DataFrame:
        """Give the runs of a suite that can serve as a probe, newest first: short or on a small part of the data.

        Those that have recorded something, and cost at most a quarter of the dearest run of their model, unless they
        are the only one of it.
        """
        runs = self.runs(suite)
        with self.database.reading() as connection:
            recorded = dynamics_store.runs_with_dynamics(connection)
        runs = runs[runs["run_id"].isin(recorded) & (runs["method"].isin(["erm", "reference", "random"]))]
        model = [runs["model"], runs["num_layers"]]
        dearest = runs["train_flops"].groupby(model).transform("max")
        alone = runs["train_flops"].groupby(model).transform("size") == 1
        short = (runs["train_flops"] <= PROBE_SHARE * dearest) | (alone & (runs["counted_epochs"] <= 1))
        return runs[short].iloc[::-1].reset_index(drop=True)

    def estimate_transfer(
        self, probe: str, references: Sequence[str], *, fraction: float = 1 / 3, score: str = "variability"
    ) -> ProbeReport:
        """Estimate from a short run of the main model which references will transfer.

        :param probe: a run of a few per cent of the main model's budget; its first epoch may be unfinished.
        :param references: runs whose maps are to be judged; those of the probe's own model are left out.
        :raises InputError: when none is left, or as `comparison.estimate`.
        :raises FingerprintError: when they were trained on other data.
        """
        _check_share(fraction)
        row = self.run(probe)
        rows = [each for each in self.runs_on_same_data([probe, *references]) if each["run_id"] != row["run_id"]]
        rows = [each for each in rows if (each["model"], each["num_layers"]) != (row["model"], row["num_layers"])]
        if not rows:
            raise InputError(f"Every run given is of the model of probe '{row['name']}'; give runs of a reference.")
        candidates, _ = find_candidates(self.with_matched(pd.DataFrame(rows)))
        maps = {str(each["name"]): self.map_frame(each["run_id"]) for each in rows}
        first = {str(each["name"]): self._probe_map(each["run_id"], epochs=1) for each in rows}
        found = estimate(
            self._probe_map(row["run_id"], epochs=1), maps, first,
            {each.name: each.runs for each in candidates}, {each.name: each.cost for each in candidates},
            fraction=fraction, score=score, probe_seed=int(row["seed"]),
            seeds={run: seed for each in candidates for run, seed in zip(each.runs, each.seeds, strict=True)},
        )  # fmt: skip
        cost = row["train_flops"]
        return ProbeReport(str(row["name"]), None if pd.isna(cost) else float(cost), found, self.probe_counts())

    def probe_counts(self) -> ProbeCounts:
        """How often estimates by probes were right on this project's own benchmark suites."""
        return read_counts(PROBE_COUNTS)

    def average_recipe(self, references: Sequence[str], strategy: str, fraction: float | None) -> Recipe:
        """Give the recipe that selects from the map of a run, or from the average of several.

        Examples that are excluded from training are left out, as `ftft select` leaves them out.

        :raises InputError: when the strategy or the fraction is none.
        """
        rows = [self.run(reference) for reference in dict.fromkeys(references)]
        ids = list(dict.fromkeys(str(row["run_id"]) for row in rows))
        values = {"source_run": ids[0], "source_runs": ids if len(ids) > 1 else None}
        recipe = parse(Recipe, {**values, "strategy": strategy, "fraction": fraction}, what="The selection")
        has_excluded = len(self.excluded_positions(str(rows[0]["suite"]))) > 0
        return leaving_out_excluded(recipe) if has_excluded else recipe

    def _probe_map(self, run_id: str, epochs: int | None = None) -> pd.DataFrame:
        with self.database.reading() as connection:
            run_no, _ = run_store.find_run(connection, run_id)
            return probe_map(dynamics_store.read_dynamics(connection, run_no, with_cut_short=True)[0], epochs=epochs)

    def _epoch_maps(
        self, names: Sequence[str], rows: pd.DataFrame, maps: Mapping[str, pd.DataFrame]
    ) -> Mapping[str, list[pd.DataFrame]]:
        """Give the maps of runs after 2, 3, ... epochs, where that takes no long time."""
        found = {}
        for row in rows[rows["name"].isin(names)].to_dict("records"):
            name, counted = str(row["name"]), int(row["counted_epochs"])
            if counted > 2 and counted * len(maps[name]) <= MAX_EPOCH_LOGITS:
                found[name] = [self.map_frame(row["run_id"], epochs=epochs) for epochs in range(2, counted + 1)]
        return found


def _check_share(fraction: float) -> None:
    if fraction == 1:
        raise InputError("fraction: received 1; all examples are in every set then, so give a share below 1.")


def _find_main(candidates: Sequence[Candidate], rows: pd.DataFrame, main: str | None) -> Candidate:
    if main is None:
        guessed = likely_main(candidates)
        assert guessed is not None, "there are at least two runs"
        return guessed
    names = dict(zip(rows["run_id"], rows["name"], strict=True))
    wanted: Any = names.get(main, main)
    for each in candidates:
        if wanted == each.name or wanted in each.runs:
            return each
    known = [*(each.name for each in candidates), *(run for each in candidates for run in each.runs)]
    raise InputError(unknown("main model or run of it", main, known))
