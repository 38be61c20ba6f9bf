"""A suite of awkward texts, with a run on all of it and one on a part, for the tests of tables and of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ftft_core import TrainingDynamics
from ftft_core.suites import Split, Suite
from ftft_core.workspace import Workspace

LABELS = ("yes", "no", "may be")
TEXTS = [
    'He said "no", twice',
    "two\nlines\r\nand a\rthird",
    "100 % of snake_case \\ it's",
    "=1+1",
    "emoji 😀 and שלום עולם, العربية",
    "null \x00 byte",
    "x" * 50_000,
    "",
    "plain Text",
    "plain text",
    " spaces around ",
    "NA",
]
IDS = [f"e{row}" for row in range(len(TEXTS))]
GOLD = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2])
SUBSET = np.array([1, 2, 4, 5, 8, 9, 11])


def logits_of(num_examples: int, num_epochs: int = 4, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (generator.normal(size=(num_epochs, num_examples, len(LABELS))) * 2).astype(np.float32)


def make_tables_workspace(folder: Path) -> Workspace:
    """Make the suite `awkward`, the run `all` on all of it, and the run `part` on a part of it."""
    made = Workspace(folder)
    pairs = [None if row % 2 else f"pair {row}" for row in range(len(TEXTS))]
    groups = [("b", "a", None)[row % 3] for row in range(len(TEXTS))]
    names = np.array(LABELS, dtype=object)[GOLD]
    examples = pd.DataFrame({"example_id": IDS, "text": TEXTS, "text_pair": pairs, "label": names, "group": groups})
    splits = (Split("train", "train", examples, None, "f"), Split("dev", "dev", examples[:2], None, "f"))
    made.keep_suite(Suite("awkward", LABELS, splits, "f" * 8, "f" * 8))
    logits = logits_of(len(IDS))
    logits[:, 3] = logits[:, 0]  # two of one label that tie in every score
    made.import_dynamics(
        TrainingDynamics.from_arrays(IDS, GOLD, logits, label_names=LABELS), name="all", suite="awkward"
    )
    part = TrainingDynamics.from_arrays(
        [IDS[row] for row in SUBSET], GOLD[SUBSET], logits_of(len(SUBSET), seed=1), label_names=LABELS
    )
    made.import_dynamics(part, name="part", suite="awkward")
    made.mark("awkward", ["e2", "e4"], "tag", "noisy", author="ann")
    made.mark("awkward", ["e2"], "tag", "check", author="ann")
    made.mark("awkward", ["e4"], "exclude", author="ann")
    made.mark("awkward", ["e2"], "note", "what is this?", author="ann")
    return made
