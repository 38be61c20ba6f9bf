"""Experiment trackers of a run: Accelerate's own, kept from ever harming it.

Each works in a thread of its own, so that a server that is slow or down holds up no training step. One that fails is
left out from there on, which is said once. What was told is kept in a file, so that a run that goes on tells no step
twice, and goes on in the same place: wandb, mlflow and trackio in the same run, TensorBoard in the same folder. Nothing
that training draws from or computes with is touched. What is told, and when, is `reporting`'s.

Where nothing else is set in the environment, what trackers write lies in the run's folder, and what mlflow does in
`mlflow.db` of the workspace; trackio has a place of its own.
"""

from __future__ import annotations

import os
import queue
import secrets
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker

from ftft_core.config import RunConfig, missing_trackers
from ftft_core.errors import InputError
from ftft_core.run_folder import RunFolder, read_json, write_json

_WAIT_SECONDS = 30.0
"""How long the end of a run waits for a tracker to have told everything."""

_MOST_SAID = 300
"""Characters of what a tracker says when it fails."""

_THREAD = "tracker-"

Memory = dict[str, Any]
"""What is kept of a tracker: `id` of its own run, whether the configuration was told (`configured`), and the last
`step` of which values were told, with their `keys`."""


class Tracker(GeneralTracker):  # type: ignore[misc]  # Accelerate is untyped
    """One of Accelerate's trackers, in a thread of its own; made for the main process of a run."""

    requires_logging_directory = False

    def __init__(self, name: str, folder: RunFolder, config: RunConfig) -> None:
        self.name = name
        self.trouble: str | None = None
        """Why it was left out; None while it works."""
        self._folder = folder
        self._run_name = config.name or folder.run_id
        self._suite = config.suite
        self._memory: Memory = {}
        self._tracker: GeneralTracker | None = None
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"{_THREAD}{name}", daemon=True)
        super().__init__()

    # -- what Accelerate calls; nothing here waits but `finish` ------------------------------------------------------

    @property
    def tracker(self) -> Any:
        """What Accelerate's tracker holds, such as wandb's run; None before it has begun."""
        return None if self._tracker is None else self._tracker.tracker

    def start(self) -> None:
        """Begin, or go on where the run was tracked before."""
        self._tasks.put(self._begin)
        self._thread.start()

    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """Tell the run's configuration, if it has not been told before."""
        self._tasks.put(partial(self._configure, dict(values)))

    def log(self, values: Mapping[str, float], step: int | None = None, **_: Any) -> None:
        """Tell values of a step, but for those that were told before."""
        assert step is not None
        self._tasks.put(partial(self._log, dict(values), step))

    def finish(self) -> None:
        """Wait until all is told, but not for ever; once it has ended, nothing happens."""
        self._tasks.put(self._end)
        self._tasks.put(None)
        if self.trouble is None and self._thread.is_alive():
            self._thread.join(_WAIT_SECONDS)
            if self._thread.is_alive():
                self._leave_out(f"it had not told everything {_WAIT_SECONDS:.0f} s after the end")

    # -- what its thread does ----------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            for task in iter(self._tasks.get, None):
                task()
        except (Exception, SystemExit) as error:  # Whatever a tracker raises, the run goes on.
            said = " ".join("".join(traceback.format_exception_only(error)).split())
            self._leave_out(said if len(said) <= _MOST_SAID else f"{said[:_MOST_SAID]}...")

    def _leave_out(self, reason: str) -> None:
        if self.trouble is None:
            self.trouble = f"not all of it was logged to {self.name}: {reason}"
            print(f"the run goes on, but is not logged to {self.name} any more: {reason}", file=sys.stderr, flush=True)

    def _begin(self) -> None:
        missing = missing_trackers([self.name])
        if missing:
            raise InputError(missing[0])
        self._folder.trackers.mkdir(exist_ok=True)
        with suppress(FileNotFoundError, ValueError):
            self._memory = read_json(self._memory_path)
        project, options = _OPENINGS[self.name](self._suite, self._run_name, self._folder, self._memory)
        self._remember()  # Before it is begun: an id that is used is known, whatever happens.
        self._tracker = LOGGER_TYPE_TO_CLASS[self.name](project, **options)
        self._tracker.start()
        if self.name == "mlflow":
            self._memory["id"] = self.tracker.info.run_id
            self._remember()

    def _configure(self, values: dict[str, Any]) -> None:
        assert self._tracker is not None
        if not self._memory.get("configured"):
            self._tracker.store_init_configuration(values)
            self._memory["configured"] = True
            self._remember()

    def _log(self, values: dict[str, float], step: int) -> None:
        assert self._tracker is not None
        last = self._memory.get("step", -1)
        told = set(self._memory.get("keys", ())) if step == last else set()
        new = {key: value for key, value in values.items() if key not in told}
        if step < last or not new:
            return
        self._tracker.log(new, step=step)
        self._memory |= {"step": step, "keys": sorted({*told, *new})}
        self._remember()

    def _end(self) -> None:
        assert self._tracker is not None
        self._tracker.finish()

    @property
    def _memory_path(self) -> Path:
        return self._folder.trackers / f"{self.name}.json"

    def _remember(self) -> None:
        write_json(self._memory_path, self._memory, durable=False)


