"""What one can do with runs."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from ftft_core.config import RunConfig
from ftft_core.errors import InputError, RunError
from ftft_core.metrics import METRICS
from ftft_core.modeling.checkpoints import count_layers
from ftft_core.run_folder import RunFolder
from ftft_core.store import runs as run_store
from ftft_core.store import subsets as subset_store
from ftft_core.store import suites as suite_store
from ftft_core.workspace.guides import make_guide
from ftft_core.workspace.plans import Plans
from ftft_core.workspace.resolving import read_training_rows, resolved


@dataclass(frozen=True)
class RunProgress:
    """How a run is doing, read from its files; what is not known yet is None."""

    status: str
    message: str
    stage: str | None
    """`training`, or which split is being evaluated."""
    step: int | None
    num_steps: int | None
    epoch: int | None
    num_epochs: int | None
    loss: float | None
    """Mean cross-entropy of the latest steps, in nats."""
    fraction: float
    """Share of the work that is done, in [0, 1]."""
    seconds_left: float | None
    seconds_elapsed: float | None
    """Seconds spent in training steps."""
    dev_scores: dict[str, float]
    """Latest scores on the dev split, by metric; those of the kept model once the run has finished."""
    updated_at: float | None
    """Unix time."""


class Runs(Plans):
    """Queueing, watching, stopping and resuming runs."""

    def submit(self, config: RunConfig) -> str:
        """Queue a run, see that a worker is alive, and give the run's id at once.

        :raises InputError: when suite, subset, reference, model or name can't be used.
        """
        run_id = self.queue_run(config)
        self._queue.ensure_worker()
        return run_id

    def queue_run(self, config: RunConfig) -> str:
        """Queue a run without starting a worker."""
        expected = self.refuse_unworkable(config)
        num_layers = count_layers(config.model, config.layers)
        run_id = f"r{secrets.token_hex(4)}"
        with self.database.writing() as connection:
            config = resolved(connection, config)
            facts = suite_store.read_suite_facts(connection, config.suite)
            suite_no = suite_store.find_suite(connection, config.suite)
            suite_folder = self.folder / "suites" / facts["fingerprint"]
            if not suite_folder.exists():
                raise InputError(
                    f"Suite '{config.suite}' has no texts (it came with imported dynamics), so nothing can be trained "
                    "on it; add the data with `ftft suite add` and import the dynamics with --suite."
                )
            subset_no = None if config.subset is None else subset_store.find_subset(connection, config.subset)[0]
            rows = read_training_rows(connection, config)
            guide = make_guide(
                connection,
                config,
                folder_of=self._queue.folder,
                positions=rows.positions,
                fingerprint=facts["training_fingerprint"],
            )
            reference_no = None if config.reference is None else run_store.find_run(connection, config.reference)[0]
            name = config.name or run_store.free_name(connection, _run_name(config, num_layers))
            config = config.model_copy(update={"name": name})
            run_store.add_run(
                connection,
                {
                    "run_id": run_id,
                    "name": name,
                    "suite_no": suite_no,
                    "suite_fingerprint": facts["fingerprint"],
                    "training_fingerprint": facts["training_fingerprint"],
                    "model": config.model,
                    "num_layers": num_layers,
                    "subset_no": subset_no,
                    "method": config.method,
                    "seed": config.seed,
                    "reference_run_no": reference_no,
                    "fraction": rows.fraction,
                    "selecting_flops": 0.0 if guide is None else guide.flops,
                    "selecting_seconds": 0.0 if guide is None else guide.seconds,
                    "config": config.model_dump_json(),
                },
            )
        # Written after the row: a folder without a row would train unseen, a row without a folder is reported.
        self._queue.folder(run_id).create(
            {
                "run_id": run_id,
                "suite_folder": str(suite_folder.relative_to(self.folder)),
                "suite_fingerprint": facts["fingerprint"],
                "config": config.model_dump(mode="json"),
            },
            subset=None if rows.positions is None else pa.table({"position": rows.positions, "weight": rows.weights}),
            guide=None if guide is None else guide.table,
        )
        self.keep_expected(run_id, expected)
        return run_id

    def resolve(self, config: RunConfig) -> RunConfig:
        """Give a configuration as it is kept: ids instead of names, and the reference that its subset came from.

        :raises InputError: when suite, subset or reference can't be used.
        """
        with self.database.reading() as connection:
            return resolved(connection, config)

    def runs(self, suite: str | None = None) -> pd.DataFrame:
        """Give the view `runs`, oldest first; of one suite, or of all."""
        with self.database.reading() as connection:
            return run_store.list_runs(connection, suite)

    def run(self, reference: str) -> dict[str, Any]:
        """Give one row of the view `runs`."""
        with self.database.reading() as connection:
            return run_store.read_run(connection, reference)

    def total_flops(self, reference: str) -> float:
        """Give the FLOPs of training a run and its reference, passes over dev included where they decided its end, and
        what the reference did for the run's method alone.

        :raises RunError: when they are not known, as those of imported dynamics are not.
        """
        with self.database.reading() as connection:
            total = run_store.total_flops(connection, run_store.find_run(connection, reference)[1])
        if total is None:
            raise RunError(f"What run '{reference}' cost with its reference is not known, so nothing can match it.")
        return total

    def run_folder(self, reference: str) -> RunFolder:
        """Give the folder of a run."""
        if re.fullmatch(r"r[0-9a-f]{8}", reference) and (self._queue.runs / reference).is_dir():
            return self._queue.folder(reference)
        with self.database.reading() as connection:
            return self._queue.folder(run_store.find_run(connection, reference)[1])

    def cancel(self, reference: str) -> None:
        """Stop a run; it can be resumed."""
        self._queue.cancel(self._queued(reference))
        self.sync()

    def resume(self, reference: str) -> None:
        """Queue a run that has not finished again; it goes on from its newest checkpoint."""
        self._queue.resume(self._queued(reference))
        self.sync()

    def _queued(self, reference: str) -> RunFolder:
        folder = self.run_folder(reference)
        if not (folder.path / "state.json").exists():
            raise RunError(
                f"Run '{reference}' has no folder in {self._queue.runs}: it was imported, or its folder was deleted. "
                "There is nothing to go on from; remove the run, or train it again."
            )
        return folder

    def progress(self, reference: str) -> RunProgress:
        """Say how a run is doing, from its files."""
        folder = self.run_folder(reference)
        if not (folder.path / "state.json").exists():
            row = self.run(reference)
            state, progress = {"status": row["status"], "message": row["message"]}, {}
        else:
            state, progress = self._queue.settle(folder), folder.read_progress()
        dev = [record for record in folder.read_history() if record.get("split") == "dev"]
        # Those of the kept model, once they are there: it may be older than the latest.
        latest = next((record for record in dev if record.get("final")), dev[-1] if dev else {})
        scores = {str(name): float(latest[name]) for name in METRICS if name in latest}
        is_over = state["status"] == "finished"
        return RunProgress(
            status=state["status"],
            message=state["message"],
            stage=progress.get("stage"),
            step=progress.get("step"),
            num_steps=progress.get("num_steps"),
            epoch=progress.get("epoch"),
            num_epochs=progress.get("num_epochs"),
            loss=progress.get("loss"),
            fraction=1.0 if is_over else progress.get("fraction", 0.0),
            seconds_left=0.0 if is_over else progress.get("seconds_left"),
            seconds_elapsed=progress.get("train_seconds"),
            dev_scores=scores,
            updated_at=progress.get("updated_at"),
        )

    def loss_history(self, reference: str) -> pd.DataFrame:
        """Give step, epoch, loss, learning_rate and dev_accuracy of a run; one row per logged step or evaluation."""
        records = [
            {**record, "dev_accuracy": record.get("accuracy")}
            for record in self.run_folder(reference).read_history()
            if record["kind"] == "step" or record.get("split") == "dev"
        ]
        columns = ["step", "epoch", "loss", "learning_rate", "dev_accuracy"]
        return pd.DataFrame(records, columns=columns).astype({"step": "int64"} if records else {})

    def log_tail(self, reference: str, lines: int = 20) -> str:
        """Give the last lines that a run's training process printed."""
        log = self.run_folder(reference).log
        return (
            "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]) if log.exists() else ""
        )

    def queue(self) -> pd.DataFrame:
        """Give what runs and waits: run_id, name, status, position (0 runs, 1 is next), seconds_left."""
        names = self.runs().set_index("run_id")["name"].to_dict()
        rows = []
        for position, folder in [*((0, f) for f in self._queue.running()), *enumerate(self._queue.waiting(), 1)]:
            status = "running" if position == 0 else "queued"
            left = folder.read_progress().get("seconds_left")
            rows.append((folder.run_id, names.get(folder.run_id, folder.run_id), status, position, left))
        return pd.DataFrame(rows, columns=["run_id", "name", "status", "position", "seconds_left"])


def _run_name(config: RunConfig, num_layers: int) -> str:
    """Name a run for what it is: suite, method, model with its layers, and seed."""
    model = Path(config.model).name.lower()
    stem = f"{config.suite}-{config.method}-{model}-{num_layers}l-{config.seed}"
    name = "".join(
        character if (character.isascii() and character.isalnum()) or character in "._-" else "-" for character in stem
    )
    return name[:90]
