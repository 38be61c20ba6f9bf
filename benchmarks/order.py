"""How much of a data map is the order in which the examples were seen, and what is left when that is taken off.

`python benchmarks/order.py WORKSPACE [--suite NAME]` trains nothing: it takes the finished runs on all data of a suite.
Of runs that were recorded before batches were counted it computes the order again, from seed, lengths and batch size,
for which it needs their folders: kept results have none, so runs that were kept without batches are left out.
Prints JSON. `models`, a row for each model and method, means over its seeds or pairs of seeds, each by variability and
by adjusted variability:

- `first_quarter`: share of the most variable third that was seen in the first quarter of the first epoch (0.25 if the
  order had no say).
- `reliability`: Spearman correlation of two seeds.
- `overlap`: Jaccard, of the most variable thirds of two seeds; 0.20 by chance.

`pairs`, a row for each two of them: the same correlation and overlap between different seeds of one and the other.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from ftft_core.cartography import compute_data_map
from ftft_core.dynamics import TrainingDynamics
from ftft_core.modeling.encoder import load_tokenizer
from ftft_core.run_folder import RunFolder
from ftft_core.suites import read_suite, tokenise
from ftft_core.training.batches import BatchOrder
from ftft_core.workspace import Workspace

SCORES = ("variability", "adjusted_variability")
Maps = dict[int, dict[str, npt.NDArray[np.float64]]]
"""Seed -> score -> (N,) values; `first_batch` is the batch of the first epoch."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, metavar="WORKSPACE")
    parser.add_argument("--suite", default="sample")
    given = parser.parse_args()
    if not (given.workspace / "ftft.duckdb").exists():
        sys.exit(f"There is no workspace at {given.workspace}.")
    workspace = Workspace(given.workspace)
    groups: dict[str, Maps] = {}
    left_out = []
    for run in workspace.runs(given.suite).to_dict("records"):
        is_whole = run["status"] == "finished" and run["fraction"] == 1 and run["counted_epochs"] >= 2
        if is_whole and run["method"] in ("erm", "reference") and run["num_layers"]:
            name = f"{Path(run['model']).name}, {run['num_layers']} layers, {run['method']}"
            try:
                groups.setdefault(name, {})[int(run["seed"])] = maps_of(workspace, run)
            except FileNotFoundError:
                left_out.append(run["name"])
    groups = {name: maps for name, maps in groups.items() if maps}
    models = [of_one(name, maps) for name, maps in groups.items()]
    pairs = [row for a, b in combinations(groups, 2) if (row := of_two(a, b, groups))]
    print(json.dumps({"models": models, "pairs": pairs, "order_not_known": left_out}, indent=1))


def maps_of(workspace: Workspace, run: dict[str, Any]) -> dict[str, npt.NDArray[np.float64]]:
    dynamics = workspace.dynamics(run["run_id"])
    if dynamics.steps is None or (dynamics.steps < 0).any():
        dynamics = with_order(workspace, run, dynamics)
    data_map = compute_data_map(dynamics)
    values = {score: data_map[score].to_numpy(dtype=np.float64) for score in SCORES}
    assert dynamics.steps is not None
    return {**values, "first_batch": dynamics.steps[0].astype(np.float64)}


def with_order(workspace: Workspace, run: dict[str, Any], dynamics: TrainingDynamics) -> TrainingDynamics:
    """Compute again in which batch each example was seen."""
    facts = RunFolder(workspace.folder / "runs" / run["run_id"]).read_run()
    config = facts["config"]
    suite = read_suite(workspace.folder / facts["suite_folder"])
    lengths = tokenise(
        load_tokenizer(config["model"]), suite.train, max_length=config["training"]["max_length"]
    ).lengths
    order = BatchOrder(lengths, config["training"]["batch_size"], config["seed"])
    steps = np.empty(dynamics.seen.shape, dtype=np.int64)
    for epoch in range(dynamics.num_epochs):
        for batch in order.epoch(epoch):
            steps[epoch, batch.rows] = batch.index
    return TrainingDynamics(
        dynamics.example_ids, dynamics.labels, dynamics.logits, dynamics.seen, dynamics.label_names, steps
    )


def of_one(name: str, maps: Maps) -> dict[str, Any]:
    row: dict[str, Any] = {"model": name, "num_runs": len(maps)}
    for score in SCORES:
        first = [float(np.mean(each["first_batch"][top(each[score])] < (each["first_batch"].max() + 1) / 4))
                 for each in maps.values()]  # fmt: skip
        row |= {f"{score}, first_quarter": round(float(np.mean(first)), 3)}
        row |= agreement(score, [(a[score], b[score]) for a, b in combinations(maps.values(), 2)], "reliability")
    return row


def of_two(a: str, b: str, groups: dict[str, Maps]) -> dict[str, Any] | None:
    pairs = [(i, k) for i, k in product(groups[a], groups[b]) if i != k]
    if not pairs:
        return None
    row: dict[str, Any] = {"models": [a, b], "num_pairs": len(pairs)}
    for score in SCORES:
        row |= agreement(score, [(groups[a][i][score], groups[b][k][score]) for i, k in pairs], "correlation")
    return row


def agreement(score: str, pairs: list[tuple[Any, Any]], name: str) -> dict[str, float]:
    """Mean rank correlation, under this name, and mean overlap of the highest thirds; nothing without pairs."""
    if not pairs:
        return {}
    overlaps = []
    for a, b in pairs:
        tops = set(top(a)), set(top(b))
        overlaps.append(len(tops[0] & tops[1]) / len(tops[0] | tops[1]))
    correlation = np.mean([spearmanr(a, b).statistic for a, b in pairs])
    return {
        f"{score}, {name}": round(float(correlation), 3),
        f"{score}, overlap": round(float(np.mean(overlaps)), 3),
    }


def top(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return np.argsort(-values, kind="stable")[: round(len(values) / 3)]


if __name__ == "__main__":
    main()
