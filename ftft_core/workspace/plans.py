"""What one can do before runs start: see what they will cost, and every reason why they can't work."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from ftft_core import store
from ftft_core.config import RunConfig
from ftft_core.errors import FTFTError, InputError, NameTakenError
from ftft_core.planning import (
    Machine,
    Plan,
    RunEstimate,
    SuiteFacts,
    TrainingRows,
    WarmUp,
    WarmUpFolder,
    check_run,
    estimate_run,
    start,
    this_machine,
    warm_up_folder,
)
from ftft_core.planning.asked import Asked, as_config
from ftft_core.planning.checks import memory_problem
from ftft_core.planning.estimate import PROCESS_GROWTH, most_examples, peak_memory_mib, training_flops
from ftft_core.planning.machine import free_memory_mib
from ftft_core.planning.models import read_model_files
from ftft_core.run_folder import read_json, write_json
from ftft_core.store import runs as run_store
from ftft_core.store import subsets as subset_store
from ftft_core.store import suites as suite_store
from ftft_core.workspace.base import WorkspaceBase
from ftft_core.workspace.guides import check_guide
from ftft_core.workspace.resolving import (
    full_budget,
    raise_all,
    read_rows,
    read_suite_of_run,
    resolve_all,
)

_EXPECTED = "expected.json"


@dataclass
class _Looked:
    """What the database says about one run that is planned."""

    config: RunConfig
    """With names resolved, as far as they could be."""
    errors: list[FTFTError] = field(default_factory=list)
    suite: dict[str, Any] | None = None
    """name, fingerprint, folder, labels, num_train; None when it can't be used."""
    rows: TrainingRows | None = None
    """None when suite or subset can't be used."""
    reference_flops: float | None = 0.0
    full_steps: int | None = None
    full_words: str = ""
    warm_up: WarmUp | None = None
    folder: WarmUpFolder | None = None


