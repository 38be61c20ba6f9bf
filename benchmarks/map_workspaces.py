"""Workspaces of any size for `benchmarks/map.py`: one suite of three labels and two runs of six epochs on it.

Nothing is trained. The dynamics are drawn so that a map has its three regions: most examples are learnt early, some
go back and forth, and a few, among them wrongly labelled ones, are never learnt. Texts are short sentences of a
small vocabulary in which some words go with a label; groups are genres. Everything is kept through the same calls
that an import of other tools' dynamics takes. By hand: `python benchmarks/map_workspaces.py FOLDER 1000000`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ftft_core.dynamics import TrainingDynamics
from ftft_core.suites import Suite
from ftft_core.workspace import Workspace

SUITE = "benchmark"
RUNS = ("small", "large")
LABELS = ("entailment", "neutral", "contradiction")
GENRES = ("fiction", "government", "telephone", "travel")
NUM_EPOCHS = 6
NUM_DEV = 300
NUM_WORDS = 4_000
NUM_CUES = 40
"""Words that go with each label."""

SHARES = {"easy": 0.62, "ambiguous": 0.25, "hard": 0.13}
NOISY = 0.03
"""Share of examples with another label than their text suggests."""


def make_workspace(folder: Path, num_examples: int) -> Workspace:
    """Make the workspace, or open it if it is there already."""
    workspace = Workspace(folder)
    if len(workspace.runs()) == len(RUNS):
        return workspace
    generator = np.random.default_rng(0)
    true = generator.integers(len(LABELS), size=num_examples)
    is_noisy = generator.random(num_examples) < NOISY
    given = np.where(is_noisy, (true + generator.integers(1, len(LABELS), size=num_examples)) % len(LABELS), true)
    kinds = generator.choice(len(SHARES), size=num_examples, p=list(SHARES.values()))
    train = split(generator, true, given)
    few = generator.integers(len(LABELS), size=NUM_DEV)
    dev = split(generator, few, few).assign(id=[f"dev-{number}" for number in range(NUM_DEV)])
    suite = Suite.from_frames(SUITE, train, dev, id="id", group="genre", labels=LABELS)
    workspace.keep_suite(suite)
    for number, run in enumerate(RUNS):
        values = logits(np.random.default_rng(number + 1), true, kinds, skill=1.0 + 0.5 * number)
        dynamics = TrainingDynamics.from_arrays(train["id"], given, values, label_names=LABELS)
        workspace.import_dynamics(dynamics, name=run, suite=SUITE, model=run)
    return workspace


def split(generator: np.random.Generator, true: npt.NDArray[np.int64], given: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Rows with texts that go with the true labels, under the given ones."""
    number = len(true)
    return pd.DataFrame(
        {
            "id": np.char.add("mnli-", np.arange(number).astype(str)).astype(object),
            "text": texts(generator, true),
            "label": np.array(LABELS, dtype=object)[given],
            "genre": np.array(GENRES, dtype=object)[generator.integers(len(GENRES), size=number)],
        }
    )


def texts(generator: np.random.Generator, labels: npt.NDArray[np.int64]) -> list[str]:
    """(N,) sentences of eight to fourteen words, frequent words first, with a word that goes with the label in most."""
    syllables = ["ka", "lo", "mi", "ren", "tu", "vas", "el", "dor", "ish", "pan", "cre", "bo"]
    first, second, third = (generator.integers(len(syllables), size=NUM_WORDS) for _ in range(3))
    words = [f"{syllables[a]}{syllables[b]}{syllables[c]}" for a, b, c in zip(first, second, third, strict=True)]
    number = len(labels)
    drawn = np.minimum(generator.zipf(1.3, size=(number, 14)), NUM_WORDS) - 1
    cue = NUM_WORDS - 1 - (labels * NUM_CUES + generator.integers(NUM_CUES, size=number))
    drawn[:, 3] = np.where(generator.random(number) < 0.7, cue, drawn[:, 3])
    lengths = generator.integers(8, 15, size=number)
    return [
        " ".join([words[word] for word in row[:length]]) for row, length in zip(drawn.tolist(), lengths, strict=True)
    ]


def logits(
    generator: np.random.Generator, true: npt.NDArray[np.int64], kinds: npt.NDArray[np.int64], *, skill: float
) -> npt.NDArray[np.float32]:
    """(epochs, N, classes) logits: the margin of the true label grows at a rate, with a swing, that its kind has."""
    number = len(true)
    rate = np.array([1.6, 0.35, -0.15])[kinds] * skill + generator.normal(0, 0.35, number)
    swing = np.array([0.35, 1.5, 0.6])[kinds]
    found = generator.normal(0, 0.4, size=(NUM_EPOCHS, number, len(LABELS))).astype(np.float32)
    for epoch in range(NUM_EPOCHS):
        found[epoch, np.arange(number), true] += rate * (epoch + 1) ** 0.6 + swing * generator.normal(size=number)
    return found


if __name__ == "__main__":
    make_workspace(Path(sys.argv[1]), int(sys.argv[2]))
