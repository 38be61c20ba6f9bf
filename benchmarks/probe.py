"""How often a short probe of the main model foretold which references transfer, counted over a workspace's suites.

`python benchmarks/probe.py WORKSPACE [WORKSPACE ...]` trains nothing: it takes every main model that has at
least three finished `erm` runs on all data of a suite (one is the probe, two make the ceiling) and what is cheaper. The
probe is the first epoch of the main model's run of lowest seed; what came of it is told by the other seeds, so that
no run is held against itself. A reference counts once: was it rightly called good enough, or not? Writes its cases to
docs/results/probe.json, where the page finds them, and prints the counts as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ftft_core.comparison import Candidate, advise, count_probes, estimate, find_candidates, probe_map
from ftft_core.comparison.probing import ProbeCase
from ftft_core.workspace import Workspace
from ftft_core.workspace.transfers import PROBE_COUNTS

FEWEST_SEEDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspaces", nargs="+", type=Path, metavar="WORKSPACE")
    parser.add_argument("--out", type=Path, default=PROBE_COUNTS, help="where the cases are kept")
    given = parser.parse_args()
    cases, skipped = [], []
    for folder in given.workspaces:
        if not (folder / "ftft.duckdb").exists():
            sys.exit(f"There is no workspace at {folder}.")
        workspace = Workspace(folder)
        for suite in workspace.suites()["suite"]:
            found, reason = cases_of(workspace, str(suite))
            cases += found
            skipped += [f"{suite}: {reason}"] if reason else []
    counts = count_probes(cases)
    document = {"cases": [vars(case) for case in cases], "skipped": skipped}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({**document, "counts": vars(counts), "words": counts.words}, indent=1))


def cases_of(workspace: Workspace, suite: str) -> tuple[list[ProbeCase], str | None]:
    """Give the cases of a suite, or why there is none."""
    runs = workspace.transferable_runs(suite)
    runs = runs[runs["method"].isin(["erm", "reference"]) & (runs["fraction"] == 1) & (runs["status"] == "finished")]
    candidates, _ = find_candidates(runs)
    mains = [each for each in candidates if "erm" in each.methods and len(each.runs) >= FEWEST_SEEDS]
    if not mains:
        return [], f"fewer than {FEWEST_SEEDS} seeds of a main model"
    cases = [case for chosen in mains for case in cases_of_main(workspace, suite, chosen, candidates)]
    return cases, None if cases else "no reference that is cheaper than the main model"


def cases_of_main(
    workspace: Workspace, suite: str, chosen: Candidate, candidates: Sequence[Candidate]
) -> list[ProbeCase]:
    """Give the cases of one main model: one for each candidate that is cheaper."""
    references = [each for each in candidates if each is not chosen and is_cheaper(each, chosen)]
    if not references:
        return []
    probe_run, *judging = chosen.runs
    groups = {each.name: each.runs for each in references}
    costs = {each.name: each.cost for each in references}
    seeds = {run: seed for each in candidates for run, seed in zip(each.runs, each.seeds, strict=True)}
    maps = {run: workspace.map_frame(run) for run in [*judging, *(run for each in groups.values() for run in each)]}
    firsts = {run: probe_map(workspace.dynamics(run), epochs=1) for each in groups.values() for run in each}
    probe = probe_map(workspace.dynamics(probe_run), epochs=1)
    said = estimate(probe, maps, firsts, groups, costs, seeds=seeds, probe_seed=seeds[probe_run])
    came = advise(maps, judging, groups, costs, seeds=seeds)
    both = said.references.merge(came.references, on="reference", suffixes=("_estimated", "_actual"))
    return [
        ProbeCase(
            suite=suite,
            main=chosen.name,
            reference=str(row["reference"]),
            estimated_overlap=float(row["overlap_estimated"]),
            actual_overlap=float(row["overlap_actual"]),
            estimated_good=bool(row["good_enough_estimated"]) if pd.notna(row["good_enough_estimated"]) else None,
            actual_good=bool(row["good_enough_actual"]),
        )
        for row in both.to_dict("records")
    ]


def is_cheaper(reference: Candidate, chosen: Candidate) -> bool:
    return reference.cost is not None and chosen.cost is not None and reference.cost < chosen.cost


if __name__ == "__main__":
    main()