class Plans(WorkspaceBase):
    """Planning runs, and warming up for it."""

    def plan(self, configs: Sequence[Asked], *, full_steps: int | None = None) -> Plan:
        """Say what runs will cost, or every reason why they can't work; quick, and nothing is started.

        :param configs: configurations, or mappings of their fields, nested or flat; what is wrong with a mapping is
            among the problems.
        :param full_steps: optimizer steps of plain fine-tuning on everything, which `erm_share` is relative to; those
            of the newest erm run of the same model when None, else of 3 epochs.
        """
        problems: list[str] = []
        understood = []
        for asked in configs:
            config, wrong = as_config(asked)
            problems += wrong
            understood += [] if config is None else [config]
        looked = self._look_at_all(understood, full_steps)
        problems += [each for run in looked for error in run.errors for each in (error.message, *error.problems)]
        problems += _shared_names(understood)
        return _assemble(looked, len(configs), list(dict.fromkeys(problems)), _remarks(looked))

    def start_measuring(self, configs: Sequence[Asked], *, again: bool = False) -> None:
        """Warm up for these runs in a process of its own; nothing happens for what is measured or being measured.

        :param again: try also what failed a moment ago.
        """
        folders = [run.folder for run in self._measurable(configs) if run.folder is not None]
        if folders:
            start(self._plans, list(dict.fromkeys(folders)), again=again)

    def measuring(self, configs: Sequence[Asked]) -> str | None:
        """Say what the warm-up for these runs is doing now; None when none is under way."""
        doing = [run.folder.doing() for run in self._measurable(configs) if run.folder is not None]
        said = [each for each in doing if each is not None]
        # One works, the others wait for it.
        busy = [each for each in said if not each.startswith("waiting")]
        return next(iter(busy or said), None)

    def expected(self, run_id: str) -> dict[str, Any] | None:
        """Give what a run was expected to take when it was queued (`seconds`, `train_flops`, ...); None if unknown."""
        try:
            return read_json(self._queue.folder(run_id).path / _EXPECTED)
        except (FileNotFoundError, ValueError):
            return None

    def checked(self, asked: Asked) -> RunConfig:
        """Give a configuration of what was asked for; that its names can be used is seen when it is queued.

        :raises InputError: when it has fields that are wrong, with every other reason why the run can't work too.
        """
        config, wrong = as_config(asked)
        if config is not None and not wrong:
            return config
        problems = self.plan([asked]).problems
        raise InputError(f"The run can't work, for {len(problems)} reason{'s' * (len(problems) != 1)}.", problems)

    def refuse_unworkable(self, config: RunConfig) -> RunEstimate | None:
        """Give what a run is expected to take; None while that is not measured.

        :raises InputError: with every reason why it can't work.
        """
        (run,) = self._look_at_all([config])
        raise_all(run.errors)
        return _estimate(run)

    def estimate(self, config: RunConfig, *, num_examples: int | None = None) -> RunEstimate | None:
        """Give what a run on all examples would take, or on so many of them drawn at random; None while not measured.

        For runs whose subset can't be made yet: what is chosen later is taken to be of usual length.
        """
        (run,) = self._look_at_all([config])
        if num_examples is not None and run.suite is not None:
            num_train = run.suite["num_train"]
            drawn = np.random.default_rng(0).choice(num_train, min(num_examples, num_train), replace=False)
            run.rows = TrainingRows(len(drawn), np.sort(drawn))
        return _estimate(run)

    def keep_expected(self, run_id: str, expected: RunEstimate | None) -> None:
        """Keep what a run is expected to take with it."""
        if expected is not None:
            facts = {**expected.as_dict(), "planned_at": time.time()}
            write_json(self._queue.folder(run_id).path / _EXPECTED, facts)

    @property
    def _plans(self) -> Path:
        return self.folder / "plans"

    def _measurable(self, configs: Sequence[Asked]) -> list[_Looked]:
        """Those runs that nothing speaks against but what a warm-up would tell."""
        known = [config for config, wrong in map(as_config, configs) if config is not None and not wrong]
        looked = dict.fromkeys(_alike(config) for config in known)
        return [run for run in self._look_at_all(list(looked), with_warm_up=False) if not run.errors]

    def _look_at_all(
        self, configs: Sequence[RunConfig], full_steps: int | None = None, *, with_warm_up: bool = True
    ) -> list[_Looked]:
        """Look at runs; those that differ in seed and name alone are looked at once.

        :param with_warm_up: count what the warm-up found among the reasons why a run can't work.
        """
        machine = this_machine()
        alike: dict[RunConfig, _Looked] = {}
        looked = []
        for config in configs:
            kind = _alike(config)
            if kind not in alike:
                alike[kind] = self._look(kind, full_steps)
                alike[kind].errors = self._errors(alike[kind], machine, with_warm_up=with_warm_up)
            run = alike[kind]
            own = run.config.model_copy(update={"seed": config.seed, "name": config.name})
            looked.append(replace(run, config=own, errors=[*run.errors, *self._name_errors(config.name)]))
        return looked

    def _name_errors(self, name: str | None) -> list[FTFTError]:
        if name is None:
            return []
        with self.database.reading() as connection:
            if run_store.free_name(connection, name) == name:
                return []
        return [NameTakenError(f"A run named '{name}' is there already; choose another name.")]

    def _look(self, config: RunConfig, full_steps: int | None) -> _Looked:
        with self.database.reading() as connection:
            resolved, unresolved = resolve_all(connection, config)
            run = _Looked(resolved, [*unresolved])
            errors = run.errors
            with suppress(InputError):
                run.suite = read_suite_of_run(connection, self.folder, config.suite)
            if run.suite is not None and run.suite["folder"] is None:
                errors.append(
                    InputError(
                        f"Suite '{config.suite}' has no texts (it came with imported dynamics), so nothing can be "
                        "trained on it; add the data with `ftft suite add` and import the dynamics with --suite."
                    )
                )
                run.suite = None
            if run.suite is None:
                return run
            try:
                run.rows = read_rows(connection, resolved, run.suite)
            except InputError as error:
                # That there is no such subset, or that it is of another suite, was said already.
                if not errors:
                    errors.append(error)
            if not errors and run.rows is not None:
                errors += self._guide_errors(connection, resolved, run.rows)
            run.full_steps, run.full_words = full_steps, f"{full_steps} steps on everything"
            if full_steps is None:
                run.full_steps, run.full_words = full_budget(connection, resolved, run.suite["num_train"])
            needed = set() if resolved.reference is None else {resolved.reference}
            if resolved.subset is not None and not errors:
                needed |= {*subset_store.source_runs(connection, resolved.subset)}
            flops = [self._reference_flops(connection, each) for each in sorted(needed)]
            run.reference_flops = None if None in flops else math.fsum(each for each in flops if each is not None)
        return run

    def _guide_errors(self, connection: store.Connection, config: RunConfig, rows: TrainingRows) -> list[FTFTError]:
        """Why a run's reference can't guide it; nothing for a method that needs no guide."""
        try:
            fingerprint = suite_store.read_suite_facts(connection, config.suite)["training_fingerprint"]
            folder_of, positions = self._queue.folder, rows.positions
            check_guide(connection, config, folder_of=folder_of, positions=positions, fingerprint=fingerprint)
        except FTFTError as error:
            return [error]
        return []

    def _reference_flops(self, connection: store.Connection, reference: str) -> float | None:
        """FLOPs of a reference: what it took, else what it is expected to take."""
        try:
            row = run_store.read_run(connection, reference)
        except InputError:
            return None
        if row["status"] == "finished":
            return None if row["train_flops"] is None else float(row["train_flops"] + (row["stopping_flops"] or 0.0))
        expected = self.expected(row["run_id"])
        return None if expected is None else float(expected["train_flops"] + expected["stopping_flops"])

    def _errors(self, run: _Looked, machine: Machine, *, with_warm_up: bool = True) -> list[FTFTError]:
        """Give every reason why a run can't work, and find the warm-up that tells what it takes."""
        facts = None
        if run.suite is not None:
            num_examples = None if run.rows is None else run.rows.num_examples
            facts = SuiteFacts(run.suite["labels"], num_examples, self._longest_words(run.config.suite))
        errors = list(run.errors)
        said = {error.message for error in errors}
        problems = check_run(run.config, facts, machine, self._queue.runs)
        errors += [InputError(problem) for problem in problems if problem not in said]
        if run.suite is None or run.rows is None or errors:
            return errors
        run.folder = warm_up_folder(self._plans, run.config, run.suite, machine)
        run.warm_up = run.folder.result()
        return [InputError(problem) for problem in self._measured_problems(run)] if with_warm_up else []

    def _longest_words(self, suite: str) -> Any:
        def read() -> dict[str, int]:
            with self.database.reading() as connection:
                return suite_store.longest_words(connection, suite)

        return read

    def _measured_problems(self, run: _Looked) -> list[str]:
        """What the warm-up found to speak against a run."""
        warm_up = run.warm_up
        if warm_up is None:
            return []
        if warm_up.failure is not None:
            return [warm_up.failure] if warm_up.is_refusal else []
        numbers = warm_up.numbers
        tests = numbers["splits"].values() if run.config.method != "reference" else ()
        too_long = [each["problem"] for each in tests if each["problem"] is not None]
        free = self._free_memory_mib(numbers)
        needed = peak_memory_mib(warm_up)
        if free is None or needed <= free:
            return too_long
        most = most_examples(warm_up, free)
        if most is not None:
            most = min(most, run.config.training.batch_size - 1)
        return [*too_long, memory_problem(run.config, needed, free, most)]

    def _free_memory_mib(self, numbers: Mapping[str, Any]) -> float | None:
        """Memory that a run will have once it is its turn: what runs of this workspace hold now is free by then."""
        if numbers["device"] != "cpu":
            return numbers["available_memory_mib"]
        free = free_memory_mib()
        if free < PROCESS_GROWTH * numbers["peak_memory_mib"]:
            for folder in self._queue.running():
                with suppress(psutil.Error, FileNotFoundError, KeyError):
                    state = folder.read_state()
                    if folder.runs_here(state):
                        free += psutil.Process(state["pid"]).memory_info().rss / 2**20
        return free


