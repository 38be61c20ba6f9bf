"""A small workspace for the tests of pages: a suite with awkward texts, and runs whose files are written by hand.

Nothing is trained: the runs' folders get what a training process would have left, and the workspace takes it in.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from safetensors.numpy import save_file

from ftft_core.config import BudgetConfig, RunConfig
from ftft_core.dynamics import TrainingDynamics
from ftft_core.run_folder import write_parquet
from ftft_core.selection import Recipe
from ftft_core.workspace import Workspace
from tests.copies import copy_of

LABELS = ("no", "yes")
NUM_TRAIN = 240
NUM_TEST = 60
NUM_EPOCHS = 4
AWKWARD = "<b>bold</b> **stars** $x^2$ <script>alert(1)</script>"
"""Text of the first training example."""

SPEC = """\
text: text
label: label
labels: ["no", "yes"]
train: train.csv
dev: dev.csv
in_distribution: {usual: usual.csv}
out_of_distribution: {far: far.csv, farther: farther.csv}
"""


def make_workspace(folder: Path, *, with_comparison: bool = True) -> Workspace:
    """Make the workspace: the suite "toy", the finished reference run "map-run", and erm and ftft with two seeds."""
    return copy_of(_make_compared if with_comparison else _make_alone, folder)


def _make_alone(folder: Path) -> Workspace:
    data = folder / "data"
    data.mkdir(parents=True)
    for name, count in {"train": NUM_TRAIN, "dev": 40, "usual": NUM_TEST, "far": NUM_TEST, "farther": NUM_TEST}.items():
        with (data / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            for row in range(count):
                text = AWKWARD if (name, row) == ("train", 0) else f"{name} sentence number {row}"
                writer.writerow([text, LABELS[row % 3 == 0]])
    (data / "spec.yaml").write_text(SPEC, encoding="utf-8")
    model = folder / "tiny-model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "bert", "num_hidden_layers": 2}), encoding="utf-8")
    # What is looked at before a run is queued; nothing loads it.
    (model / "vocab.txt").write_text("[PAD]\n[UNK]\n", encoding="utf-8")
    save_file({"embeddings.weight": np.zeros((2, 2), dtype=np.float32)}, model / "model.safetensors")

    workspace = Workspace(folder / "workspace")
    workspace.add_suite("toy", data / "spec.yaml")
    reference = queue(workspace, model, name="map-run", method="reference")
    leave_dynamics(workspace, reference)
    finish(workspace, reference, flops=1e9)
    return workspace


def _make_compared(folder: Path) -> Workspace:
    workspace = copy_of(_make_alone, folder)
    model = model_of(workspace)
    subset = workspace.save_subset(
        Recipe(source_run=workspace.run("map-run")["run_id"], strategy="ambiguous", fraction=0.33), name="ambiguous-33"
    )
    for seed in (0, 1):
        for method, skill, flops in (("erm", 0.9, 6e9), ("ftft", 1.2, 2e9)):
            run = queue(
                workspace, model, name=f"{method}-{seed}", method=method, seed=seed,
                subset=subset.subset if method == "ftft" else None,
            )  # fmt: skip
            leave_predictions(workspace, run, skill=skill, seed=seed)
            finish(workspace, run, flops=flops)
    return workspace


def model_of(workspace: Workspace) -> Path:
    """Give the folder of the model that the runs are of."""
    return Path(workspace.run("map-run")["model"])


def queue(
    workspace: Workspace, model: Path, *, name: str, method: str, seed: int = 0, subset: str | None = None
) -> str:
    """Queue a run without starting a worker."""
    return workspace.queue_run(
        RunConfig(
            suite="toy", model=str(model), name=name, method=method, seed=seed, subset=subset,
            budget=BudgetConfig(epochs=NUM_EPOCHS),
        )
    )  # fmt: skip


def leave_dynamics(workspace: Workspace, run: str) -> None:
    """Leave logits of all training examples at every epoch: easy, ambiguous and hard ones."""
    random = np.random.default_rng(7)
    labels = np.array([row % 3 == 0 for row in range(NUM_TRAIN)], dtype=int)
    easiness = random.normal(1.2, 1.2, NUM_TRAIN)
    for epoch in range(NUM_EPOCHS):
        margins = easiness * (epoch + 1) / 2 + random.normal(0, 0.8, NUM_TRAIN)
        logits = np.stack([np.where(labels == label, margins, -margins) / 2 for label in (0, 1)], axis=1)
        table = {
            "epoch": pa.array(np.full(NUM_TRAIN, epoch), pa.int32()),
            "position": pa.array(np.arange(NUM_TRAIN), pa.int64()),
            "logits": pa.array(logits.astype(np.float32).tolist(), pa.list_(pa.float32())),
        }
        write_parquet(workspace.run_folder(run).outbox / f"dynamics-{epoch:05d}.parquet", pa.table(table))


def leave_predictions(workspace: Workspace, run: str, *, skill: float, seed: int) -> None:
    """Leave the kept model's logits on every split; more skill is more often right."""
    for number, (split, count) in enumerate(
        {"dev": 40, "usual": NUM_TEST, "far": NUM_TEST, "farther": NUM_TEST}.items()
    ):
        random = np.random.default_rng(100 * number + seed)
        labels = np.array([row % 3 == 0 for row in range(count)], dtype=int)
        margins = random.normal(skill - 0.2 * number, 1.0, count)
        logits = np.stack([np.where(labels == label, margins, -margins) for label in (0, 1)], axis=1)
        table = {
            "split": pa.array([split] * count, pa.string()),
            "position": pa.array(np.arange(count), pa.int64()),
            "logits": pa.array(logits.astype(np.float32).tolist(), pa.list_(pa.float32())),
        }
        write_parquet(workspace.run_folder(run).outbox / f"predictions-{split}.parquet", pa.table(table))


