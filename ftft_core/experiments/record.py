"""What is kept of an experiment, so that everyone sees it and anyone can go on with it: `experiments/<id>/`.

    recipe.yaml       what is to be compared; written once
    state.json        status, message, the process that drives it, and the runs as it saw them last; replaced whole
    log.txt           what the process printed
    stop              asks it to stop
    .driving.lock     held by it as long as it lives, so that there are never two

The id is made from the recipe, so the same recipe is the same experiment, whichever door it came through. Nothing here
starts or stops anything.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from ftft_core.config import parse
from ftft_core.errors import InputError, NotFoundError, RunError, WorkspaceBusyError, unknown
from ftft_core.experiments.planning import PlannedRun
from ftft_core.experiments.recipe import MainModel, Recipe, mapping_of, read_recipe
from ftft_core.experiments.recipe_text import values_of, yaml_of
from ftft_core.run_folder import identify, is_alive, read_json, write_json

ID_PATTERN = r"e[0-9a-f]{8}"
ACTIVE = ("running", "stopping")

_LOCK_SECONDS = 30
_SILENCE_SECONDS = 120.0
"""A driver on another machine that gave no sign of life for this long is taken for dead."""

_OF_A_PROCESS = ("pid", "pid_started", "boot", "host")


@dataclass(frozen=True)
class RunLine:
    """One run of an experiment, as its driver saw it last."""

    key: str
    method: str
    seed: int
    needs: tuple[str, ...]
    work: float
    seconds: float | None
    """What all of it was expected to take."""
    run_id: str | None
    status: str
    """That of a run, or `planned`, or `skipped` when a run that it needs did not finish."""
    message: str
    train_seconds: float | None = None
    """Of `seconds`, in optimizer steps."""


@dataclass(frozen=True)
class Experiment:
    """An experiment, as its folder tells."""

    experiment: str
    """Its id."""
    recipe: Recipe
    status: str
    """`running`, `stopping`, `finished`, `stopped`, `failed`, or `interrupted` when its process ended unheard."""
    message: str
    problems: tuple[str, ...]
    since: float
    """Unix time of the last change of its status."""
    runs: tuple[RunLine, ...]

    @property
    def suite(self) -> str:
        """Name of the suite that it is on."""
        return self.recipe.suite

    @property
    def is_active(self) -> bool:
        """Whether a process works on it."""
        return self.status in ACTIVE


@dataclass(frozen=True)
class ExperimentFolder:
    """The folder of one experiment."""

    path: Path

    @property
    def experiment(self) -> str:
        """Its id."""
        return self.path.name

    @property
    def log(self) -> Path:
        """What its process printed."""
        return self.path / "log.txt"

    @property
    def recipe_file(self) -> Path:
        """The recipe as YAML."""
        return self.path / "recipe.yaml"

    def read(self) -> Experiment:
        """Give what is known; one that says it is under way without a process is interrupted.

        :raises InputError: when its recipe can't be read.
        """
        state = self.read_state()
        status, message = state["status"], state["message"]
        if status in ACTIVE and not self._is_alive(state):
            # It may have written its last word between the two looks.
            state = self.read_state()
            status, message = state["status"], state["message"]
            if status in ACTIVE:
                status, message = "interrupted", "its process ended without a word (killed, or the machine restarted)"
        if status == "running" and self.is_to_stop:
            status = "stopping"
        lines = [RunLine(**{**line, "needs": tuple(line["needs"])}) for line in state["runs"]]
        recipe = read_recipe(self.recipe_file)
        return Experiment(
            self.experiment, recipe, status, message, tuple(state["problems"]), state["since"], tuple(lines)
        )

    def read_state(self) -> dict[str, Any]:
        """Read the state as it was written last."""
        return read_json(self.path / "state.json")

    def is_driven(self) -> bool:
        """Whether a living process works on it."""
        try:
            state = self.read_state()
        except FileNotFoundError:
            return False
        return state["status"] in ACTIVE and self._is_alive(state)

    def claim(self, planned: Sequence[PlannedRun], pid: int | None = None) -> None:
        """Write that a process, this one by default, works on it from now on."""
        self.clear_stop()
        process = {**identify(pid), "host": socket.gethostname()}
        self._write({"status": "running", "message": "", "problems": [], **process}, planned)

    def say(self, status: str, planned: Sequence[PlannedRun], message: str = "", problems: Sequence[str] = ()) -> None:
        """Write how it is doing; the process that works on it stays the same."""
        try:
            state = self.read_state()
        except FileNotFoundError:
            return  # It was removed meanwhile.
        process = {name: state[name] for name in _OF_A_PROCESS if name in state}
        since = {"since": state["since"]} if state["status"] == status else {}
        self._write({"status": status, "message": message, "problems": list(problems), **process, **since}, planned)

    def change(self, **facts: Any) -> None:
        """Change some facts of the state, and nothing about its runs."""
        write_json(self.path / "state.json", {**self.read_state(), **facts})

    def touch(self) -> None:
        """Give a sign of life, for other machines."""
        with suppress(OSError):
            os.utime(self.path / "state.json")

    def request_stop(self) -> None:
        """Ask its process to stop."""
        (self.path / "stop").touch()

    def clear_stop(self) -> None:
        """Withdraw that."""
        (self.path / "stop").unlink(missing_ok=True)

    @property
    def is_to_stop(self) -> bool:
        """Whether its process was asked to stop."""
        return (self.path / "stop").exists()

    @contextmanager
    def driving(self) -> Iterator[None]:
        """Hold the lock of the one process that works on it.

        :raises RunError: when another one does.
        """
        lock = filelock.FileLock(self.path / ".driving.lock", timeout=2.0)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise RunError(under_way_words(self.experiment)) from None
        try:
            yield
        finally:
            lock.release()

    def _write(self, state: dict[str, Any], planned: Sequence[PlannedRun]) -> None:
        lines = [{name: getattr(run, name) for name in RunLine.__dataclass_fields__} for run in planned]
        write_json(self.path / "state.json", {"since": time.time(), **state, "runs": lines})

    def _is_alive(self, state: dict[str, Any]) -> bool:
        if state.get("host") == socket.gethostname():
            return is_alive(state)
        return time.time() - (self.path / "state.json").stat().st_mtime < _SILENCE_SECONDS


def under_way_words(experiment: str) -> str:
    """Say that an experiment is driven by another process."""
    return (
        f"Experiment {experiment} is under way already; the fine-tune page and `ftft experiments list` show it, and "
        f"`ftft experiments stop {experiment}` stops it."
    )


def keep(workspace: Path, recipe: Recipe) -> ExperimentFolder:
    """Give the folder of the experiment with this recipe; its recipe is written if nobody did before."""
    recipe = _with_whole_paths(recipe)
    folder = ExperimentFolder(workspace / "experiments" / id_of(recipe))
    folder.path.mkdir(parents=True, exist_ok=True)
    if not folder.recipe_file.exists():
        temporary = folder.path / f".recipe.{os.getpid()}.new"
        temporary.write_text(yaml_of(mapping_of(recipe)), encoding="utf-8")
        os.replace(temporary, folder.recipe_file)
    return folder


def id_of(recipe: Recipe) -> str:
    """Give the id of the experiment with this recipe."""
    words = json.dumps(_with_whole_paths(recipe).model_dump(mode="json"), sort_keys=True)
    return f"e{hashlib.sha256(words.encode()).hexdigest()[:8]}"


def find(workspace: Path, experiment: str) -> ExperimentFolder:
    """Give the folder of the experiment with this id.

    :raises NotFoundError: when there is none.
    """
    known = [folder.experiment for folder in folders(workspace)]
    if experiment not in known:
        raise NotFoundError(unknown("experiment", experiment, known))
    return ExperimentFolder(workspace / "experiments" / experiment)


def folders(workspace: Path) -> list[ExperimentFolder]:
    """Give the folders of all experiments."""
    place = workspace / "experiments"
    found = sorted(place.iterdir()) if place.is_dir() else []
    return [ExperimentFolder(path) for path in found if re.fullmatch(ID_PATTERN, path.name) and
            (path / "state.json").exists()]  # fmt: skip


def list_experiments(workspace: Path, suite: str | None = None) -> list[Experiment]:
    """Give the experiments of a suite, or all; those under way first, then the one that changed last."""
    found = []
    for folder in folders(workspace):
        # One that is being removed, or whose files somebody broke, hides none of the others.
        with suppress(OSError, ValueError, KeyError, TypeError, InputError):
            experiment = folder.read()
            if suite is None or experiment.suite == suite:
                found.append(experiment)
    return sorted(found, key=lambda each: (each.is_active, each.since), reverse=True)


def remove(folder: ExperimentFolder) -> None:
    """Forget an experiment; its runs stay.

    :raises RunError: while a process works on it.
    """
    if folder.is_driven():
        raise RunError(f"Experiment {folder.experiment} is under way; stop it first.")
    shutil.rmtree(folder.path, ignore_errors=True)


@contextmanager
def changing(workspace: Path) -> Iterator[None]:
    """Hold the lock for starting and stopping experiments, and for queueing their runs; for moments only.

    Under it two experiments that need the same run queue it once.

    :raises WorkspaceBusyError: when another process does not let go of it.
    """
    place = workspace / "experiments"
    place.mkdir(exist_ok=True)
    lock = filelock.FileLock(place / ".changing.lock", timeout=_LOCK_SECONDS)
    try:
        lock.acquire()
    except filelock.Timeout as failure:
        raise WorkspaceBusyError(
            f"Another process has held the experiments of {workspace} for {_LOCK_SECONDS} seconds; try again."
        ) from failure
    try:
        yield
    finally:
        lock.release()


def recipe_of(text: str, *, what: str = "The recipe") -> Recipe:
    """Read a recipe from YAML.

    :raises InputError: with all its problems.
    """
    return parse(Recipe, values_of(text, what=what), what=what)


def _with_whole_paths(recipe: Recipe) -> Recipe:
    """A process that goes on with it may run in another folder."""

    def whole(model: MainModel) -> dict[str, str]:
        path = Path(model.model).expanduser()
        return {"model": str(path.resolve()) if path.is_dir() else model.model}

    main = recipe.main_model.model_copy(update=whole(recipe.main_model))
    references = tuple(each.model_copy(update=whole(each)) for each in recipe.reference_model)
    return recipe.model_copy(update={"main_model": main, "reference_model": references})
