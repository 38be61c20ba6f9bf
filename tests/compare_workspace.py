"""A workspace full of finished runs to compare, made without training: the store takes in files as a trainer's.

The suite "talk" has a test split in distribution, and out of it one with groups, one whose labels are merged, and one
with a single label. Predictions are drawn: an example's difficulty is shared by all runs, skill is the method's, and
every seed adds noise of its own.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from safetensors.numpy import save_file

from ftft_core.config import BudgetConfig, RunConfig, TrainingConfig
from ftft_core.metrics import score_split
from ftft_core.run_folder import write_parquet
from ftft_core.selection import Recipe
from ftft_core.workspace import Workspace
from tests.copies import copy_of

SUITE = "talk"
LABELS = ("calm", "rude", "hateful")
SIZES = {"train": 120, "dev": 60, "forum": 150, "news": 200, "checks": 240, "praise": 80}
GROUPS = ("counter speech", "negation", "<i>slurs</i> **reclaimed** $x$", "spelling", "threats")
MERGED = {"news": {"not hateful": ["calm", "rude"]}}
STEPS = 120
AWKWARD = '<img src=x onerror="document.title=1"> **bold** $x^2$'
TWIN = 3
"""Example of `forum` whose text is that of the training example of the same number."""

SPEC = """\
text: text
label: label
labels: [calm, rude, hateful]
group: kind
train: train.csv
dev: dev.csv
in_distribution: {forum: forum.csv}
out_of_distribution:
  news: {file: news.csv, label_map: {not hateful: [calm, rude]}}
  checks: checks.csv
  praise: praise.csv