def finish(workspace: Workspace, run: str, *, flops: float) -> None:
    """Write progress, history and state as at the end of a training, and take everything in."""
    folder = workspace.run_folder(run)
    for step in range(1, 31):
        folder.append_history(
            {"kind": "step", "step": step, "epoch": step // 8, "loss": 0.7 / step**0.5, "learning_rate": 1e-4}
        )
    folder.append_history(
        {
            "kind": "evaluation:dev",
            "step": 30,
            "epoch": 3,
            "split": "dev",
            "accuracy": 0.75,
            "macro_f1": 0.7,
            "ece": 0.1,
        }
    )
    folder.write_progress(
        {"stage": "training", "step": 30, "num_steps": 30, "epoch": 3, "num_epochs": NUM_EPOCHS, "loss": 0.13,
         "fraction": 1.0, "seconds_left": 0.0, "examples_seen": 960, "train_flops": flops, "evaluation_flops": 0.0,
         "train_seconds": 12.0}
    )  # fmt: skip
    folder.set_status("finished", "done")
    workspace.sync()


PAIRS = "toy-pairs"
WIDE = "toy-wide"
NUM_PAIRS = 120
NUM_WIDE_LABELS = 150
PAIR_LABELS = ("no", "<b>yes</b> **really** $x^2$")
PAIR_GROUPS = ("news", "<i>talk</i> **loud** $y$")
TAG = "<u>odd</u> **tag** $z$ :smile:"
LONG = "long " * 10_000
"""A text of 50,000 characters."""

AWKWARD_TEXTS = {
    0: "<img src=x onerror=\"document.title='owned'\"> <h1>big</h1>",
    1: "# heading\n\n- **bold** [link](http://example.org) `code` :material/home: :red[red]",
    2: r"$\frac{a}{b}$ and $$\int x$$",
    3: "שלום עולם \u202eto the left",
    4: "😀 👩🏽\u200d🔬 naïve \u0301 \u0007 bell\r\nand a new line",
    5: LONG,
    6: "\u200bzero width\ttab &amp; &lt;b&gt;",
    7: '=cmd|" /C calc"!A0',
}
"""Row of the training split -> what no page may take for more than text."""

PAIR_SPEC = """\
text: [first, second]
label: label
labels: {labels}
group: kind
train: train.jsonl
dev: train.jsonl
"""


def add_pair_suite(workspace: Workspace, folder: Path) -> None:
    """Add a suite of pairs in two groups whose texts, labels, groups and tags are awkward, with four runs on it.

    `pair-run` and `pair-again` saw all of it, `pair-part` every second example, `pair-once` one epoch.
    """
    rows = [
        {
            "first": AWKWARD_TEXTS.get(row, f"first text number {row}"),
            "second": f"second text {'even' if row % 2 == 0 else 'odd'} number {row}",
            "label": PAIR_LABELS[row % 3 == 0],
            "kind": PAIR_GROUPS[row % 4 == 0],
        }
        for row in range(NUM_PAIRS)
    ]
    _add_suite(workspace, folder / "pairs", PAIRS, rows, PAIR_SPEC.format(labels=json.dumps(PAIR_LABELS)))
    ease = np.random.default_rng(3).normal(1.2, 1.2, NUM_PAIRS)
    everything = np.arange(NUM_PAIRS)
    for name, epochs, part in (
        ("pair-run", NUM_EPOCHS, everything),
        ("pair-again", NUM_EPOCHS, everything),
        ("pair-part", NUM_EPOCHS, everything[::2]),
        ("pair-once", 1, everything),
    ):
        random = np.random.default_rng(len(name))
        margins = ease[part] * np.arange(1, epochs + 1)[:, None] / 2 + random.normal(0, 0.8, (epochs, len(part)))
        labels = (part % 3 == 0).astype(int)
        logits = np.stack([np.where(labels == label, margins, -margins) / 2 for label in (0, 1)], axis=2)
        dynamics = TrainingDynamics.from_arrays(part, labels, logits, label_names=PAIR_LABELS)
        workspace.import_dynamics(dynamics, name=name, suite=PAIRS)
    workspace.mark(PAIRS, ["0", "3"], "tag", TAG, author="<b>mia</b>", reason="**looks** wrong")
    workspace.mark(PAIRS, ["0"], "note", "a <b>note</b> with $x$ and **stars**", author="mia")


def add_wide_suite(workspace: Workspace, folder: Path) -> None:
    """Add a suite with 150 labels, two examples of each, and the run `wide-run` on it."""
    names = [f"label {number:03}" for number in range(NUM_WIDE_LABELS)]
    labels = np.arange(2 * NUM_WIDE_LABELS) % NUM_WIDE_LABELS
    rows = [{"text": f"wide text {row}", "label": names[label]} for row, label in enumerate(labels)]
    spec = f"text: text\nlabel: label\nlabels: {json.dumps(names)}\ntrain: train.jsonl\ndev: train.jsonl\n"
    _add_suite(workspace, folder / "wide", WIDE, rows, spec)
    logits = np.random.default_rng(4).normal(0, 1, (3, len(labels), NUM_WIDE_LABELS))
    logits[:, np.arange(len(labels)), labels] += np.linspace(0, 6, len(labels))
    dynamics = TrainingDynamics.from_arrays(range(len(labels)), labels, logits, label_names=names)
    workspace.import_dynamics(dynamics, name="wide-run", suite=WIDE)


def _add_suite(workspace: Workspace, folder: Path, name: str, rows: list[dict[str, str]], spec: str) -> None:
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    (folder / "spec.yaml").write_text(spec, encoding="utf-8")
    workspace.add_suite(name, folder / "spec.yaml")