def _alike(config: RunConfig) -> RunConfig:
    """Give what runs have in common that differ in seed and name alone."""
    return config.model_copy(update={"seed": 0, "name": None})


def _shared_names(configs: Sequence[RunConfig]) -> list[str]:
    names = [config.name for config in configs if config.name is not None]
    return [
        f"name: {names.count(name)} of these runs would be named '{name}'; leave the name out, or give each its own."
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]


def _remarks(looked: Sequence[_Looked]) -> list[str]:
    remarks = []
    for run in looked:
        own = read_model_files(run.config.model).head_labels
        if run.suite is not None and own is not None and len(own) != len(run.suite["labels"]):
            remarks.append(
                f"Model '{run.config.model}' brings a head for {', '.join(own)}; it is replaced by a new one for "
                f"{', '.join(run.suite['labels'])}."
            )
    measured = [run.warm_up.numbers for run in looked if run.warm_up is not None and run.warm_up.numbers]
    busiest = max(measured, key=lambda numbers: numbers["load_average"], default=None)
    if busiest is not None and busiest["load_average"] > busiest["num_cores"] + 0.5:
        remarks.append(
            f"The warm-up ran while the machine was busy (load {busiest['load_average']:.1f} on "
            f"{busiest['num_cores']} cores): alone, the runs will be faster."
        )
    return list(dict.fromkeys(remarks))