"""


@dataclass(frozen=True)
class Made:
    """How the runs of one method come out."""

    method: str
    skill: float
    tera_flops: float
    seeds: Sequence[int] = (0, 1, 2)
    subset: str | None = None
    reference: bool = False
    training: Mapping[str, Any] = field(default_factory=dict)
    failed: Sequence[int] = ()
    snapshots: int = 5
    suffix: str = ""
    precision: str | None = None
    """Known of runs whose training began, and of no failed one."""


USUAL = (
    Made("erm", 1.15, 60),
    Made("erm", 1.1, 60, seeds=(0, 1), training={"learning_rate": 2e-5}, suffix="-slow"),
    Made("erm_matched", 1.0, 29),
    Made("ftft", 1.3, 20, subset="ambiguous-{seed}", reference=True, failed=(3,)),
    Made("random", 0.95, 20, subset="random-{seed}"),
)


def make_compare_workspace(folder: Path, made: Sequence[Made] = USUAL) -> Workspace:
    """Make it: by default five versions of four methods with three seeds each, one with two; of one a fourth failed."""
    return copy_of(_make_usual, folder) if made is USUAL else _make(folder, made)


def _make_usual(folder: Path) -> Workspace:
    return _make(folder, USUAL)


def _make(folder: Path, made: Sequence[Made]) -> Workspace:
    data = folder / "talk-data"
    data.mkdir(parents=True)
    for split, size in SIZES.items():
        with (data / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label", "kind"])
            for row in range(size):
                writer.writerow(
                    [_text(split, row), _gold_name(split, row), GROUPS[row % 5] if split == "checks" else ""]
                )
    (data / "spec.yaml").write_text(SPEC, encoding="utf-8")
    model = folder / "mini-lm"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "bert", "num_hidden_layers": 6}), encoding="utf-8")
    (model / "vocab.txt").write_text("[PAD]\n[UNK]\n", encoding="utf-8")  # looked for, never read: nothing trains
    save_file({"embeddings.weight": np.zeros((2, 2), dtype=np.float32)}, model / "model.safetensors")
    workspace = Workspace(folder / "compare")
    workspace.add_suite(SUITE, data / "spec.yaml")
    with workspace.database.reading():  # opened once for all that follows
        for each in made:
            add_runs(workspace, model, each)
        workspace.sync()
    return workspace


def add_runs(workspace: Workspace, model: Path, made: Made) -> None:
    """Add the runs of one method, finished, with their references and subsets where they need some."""
    for seed in [*made.seeds, *made.failed]:
        subset, reference = None, None
        if made.reference:
            reference = _reference(workspace, model, seed)
        if made.subset is not None:
            subset = _subset(workspace, made.subset.format(seed=seed), reference, seed)
        run = workspace.queue_run(
            RunConfig(
                suite=SUITE, model=str(model), name=f"{made.method}{made.suffix}-{seed}", method=made.method, seed=seed,
                subset=subset, reference=reference, budget=BudgetConfig(max_steps=STEPS),
                training=TrainingConfig(**made.training),
            )
        )  # fmt: skip
        if seed in made.failed:
            workspace.run_folder(run).set_status("failed", "the disk is full")
            continue
        leave_predictions(workspace, run, made, seed)
        if made.snapshots:
            leave_scores(workspace, run, made, seed)
        finish(workspace, run, 1e12 * made.tera_flops, precision=made.precision)


def drawn_logits(split: str, made: Made, seed: int, share: float) -> npt.NDArray[np.float32]:
    """(n, 3) logits after a share of the training."""
    size, number = SIZES[split], list(SIZES).index(split)
    gold = np.array([LABELS.index(_fine_label(split, row)) for row in range(size)])
    ease = np.random.default_rng(number).normal(0, 1.2, size)
    own = np.random.default_rng([number, seed, sum(map(ord, made.method + made.suffix))])
    skill = made.skill * (1 - np.exp(-4 * share)) - 0.16 * number + own.normal(0, 0.05)
    margin = skill + ease + own.normal(0, 0.7, size)
    logits = own.normal(0, 0.6, (size, 3))
    logits[np.arange(size), gold] += 1.6 * margin
    return logits.astype(np.float32)


def leave_predictions(workspace: Workspace, run: str, made: Made, seed: int) -> None:
    """Leave the kept model's logits on all splits in the run's outbox, in one file."""
    tables = []
    for split in list(SIZES)[1:]:
        logits = drawn_logits(split, made, seed, 1.0)
        table = {
            "split": pa.array([split] * len(logits), pa.string()),
            "position": pa.array(np.arange(len(logits)), pa.int64()),
            "logits": pa.array(logits.tolist(), pa.list_(pa.float32())),
        }
        tables.append(pa.table(table))
    write_parquet(workspace.run_folder(run).outbox / "predictions-all.parquet", pa.concat_tables(tables))


def leave_scores(workspace: Workspace, run: str, made: Made, seed: int) -> None:
    """Leave the scores that looks at dev and the test splits give on the way, in one file."""
    tables = []
    for place in range(1, made.snapshots + 1):
        share = place / (made.snapshots + 1)
        for split in list(SIZES)[1:]:
            gold = [_gold_name(split, row) for row in range(SIZES[split])]
            scores = score_split(drawn_logits(split, made, seed, share), gold, LABELS, label_map=MERGED.get(split))
            columns = {
                "split": pa.array([split] * len(scores), pa.string()),
                "group": pa.array(scores["group"], pa.string(), from_pandas=True),
                "step": pa.array([round(STEPS * share)] * len(scores), pa.int64()),
                "metric": pa.array(scores["metric"], pa.string()),
                "value": pa.array(scores["value"], pa.float64()),
                "final": pa.array([False] * len(scores), pa.bool_()),
            }
            tables.append(pa.table(columns))
    write_parquet(workspace.run_folder(run).outbox / "scores-all.parquet", pa.concat_tables(tables))


def finish(workspace: Workspace, run: str, flops: float, *, steps: int = STEPS, precision: str | None = None) -> None:
    """Write progress and state as at the end of a training; the next `sync` takes everything in."""
    folder = workspace.run_folder(run)
    folder.write_progress(
        {"stage": "finished", "step": steps, "num_steps": steps, "epoch": 3, "num_epochs": 3, "loss": 0.2,
         "fraction": 1.0, "seconds_left": 0.0, "examples_seen": 32 * steps, "train_flops": flops,
         "evaluation_flops": 0.0, "train_seconds": flops / 5e11}
    )  # fmt: skip
    folder.set_status("finished", "done", **({} if precision is None else {"precision": precision}))


def _reference(workspace: Workspace, model: Path, seed: int) -> str:
    """Make a cheaper reference of two layers with a whole map, once a seed."""
    name = f"reference-{seed}"
    if name in set(workspace.runs(SUITE)["name"]):
        return name
    run = workspace.queue_run(
        RunConfig(suite=SUITE, model=str(model), layers=2, name=name, method="reference", seed=seed,
                  budget=BudgetConfig(epochs=3))
    )  # fmt: skip
    size = SIZES["train"]
    random = np.random.default_rng(seed)
    ease = np.random.default_rng(9).normal(1, 1, size)
    gold = np.array([LABELS.index(_fine_label("train", row)) for row in range(size)])
    for epoch in range(3):
        logits = random.normal(0, 0.5, (size, 3))
        logits[np.arange(size), gold] += ease * (epoch + 1) / 2
        table = {
            "epoch": pa.array(np.full(size, epoch), pa.int32()),
            "position": pa.array(np.arange(size), pa.int64()),
            "logits": pa.array(logits.astype(np.float32).tolist(), pa.list_(pa.float32())),
        }
        write_parquet(workspace.run_folder(run).outbox / f"dynamics-{epoch:05d}.parquet", pa.table(table))
    finish(workspace, run, 8e12)
    workspace.sync()
    return name


def _subset(workspace: Workspace, name: str, reference: str | None, seed: int) -> str:
    if name in set(workspace.subsets(SUITE)["name"]):
        return name
    strategy = "random" if reference is None else "ambiguous"
    source = None if reference is None else str(workspace.run(reference)["run_id"])
    recipe = Recipe(source_run=source, strategy=strategy, fraction=0.33, seed=seed)
    return workspace.save_subset(recipe, name=name, suite=SUITE).name


def _text(split: str, row: int) -> str:
    if (split, row) == ("forum", TWIN):
        return _text("train", row)
    if (split, row) == ("checks", 0):
        return AWKWARD
    return f"{split}: somebody says something, number {row}, and somebody else has a word to say about it"


def _fine_label(split: str, row: int) -> str:
    return "hateful" if split == "praise" else LABELS[row % 3]


def _gold_name(split: str, row: int) -> str:
    """Label as it stands in the file: merged where the split merges."""
    label = _fine_label(split, row)
    return "not hateful" if split in MERGED and label != "hateful" else label
