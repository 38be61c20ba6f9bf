"""Whether averages of cheap maps come nearer to the main model's map than single ones do, by each score.

`python benchmarks/averages.py WORKSPACE [WORKSPACE ...]` trains nothing: it takes the finished runs on all data of
every suite that has a main model and something to hold against it. An average of one to three seeds of a reference,
of one run each of two references, or of the main model itself is held against one to three seeds of the main model,
averaged too. Only runs of different seeds are compared: those of one seed saw the examples in the same order, and
agree for that. Scores that a map lacks (adjusted variability of older runs) are left out. Prints JSON, a row for each
kind of average, number of main runs, and score:

- `overlap`: Jaccard, of the sets that the score would choose, ties drawn by lot; `chance` is that of random sets.
- `correlation`: Spearman's, of the score.
- `overlap_of_one`, `correlation_of_one`: what the runs of the average reach singly, against the same main runs.
- `num_better`: comparisons, of `num_comparisons`, in which the average's overlap is above that.

After `python benchmarks/results.py --open FOLDER` the folder is a workspace of the results that are kept.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ftft_core.comparison import SCORE_ENDS, Candidate, average_maps, find_candidates, jaccard_by_chance, likely_main
from ftft_core.comparison.alignment import align_maps
from ftft_core.comparison.transfer import centred_ranks, chosen_shares, correlation_of_ranks, jaccard
from ftft_core.workspace import Workspace

MOST_AVERAGED = 3
Runs = tuple[str, ...]
Seeds = Mapping[str, int | None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspaces", nargs="+", type=Path, metavar="WORKSPACE")
    parser.add_argument("--fraction", type=float, default=1 / 3, help="share of the examples in each set (a third)")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    skipped = []
    for folder in given.workspaces:
        if not (folder / "ftft.duckdb").exists():
            sys.exit(f"There is no workspace at {folder}.")
        workspace = Workspace(folder)
        for suite in workspace.suites()["suite"]:
            found = rows_of(workspace, str(suite), given.fraction)
            rows += found
            skipped += [] if found else [f"{folder.name}, {suite}: no two runs of different seeds to hold together"]
    print(json.dumps({"fraction": given.fraction, "rows": rows, "skipped": skipped}, indent=1))


def rows_of(workspace: Workspace, suite: str, fraction: float) -> list[dict[str, Any]]:
    """Give the rows of a suite; none where nothing can be compared."""
    runs = workspace.transferable_runs(suite)
    runs = runs[runs["method"].isin(["erm", "reference"]) & (runs["fraction"] == 1) & (runs["status"] == "finished")]
    candidates, _ = find_candidates(runs)
    chosen = likely_main(candidates)
    if chosen is None or sum(len(each.runs) for each in candidates) < 2:
        return []
    seeds = {run: seed for each in candidates for run, seed in zip(each.runs, each.seeds, strict=True)}
    maps, _ = align_maps({run: workspace.map_frame(run) for run in seeds})
    judge = Judge(maps, fraction)
    known = [score for score in SCORE_ENDS if all(each[score].notna().all() for each in maps.values())]
    rows = []
    for name, num_averaged, cost, ways in averages_of(candidates, seeds):
        for num_main in range(1, min(MOST_AVERAGED, len(chosen.runs)) + 1):
            pairs = [(way, held) for way in ways for held in combinations(chosen.runs, num_main)
                     if are_apart(way, held, seeds)]  # fmt: skip
            share = cost / chosen.cost if cost is not None and chosen.cost else None
            facts = {"suite": suite, "main": chosen.name, "average": name, "num_averaged": num_averaged,
                     "cost_share": share, "num_main": num_main}  # fmt: skip
            rows += [{**facts, "score": score, **plain(judge.compare(pairs, score))} for score in known if pairs]
    return rows


def averages_of(
    candidates: Sequence[Candidate], seeds: Seeds
) -> Iterator[tuple[str, int, float | None, Sequence[Runs]]]:
    """Give name, number of runs, cost, and the ways to pick the runs, of every kind of average."""
    for each in candidates:
        for number in range(1, min(MOST_AVERAGED, len(each.runs)) + 1):
            cost = None if each.cost is None else number * each.cost
            yield each.name, number, cost, list(combinations(each.runs, number))
    for a, b in combinations(candidates, 2):
        cost = None if a.cost is None or b.cost is None else a.cost + b.cost
        ways = [way for way in product(a.runs, b.runs) if are_apart(way[:1], way[1:], seeds)]
        yield f"{a.name} with {b.name}", 2, cost, ways


def plain(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """Give numbers that JSON has a word for: the correlation of a score that is the same for all is none."""
    return {name: None if math.isnan(value) else value for name, value in numbers.items()}


def are_apart(way: Runs, held: Runs, seeds: Seeds) -> bool:
    """Whether no run is in both, and no known seed."""
    known = {seeds[run] for run in way} - {None}
    return not set(way) & set(held) and not known & {seeds[run] for run in held}


class Judge:
    """Compares averages of aligned maps; what an average chooses, and its ranks, are computed once."""

    def __init__(self, maps: Mapping[str, pd.DataFrame], fraction: float) -> None:
        self.maps, self.fraction = maps, fraction
        self._averages: dict[Runs, pd.DataFrame] = {}
        self._seen: dict[tuple[Runs, str], tuple[Any, Any]] = {}

    def compare(self, pairs: Sequence[tuple[Runs, Runs]], score: str) -> dict[str, float]:
        """Give the means over pairs of runs to average and main runs to hold them against."""
        found = np.array([self._agreement(way, held, score) for way, held in pairs])  # (pairs, 2)
        single = np.array(
            [np.mean([self._agreement((run,), held, score) for run in way], axis=0) for way, held in pairs]
        )
        chosen = self._look(pairs[0][0], score)[0]
        return {
            "overlap": float(found[:, 0].mean()),
            "overlap_of_one": float(single[:, 0].mean()),
            "chance": jaccard_by_chance(float(chosen.mean())),
            "correlation": float(found[:, 1].mean()),
            "correlation_of_one": float(single[:, 1].mean()),
            "num_better": int((found[:, 0] > single[:, 0]).sum()),
            "num_comparisons": len(pairs),
        }

    def _agreement(self, way: Runs, held: Runs, score: str) -> tuple[float, float]:
        (shares_a, ranks_a), (shares_b, ranks_b) = self._look(way, score), self._look(held, score)
        return jaccard(shares_a, shares_b), correlation_of_ranks(ranks_a, ranks_b)

    def _look(self, runs: Runs, score: str) -> tuple[Any, Any]:
        if runs not in self._averages:
            self._averages[runs] = average_maps({run: self.maps[run] for run in runs})
        if (runs, score) not in self._seen:
            average = self._averages[runs]
            self._seen[runs, score] = chosen_shares(average, score, self.fraction), centred_ranks(average, score)
        return self._seen[runs, score]


if __name__ == "__main__":
    main()