def _estimate(run: _Looked) -> RunEstimate | None:
    if run.warm_up is None or not run.warm_up.has_timings or run.rows is None:
        return None
    return estimate_run(run.config, run.rows, run.warm_up)


def _failure_of(looked: Sequence[_Looked]) -> str | None:
    for run in looked:
        if run.warm_up is not None and run.warm_up.failure is not None:
            return run.warm_up.failure
        if run.folder is not None and (said := run.folder.died()) is not None:
            return "The process that measures ended without a word" + (f" ({said})." if said else ".")
    return None


def _assemble(looked: Sequence[_Looked], num_runs: int, problems: list[str], remarks: list[str]) -> Plan:
    runs = [None if problems else _estimate(run) for run in looked]
    known = [run for run in runs if run is not None]
    is_measured = bool(runs) and len(known) == len(runs) == num_runs
    steps = [
        estimate.num_steps
        if estimate is not None
        else run.config.budget.num_steps(run.rows.num_examples, run.config.training.batch_size)
        if run.rows is not None
        else None
        for run, estimate in zip(looked, runs, strict=True)
    ]
    warm_ups = [run.warm_up for run in looked if run.warm_up is not None and run.warm_up.numbers]
    peaks = [int(peak_memory_mib(warm_up) * 2**20) for warm_up in warm_ups]
    return Plan(
        problems=tuple(problems),
        remarks=tuple(remarks),
        num_runs=num_runs,
        num_steps=sum(filter(None, steps)) if steps and None not in steps and len(steps) == num_runs else None,
        is_measured=is_measured,
        train_flops=sum(run.train_flops for run in known) if is_measured else None,
        seconds=sum(run.seconds for run in known) if is_measured else None,
        peak_memory_bytes=max(peaks) if peaks and (is_measured or problems) else None,
        erm_share=_erm_share(looked, known) if is_measured else None,
        erm_words="; ".join(dict.fromkeys(run.full_words for run in looked if run.full_words)),
        can_stop_early=any(run.config.stop is not None for run in looked),
        measuring_failed=None if is_measured else _failure_of(looked),
        runs=tuple(runs),
    )


def _erm_share(looked: Sequence[_Looked], estimates: Sequence[RunEstimate]) -> float | None:
    """FLOPs with references, over those of as many plain fine-tunings; a reference counts in full for each run."""
    spent = plain = 0.0
    for run, estimate in zip(looked, estimates, strict=True):
        if run.reference_flops is None or run.suite is None or run.warm_up is None:
            return None
        spent += estimate.train_flops + estimate.stopping_flops + run.reference_flops
        everything = TrainingRows(run.suite["num_train"])
        num_steps = run.full_steps or estimate.num_steps
        plain += training_flops(run.config, everything, run.warm_up, num_steps)
    return spent / plain
