"""All scores of 550,000 examples x 6 epochs x 3 classes from the database, beside one example at a time.

The core reads the logits of all epochs and computes the thirteen scores of every example that follow from logits alone
(adjusted variability needs the batches too); nothing comes from the scores that are stored. The other side goes example
by example and epoch by epoch, a softmax of torch and a mean and a standard deviation of NumPy each, which is how
allenai/cartography computes its five scores; it is run on a sample and scaled to the whole. Prints JSON; `ratio` is how
many times faster the core is, reading from the database included: the median of runs that took turns.
"""

from __future__ import annotations

import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from ftft_core.dynamics import TrainingDynamics
from ftft_core.workspace import Workspace

NUM_EXAMPLES, NUM_EPOCHS, NUM_CLASSES = 550_000, 6, 3
NUM_PLAIN = 5_000
REPEATS = 5


def main() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(NUM_EPOCHS, NUM_EXAMPLES, NUM_CLASSES)).astype(np.float32)
    labels = generator.integers(NUM_CLASSES, size=NUM_EXAMPLES)
    dynamics = TrainingDynamics.from_arrays(np.arange(NUM_EXAMPLES).astype(str), labels, logits)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        workspace.import_dynamics(dynamics, name="benchmark")
        core, plain = [], []
        # One after the other, so that whatever else the machine does weighs on both.
        for _ in range(REPEATS):
            started = time.perf_counter()
            frame = workspace.recompute_map_frame("benchmark")
            core.append(time.perf_counter() - started)
            started = time.perf_counter()
            scores = plain_scores(logits[:, :NUM_PLAIN].tolist(), labels[:NUM_PLAIN].tolist())
            plain.append((time.perf_counter() - started) * NUM_EXAMPLES / NUM_PLAIN)
    ours = frame[["confidence", "variability", "correct_epochs", "forgetting_events", "threshold_closeness"]]
    ratios = sorted(theirs / mine for theirs, mine in zip(plain, core, strict=True))
    result = {
        "examples": NUM_EXAMPLES,
        "core_seconds": statistics.median(core),
        "one_at_a_time_seconds": statistics.median(plain),
        "ratio": statistics.median(ratios),
        "ratio_lowest": ratios[0],
        "ratio_highest": ratios[-1],
        "largest_difference": float(np.abs(ours[:NUM_PLAIN].to_numpy() - np.array(scores)).max()),
    }
    print(json.dumps(result, indent=1))


def plain_scores(logits: list[list[list[float]]], labels: list[int]) -> list[tuple[float, ...]]:
    """Confidence, variability, correctness, forgetting and threshold closeness, one example at a time."""
    scores = []
    for row, label in enumerate(labels):
        gold, right = [], []
        for epoch in logits:
            probabilities = torch.nn.functional.softmax(torch.tensor(epoch[row]), dim=-1)
            gold.append(float(probabilities[label]))
            right.append(bool(np.argmax(epoch[row]) == label))
        confidence = float(np.mean(gold))
        forgetting = sum(before and not after for before, after in itertools.pairwise(right))
        scores.append((confidence, float(np.std(gold)), sum(right), forgetting, confidence * (1 - confidence)))
    return scores


if __name__ == "__main__":
    main()
