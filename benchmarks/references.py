"""Which reference transfers on the sample suite: overlap of its ambiguous third with the main model's, and its cost.

Trains the main model (MiniLM) with two seeds for the demo's full budget, and references of seed 0 that are cut to
their first layers, with several budgets and learning rates. Prints JSON; takes about half an hour on two cores, and
goes on where it was when it is given a folder to keep its runs in: `python benchmarks/references.py FOLDER`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ftft_core.config import parse
from ftft_core.experiments import PlannedRun, Recipe, plan_experiment, prepare_demo, run_experiment
from ftft_core.workspace import Workspace

REFERENCES = [
    # layers, epochs, learning rate
    (3, 2, 2e-4),
    (3, 3, 5e-5),
    (4, 2, 5e-5),
    (4, 2, 1e-4),
    (4, 2, 2e-4),
    (4, 3, 5e-5),
    (5, 2, 5e-5),
]
MAIN_SEEDS = [0, 1]


def main(folder: Path) -> None:
    workspace = Workspace(folder)
    demo = prepare_demo(workspace)
    shared = {"suite": demo.suite, "main_model": {"model": "minilm"}, "epochs": demo.epochs}
    mains = run(workspace, {**shared, "methods": ["erm"], "seeds": MAIN_SEEDS})
    runs = {f"main, seed {each.seed}": each for each in mains}
    for layers, epochs, learning_rate in REFERENCES:
        reference = {"model": "minilm", "layers": layers, "epochs": epochs}
        training = {"reference": {"learning_rate": learning_rate}}
        found = run(workspace, {**shared, "methods": ["reference"], "reference_model": reference, "training": training})
        runs[f"{layers} layers, {epochs} epochs, learning rate {learning_rate:g}"] = found[0]
    facts = {name: workspace.run(str(each.run_id)) for name, each in runs.items()}
    name_of = {row["name"]: name for name, row in facts.items()}
    transfer = workspace.transfer([row["run_id"] for row in facts.values()])
    overlap = {
        frozenset((name_of[row["run_a"]], name_of[row["run_b"]])): row["jaccard"]
        for row in transfer.overlaps.to_dict("records")
    }
    easy = {name_of[row["run"]]: row["easy_share"] for row in transfer.ambiguous_sets.to_dict("records")}
    first, second = (f"main, seed {seed}" for seed in MAIN_SEEDS)
    rows = [
        {
            "reference": name,
            "cost_share": row["train_flops"] / facts[first]["train_flops"],
            "overlap_same_seed": overlap[frozenset((name, first))],
            "overlap_other_seed": overlap[frozenset((name, second))],
            "easy_share": easy[name],
        }
        for name, row in facts.items()
        if not name.startswith("main")
    ]
    ceiling = overlap[frozenset((first, second))]
    print(json.dumps({"overlap_between_main_seeds": ceiling, "by_chance": 0.2, "references": rows}, indent=1))


def run(workspace: Workspace, values: dict[str, object]) -> Sequence[PlannedRun]:
    planned = plan_experiment(workspace, parse(Recipe, values, what="The benchmark's recipe"))
    run_experiment(workspace, planned, watch=lambda _: None)
    return planned


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
