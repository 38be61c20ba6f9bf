"""Our training loop beside a plain Hugging Face Trainer with dynamic padding: same model, data, steps and batch size.

Both train MiniLM for one epoch on sentences of the sample suite; the Trainer in its defaults (fp32 on the CPU, batches
in random order, padded to their longest text). The two take turns; `ratio` is the Trainer's seconds over ours, in
training steps alone. Prints JSON.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import transformers
from datasets import Dataset

from ftft_core.config import BudgetConfig, RunConfig
from ftft_core.modeling.checkpoints import locate_model
from ftft_core.run_folder import RunFolder
from ftft_core.suites import build_sample_suite
from ftft_core.training.loop import fit
from ftft_core.training.setup import prepare
from ftft_core.workspace import Workspace

NUM_TRAIN = 960
REPEATS = 3
BATCH_SIZE = 32


def main() -> None:
    logging.disable(logging.WARNING)
    transformers.utils.logging.set_verbosity_error()
    ours, theirs, losses = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "workspace")
        suite = workspace.add_suite("sample", build_sample_suite(Path(folder) / "sample", num_train=NUM_TRAIN))
        for repeat in range(REPEATS):
            config = RunConfig(
                suite="sample", model="minilm", method="reference", seed=repeat, budget=BudgetConfig(epochs=1)
            )
            run = RunFolder(workspace.folder / "runs" / workspace.queue_run(config))
            ours.append(fit(prepare(run), stop_requested=lambda: False).train_seconds)
            seconds, loss = plain_trainer(suite.train.examples, list(suite.labels), Path(folder) / "trainer", repeat)
            theirs.append(seconds)
            losses.append((run.read_progress()["loss"], loss))
    result = {
        "examples": NUM_TRAIN,
        "our_seconds": statistics.median(ours),
        "trainer_seconds": statistics.median(theirs),
        "ratio": statistics.median(b / a for a, b in zip(ours, theirs, strict=True)),
        "last_losses_ours_and_trainer": losses,
    }
    json.dump(result, sys.stdout, indent=1)
    print()


def plain_trainer(examples: Any, labels: list[str], folder: Path, seed: int) -> tuple[float, float]:
    """Train one epoch as most people would; give seconds of training and the last logged loss."""
    location = locate_model("minilm")
    tokenizer = transformers.AutoTokenizer.from_pretrained(location)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(location, num_labels=len(labels))
    encoded = tokenizer(examples["text"].tolist(), truncation=True, max_length=128)
    data = Dataset.from_dict({**encoded, "labels": [labels.index(label) for label in examples["label"]]})
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,
        per_device_train_batch_size=BATCH_SIZE,
        learning_rate=5e-5,
        seed=seed,
        report_to=[],
        save_strategy="no",
        logging_steps=10,
        disable_tqdm=True,
    )
    trainer = transformers.Trainer(
        model=model,
        args=arguments,
        train_dataset=data,
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
    )
    trainer.remove_callback(transformers.PrinterCallback)
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    return seconds, [record["loss"] for record in trainer.state.log_history if "loss" in record][-1]


if __name__ == "__main__":
    main()
