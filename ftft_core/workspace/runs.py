"""What one can do with runs: queue, stop, resume, reorder and repeat them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from ftft_core.config import RunConfig, parse
from ftft_core.errors import InputError, RunError
from ftft_core.jobs import WorkerSettings, check_devices, read_settings, write_settings
from ftft_core.modeling.checkpoints import count_layers
from ftft_core.planning import TrainingRows
from ftft_core.run_folder import RESUMABLE, RunFolder
from ftft_core.store import runs as run_store
from ftft_core.store import subsets as subset_store
from ftft_core.store import suites as suite_store
from ftft_core.workspace.compared import describe_runs
from ftft_core.workspace.guides import make_guide
from ftft_core.workspace.repeating import with_changes
from ftft_core.workspace.resolving import read_training_rows, resolve_all, resolved
from ftft_core.workspace.run_watching import RunWatching


class Runs(RunWatching):
    """Queueing, stopping, resuming, reordering and repeating runs."""

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

    def total_flops(self, reference: str) -> float:
        """Give the FLOPs of training a run and all whose dynamics it was given, passes over dev included where they
        decided an end, and what the reference did for the run's method alone.

        :raises RunError: when they are not known, as those of imported dynamics are not.
        """
        with self.database.reading() as connection:
            row = run_store.read_run(connection, reference)
            total = describe_runs(connection, row["suite"], [row["run_id"]])[row["run_id"]].total_flops
        if total is None:
            raise RunError(f"What run '{reference}' cost with its reference is not known, so nothing can match it.")
        return total

    def fitting_references(self, suite: str, method: str, subset: str | None = None) -> list[str]:
        """Give the ids of the runs that can guide a run of this method, the newest first: they have finished, know all
        its examples, and have what the method takes from them.
        """
        with self.database.reading() as connection:
            listed = run_store.list_runs(connection, suite)
            rows = read_training_rows(connection, RunConfig(suite=suite, model="-", subset=subset)).positions
            known = TrainingRows(0, rows)
            fitting = []
            for run_id in listed.loc[listed["status"] == "finished", "run_id"][::-1]:
                asked = RunConfig(suite=suite, model="-", subset=subset, method=method, reference=run_id)
                if not self._guide_errors(connection, asked, known):
                    fitting.append(str(run_id))
        return fitting

    # -- changing the queue ----------------------------------------------------------------------------------------

    def cancel(self, reference: str) -> None:
        """Stop a run; it can be resumed."""
        self._queue.cancel(self._queued(reference))
        self.sync()

    def resume(self, reference: str) -> None:
        """Queue a run that has not finished again; it goes on from its newest checkpoint."""
        self._queue.resume(self._queued(reference))
        self.sync()

    def retry(self, reference: str, *, from_scratch: bool = False) -> None:
        """Queue a run again that ended without finishing; it goes on from its newest checkpoint, if it has one.

        :param from_scratch: forget its checkpoint and all that it left, and begin anew.
        :raises RunError: when it waits, runs or has finished.
        """
        folder = self._queued(reference)
        status = self._queue.settle(folder)["status"]
        if status not in RESUMABLE:
            hint = f"; `ftft train --like {reference}` trains it once more" if status == "finished" else ""
            raise RunError(f"Run '{reference}' is {status}, so there is nothing to try again{hint}.")
        self._queue.resume(folder, forget=(lambda: self._forget_outputs(folder.run_id)) if from_scratch else None)
        self.sync()

    def move(self, reference: str, position: int) -> None:
        """Give a run that waits another place in the queue: 1 is next; past the last is last.

        :raises RunError: when it doesn't wait.
        """
        if position < 1:
            raise InputError(f"The position in the queue: received {position}; it must be at least 1, which is next.")
        self._queue.move(self._queued(reference), position)

    def worker_settings(self) -> WorkerSettings:
        """Give the devices that runs are trained on, and how many share one."""
        return read_settings(self.folder)

    def change_worker_settings(self, **changes: Any) -> WorkerSettings:
        """Change how runs are given to devices; a living worker heeds it at once.

        :param changes: fields of `WorkerSettings`.
        :raises InputError: when this machine has no such device.
        """
        with self._queue.changing():
            values = {**read_settings(self.folder).model_dump(), **changes}
            settings = parse(WorkerSettings, values, what="How runs are given to devices")
            check_devices(settings.devices or ())
            write_settings(self.folder, settings)
        return settings

    # -- repeating -------------------------------------------------------------------------------------------------

    def config_of(self, reference: str) -> RunConfig:
        """Give a run's configuration as it was given, with ids for names and without its own name.

        :raises RunError: when it was imported.
        """
        given = self.run(reference)["config"]
        if given is None:
            raise RunError(f"Run '{reference}' was imported; how it was configured is not known.")
        return RunConfig.model_validate_json(given).model_copy(update={"name": None, "excluded": None})

    def duplicate(self, reference: str, changes: Mapping[str, Any]) -> str:
        """Queue a run like another one, under a new name; give its id.

        :param changes: what is to be different, by field, flat as on the command line; `name` among them.
        :raises InputError: when what it was made from is gone, or the changes don't fit.
        """
        config, row = self.config_of(reference), self.run(reference)
        usual = _run_name(config, row["num_layers"])
        with self.database.reading() as connection:
            derived = resolve_all(connection, config.model_copy(update={"reference": None}))[0].reference
            config = with_changes(config, changes, derived_reference=derived)
            if config.name is None and not row["name"].startswith(usual):
                config = config.model_copy(update={"name": run_store.free_name(connection, row["name"])})
        return self.submit(config)

    def _forget_outputs(self, run_id: str) -> None:
        with self.database.writing() as connection:
            run_store.forget_outputs(connection, run_store.find_run(connection, run_id)[0])

    def _queued(self, reference: str) -> RunFolder:
        folder = self.run_folder(reference)
        if not (folder.path / "state.json").exists():
            raise RunError(
                f"Run '{reference}' has no folder in {self._queue.runs}: it was imported, or its folder was deleted. "
                "There is nothing to go on from; remove the run, or train it again."
            )
        return folder


def _run_name(config: RunConfig, num_layers: int) -> str:
    """Name a run for what it is: suite, method, model with its layers, and seed."""
    model = Path(config.model).name.lower()
    stem = f"{config.suite}-{config.method}-{model}-{num_layers}l-{config.seed}"
    name = "".join(
        character if (character.isascii() and character.isalnum()) or character in "._-" else "-" for character in stem
    )
    return name[:90]
