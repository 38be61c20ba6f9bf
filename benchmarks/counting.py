"""What keeping counts of FLOPs saves: a run's counting with nothing kept, beside the same with an earlier run's counts.

Both count the shapes that plain fine-tuning of MiniLM on the sample suite meets: those of its training batches, of dev
and of the test splits. Nothing is trained. The two take turns; `ratio` is the seconds of the first over those of the
second. Prints JSON.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from ftft_core.config import BudgetConfig, RunConfig
from ftft_core.cost import FlopMeter
from ftft_core.modeling.lengths import evaluation_batches
from ftft_core.run_folder import RunFolder
from ftft_core.suites import build_sample_suite
from ftft_core.training.setup import Setup, prepare
from ftft_core.workspace import Workspace

REPEATS = 3


def main() -> None:
    alone, after = [], []
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "workspace")
        workspace.add_suite("sample", build_sample_suite(Path(folder) / "sample"))
        config = RunConfig(suite="sample", model="minilm", method="erm", budget=BudgetConfig(epochs=1))
        setup = prepare(RunFolder(workspace.folder / "runs" / workspace.queue_run(config)))
        for repeat in range(REPEATS):
            kept = Path(folder) / f"flops-{repeat}"
            alone.append(seconds_of_counting(setup, kept))
            after.append(seconds_of_counting(setup, kept))
    result = {
        "seconds_with_nothing_kept": statistics.median(alone),
        "seconds_with_counts_kept": statistics.median(after),
        "ratio": statistics.median(first / second for first, second in zip(alone, after, strict=True)),
    }
    print(json.dumps(result, indent=1))


def seconds_of_counting(setup: Setup, kept: Path) -> float:
    """Count every shape of a run with a new meter, as a new process would; give the seconds."""
    tokens = [setup.tokenise(split) for split in setup.suite.splits[1:]]
    begun = time.perf_counter()
    meter = FlopMeter(setup.meter.model, kept=kept)
    for batch in setup.order.epoch(0):
        meter.training(batch.shape)
    for split in tokens:
        for rows, length in evaluation_batches(split.lengths, np.arange(len(split))):
            meter.forward((len(rows), length))
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
