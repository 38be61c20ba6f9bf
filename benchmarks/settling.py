"""When a reference's map settles: its selection epoch by epoch, and what ending by `stop: settled` saves and loses.

Trains the demo's reference (MiniLM cut to its first 4 layers) for six epochs with three seeds, and once more with
`stop: settled`. Says for each epoch how much of its ambiguous third (as a Jaccard overlap; 0.2 by chance) is that of
the epoch before, that of its last epoch, and that of another seed's last epoch. Two selections in a row share all
epochs but one, so they are alike also where a map goes nowhere: how much, it says by drawing each example's epochs in a
random order. Prints JSON; takes about 20 minutes on two cores, and goes on where it was when it is given a folder to
keep its runs in: `python benchmarks/settling.py FOLDER`.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Set
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ftft_core.config import STOP_DEFAULTS, parse
from ftft_core.experiments import Recipe, plan_experiment, prepare_demo, run_experiment
from ftft_core.workspace import Workspace

LAYERS = 4
EPOCHS = 6
SEEDS = [0, 1, 2]
SHUFFLES = 10
FRACTION = STOP_DEFAULTS["settled"]["settled_fraction"]
THRESHOLD = STOP_DEFAULTS["settled"]["settled_overlap"]


def main(folder: Path) -> None:
    workspace = Workspace(folder)
    demo = prepare_demo(workspace)
    reference = {"model": "minilm", "layers": LAYERS, "epochs": EPOCHS}
    shared = {
        "suite": demo.suite,
        "main_model": {"model": "minilm"},
        "methods": ["reference"],
        "epochs": EPOCHS,
        "training": {"reference": demo.training.reference},
    }
    wholes = run(workspace, {**shared, "reference_model": reference, "seeds": SEEDS})
    (stopped,) = run(workspace, {**shared, "reference_model": {**reference, "stop": "settled"}, "seeds": SEEDS[:1]})
    probabilities = [workspace.gold_probabilities(each)[1] for each in wholes]  # each (epochs, examples)
    chosen = [[ambiguous(each[:k]) for k in range(2, EPOCHS + 1)] for each in probabilities]
    num_steps = int(workspace.run(wholes[0])["num_optimizer_steps"])
    references = []
    for number, seed in enumerate(SEEDS):
        shuffled = overlaps_of_shuffled(probabilities[number])
        others = [each[-1] for place, each in enumerate(chosen) if place != number]
        rows = [
            {
                "epoch": place + 2,
                "with_epoch_before": overlap(chosen[number][place - 1], selection) if place else None,
                "by_shuffled_epochs": shuffled[place - 1] if place else None,
                "with_last_epoch": overlap(chosen[number][-1], selection),
                "with_last_epoch_of_other_seeds": float(np.mean([overlap(other, selection) for other in others])),
            }
            for place, selection in enumerate(chosen[number])
        ]
        end = next((row for row in rows[1:] if (row["with_epoch_before"] or 0) >= THRESHOLD), rows[-1])
        references.append({"seed": seed, "settles_after": end["epoch"], "epochs": rows})
    row = workspace.run(stopped)
    own = ambiguous(workspace.gold_probabilities(stopped)[1])
    result = {
        "threshold": THRESHOLD,
        "num_steps": num_steps,
        "references": references,
        "stopped_by_it": {
            "message": row["message"],
            "num_steps": int(row["num_optimizer_steps"]),
            "flops_share": row["train_flops"] / workspace.run(wholes[0])["train_flops"],
            "overlap_with_whole_budget": overlap(own, chosen[0][-1]),
        },
    }
    print(json.dumps(result, indent=1))


def run(workspace: Workspace, values: dict[str, object]) -> list[str]:
    planned = plan_experiment(workspace, parse(Recipe, values, what="The benchmark's recipe"))
    run_experiment(workspace, planned, watch=lambda _: None)
    return [str(each.run_id) for each in planned]


def ambiguous(gold_probabilities: NDArray[np.float32]) -> Set[int]:
    """Give the rows whose gold probability (epochs, examples) varies most; ties go by their order."""
    variability = gold_probabilities.astype(np.float64).std(axis=0)
    return set(np.argsort(-variability, kind="stable")[: round(FRACTION * len(variability))].tolist())


def overlap(one: Set[int], other: Set[int]) -> float:
    return len(one & other) / len(one | other)


def overlaps_of_shuffled(gold_probabilities: NDArray[np.float32]) -> list[float]:
    """Overlaps of selections in a row, from the third epoch on, when every example's epochs stand in random order."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(SHUFFLES):
        shuffled = generator.permuted(gold_probabilities, axis=0)
        chosen = [ambiguous(shuffled[:k]) for k in range(2, EPOCHS + 1)]
        found.append([overlap(before, now) for before, now in itertools.pairwise(chosen)])
    return [float(value) for value in np.mean(found, axis=0)]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