def make_trackers(folder: RunFolder, config: RunConfig) -> list[Tracker]:
    """Make the trackers of a run; none of them has begun."""
    return [Tracker(name, folder, config) for name in config.training.trackers]


def begin_tracking(accelerator: Accelerator, config: RunConfig, facts: Mapping[str, Any]) -> None:
    """Have a run's trackers begin, and tell them its configuration.

    :param facts: what is known of the run beside its configuration; numbers and texts among it are told, too.
    """
    values = config.model_dump(mode="json", exclude={"name": True, "training": {"trackers"}})
    accelerator.init_trackers(config.suite, config=_flat({**values, **facts}))


def tell_costs(accelerator: Accelerator, counted: Mapping[str, Any], step: int) -> None:
    """Tell a run's trackers what it took in all; what is no number is left out."""
    numbers = {name: value for name, value in counted.items() if isinstance(value, int | float)}
    accelerator.log({f"cost/{name}": value for name, value in numbers.items()}, step=step)


def is_busy() -> bool:
    """Whether a tracker still works in this process, which would keep it from ending."""
    return any(thread.name.startswith(_THREAD) for thread in threading.enumerate())


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str | int | float | bool]:
    """Give numbers and texts by dotted names."""
    found: dict[str, str | int | float | bool] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, str | int | float | bool):
            found[f"{prefix}{name}"] = value
    return found


# -- how each is opened: a project or name, and options ----------------------------------------------------------------


def _open_wandb(suite: str, run: str, folder: RunFolder, memory: Memory) -> tuple[str, dict[str, Any]]:
    # Its own files would lie wherever the worker was started.
    os.environ.setdefault("WANDB_DIR", str(folder.trackers))
    memory.setdefault("id", f"{folder.run_id}-{secrets.token_hex(2)}")
    return suite, {"name": run, "id": memory["id"], "resume": "allow"}


def _open_mlflow(suite: str, run: str, folder: RunFolder, memory: Memory) -> tuple[str, dict[str, Any]]:
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{folder.path.parents[1] / 'mlflow.db'}")
    return suite, {"run_name": run, "run_id": memory.get("id")}


def _open_tensorboard(_: str, run: str, folder: RunFolder, memory: Memory) -> tuple[str, dict[str, Any]]:
    # What a killed process wrote and could not note any more is taken out of what is shown.
    purge_step = memory["step"] + 1 if "step" in memory else None
    return run, {"logging_dir": folder.trackers / "tensorboard", "purge_step": purge_step}


def _open_trackio(suite: str, run: str, _: RunFolder, memory: Memory) -> tuple[str, dict[str, Any]]:
    has_begun = "id" in memory
    # Trackio knows a run by its name alone, and its store is the same for all workspaces.
    memory.setdefault("id", f"{run}-{secrets.token_hex(2)}")
    return suite, {"name": memory["id"], "resume": "allow" if has_begun else "never"}


_OPENINGS = {
    "wandb": _open_wandb,
    "mlflow": _open_mlflow,
    "tensorboard": _open_tensorboard,
    "trackio": _open_trackio,
}
