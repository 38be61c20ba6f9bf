"""Keeping the results of finished runs in small files, and making a workspace of them again, without training.

Owns what makes a run the same as one that is kept already: all that must agree for runs to be averaged, the seed, and
the suite's fingerprint. What the files look like is `kept_files`'.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ftft_core import store
from ftft_core.errors import InputError, unknown
from ftft_core.selection import Recipe
from ftft_core.store import comparing as comparing_store
from ftft_core.store import dynamics as dynamics_store
from ftft_core.store import keeping as keeping_store
from ftft_core.store import runs as run_store
from ftft_core.store import subsets as subset_store
from ftft_core.store import suites as suite_store
from ftft_core.suites import Split, Suite
from ftft_core.suites.suite import TRAIN
from ftft_core.workspace.compared import describe_runs
from ftft_core.workspace.kept_files import (
    EXAMPLES_FILE,
    KeptSuite,
    kept_suites,
    lists_of,
    pack_dynamics,
    part_of,
    portable_model,
    read_kept,
    round_logits,
    rows_of,
    run_file,
    unpack_dynamics,
    write_kept,
    write_parquet,
)
from ftft_core.workspace.kept_names import left_out_runs, run_key, training_of
from ftft_core.workspace.results import Results

WITH_MAPS = ("reference", "erm")
"""Methods of which dynamics are kept, beside those of runs that others were selected by."""

_ROW_FACTS = (
    *("name", "model", "num_layers", "method", "seed", "fraction", "message", "num_steps_planned"),
    *("num_optimizer_steps", "num_examples_seen", "resumed_from_step", "kept_step", "train_flops", "train_seconds"),
    *("evaluation_flops", "evaluation_seconds", "stopping_flops", "stopping_seconds", "snapshot_flops"),
    *("snapshot_seconds", "selecting_flops", "selecting_seconds", "peak_memory_mib", "device", "precision"),
)
"""Columns of the view `runs` that are kept as they are, or, for the model, as others can name it."""


@dataclass(frozen=True)
class Kept:
    """What came of keeping the results of a suite; names of runs."""

    suite: str
    added: tuple[str, ...]
    known: tuple[str, ...]
    """Kept already, from this workspace or another; nothing was changed."""
    left_out: tuple[str, ...]
    """Not kept, each with the reason."""


class Keeping(Results):
    """Results that outlive the workspace."""

    def keep_results(self, suite: str, folder: str | Path, *, again: bool = False, rounded: bool = False) -> Kept:
        """Add the finished runs of a suite to the results in `folder`, in a folder of the suite's name.

        Predictions of all test splits and scores on the way are kept, and of references and plain fine-tuning what
        their data maps take; no texts. Runs that are there already stay as they are.

        :param again: replace those that are there by the ones of this workspace.
        :param rounded: round logits of predictions (`kept_files.round_logits`): what is predicted stays the same, but
            for near ties where a split merges labels; calibration to about three digits. Kept exactly when left out.
        :raises InputError: when results are kept of another version of the suite.
        """
        target = Path(folder) / suite
        with self.database.reading() as connection:
            facts = _suite_facts(connection, suite)
            kept = read_kept(target) if target in kept_suites(Path(folder)) else KeptSuite(target, facts, [])
            _check_version(kept, facts)
            rows = {str(row["run_id"]): row for row in run_store.list_runs(connection, suite).to_dict("records")}
            described = describe_runs(connection, suite)
            there = {training_of(run): str(run["key"]) for run in kept.runs}
            keys = {
                # A run that an earlier version kept, which may have told runs apart by less, keeps its key.
                run_id: there.get(training_of(rows[run_id]), run_key(result))
                for run_id, result in described.items()
            }
            left_out = left_out_runs(rows, keys)
            chosen = {keys[run_id]: run_id for run_id in keys if rows[run_id]["name"] not in left_out}
            known = {run["key"]: place for place, run in enumerate(kept.runs)}
            sources = {rows[run_id]["reference_run"] for run_id in chosen.values()}
            target.mkdir(parents=True, exist_ok=True)
            if not (target / EXAMPLES_FILE).exists():
                write_parquet(target / EXAMPLES_FILE, _examples(connection, suite))
            added = []
            for key, run_id in chosen.items():
                row = rows[run_id]
                if key in known and not again:
                    continue
                has_map = row["method"] in WITH_MAPS or run_id in sources
                write_parquet(
                    run_file(target, key), _run_table(connection, row, kept.facts, has_map=has_map, rounded=rounded)
                )
                line = {**_run_facts(connection, key, row, keys), "rounded": rounded}
                if key in known:
                    kept.runs[known[key]] = line
                else:
                    kept.runs.append(line)
                added.append(str(row["name"]))
        if added or not kept.runs:
            write_kept(kept)
        names = {key: str(rows[run_id]["name"]) for key, run_id in chosen.items()}
        return Kept(
            suite,
            tuple(added),
            tuple(name for key, name in names.items() if name not in added),
            tuple(f"{name}: {reason}" for name, reason in left_out.items()),
        )

    def restore_results(self, folder: str | Path) -> str:
        """Make the suite and the finished runs of which results are kept in a folder; give the suite's name.

        The suite has no texts, so nothing can be trained on it; runs have the key of their results as their id.
        Comparisons are those of the original runs; maps are those of references and plain fine-tuning.

        :param folder: of one suite, as `keep_results` made it.
        :raises InputError: when there are no results, or a file is missing or damaged.
        :raises NameTakenError: when the workspace has a suite of that name.
        """
        kept = read_kept(Path(folder))
        examples = kept.examples.to_pandas()
        suite = _suite(kept, examples)
        tables = {run["key"]: kept.table(run["key"]) for run in kept.runs}  # all are read before anything is made
        train = examples.loc[examples["split"] == TRAIN]
        with self.database.writing() as connection, tempfile.TemporaryDirectory() as outbox:
            suite_store.add_suite(connection, suite)
            for run in _in_order(kept.runs):
                _restore_run(connection, suite, run, tables[run["key"]], train, Path(outbox))
        return suite.name


def _suite_facts(connection: store.Connection, suite: str) -> dict[str, Any]:
    facts = suite_store.read_suite_facts(connection, suite)
    fingerprints = keeping_store.read_split_fingerprints(connection, suite)
    splits = [
        {"name": row.split, "role": row.role, "label_map": row.label_map, "num_examples": int(row.num_examples),
         "fingerprint": fingerprints[row.split]}
        for row in suite_store.list_splits(connection, suite).itertuples()
    ]  # fmt: skip
    names = ("suite", "fingerprint", "training_fingerprint")
    return {**{name: facts[name] for name in names}, "labels": list(facts["labels"]), "splits": splits}


def _check_version(kept: KeptSuite, facts: Mapping[str, Any]) -> None:
    if kept.facts["fingerprint"] == facts["fingerprint"]:
        return
    before = {split["name"]: split["fingerprint"] for split in kept.facts["splits"]}
    now = {split["name"]: split["fingerprint"] for split in facts["splits"]}
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    raise InputError(
        f"The results in {kept.folder} are of another version of suite '{facts['suite']}' "
        f"({kept.facts['fingerprint'][:6]}, here {facts['fingerprint'][:6]}); they must not be mixed. Give another "
        "folder, or move what is there away.",
        [f"split '{name}' differs" for name in changed] or ["the order of the labels differs"],
    )


def _examples(connection: store.Connection, suite: str) -> pa.Table:
    frame = keeping_store.read_examples_without_texts(connection, suite)
    return pa.table({name: pa.array(frame[name], pa.string(), from_pandas=True) for name in frame.columns})


def _run_facts(
    connection: store.Connection, key: str, row: Mapping[str, Any], keys: Mapping[str, str]
) -> dict[str, Any]:
    """Give what is to be known of a run; ids are replaced by keys, and paths of models by names."""
    plain = {name: _plain(row[name]) for name in _ROW_FACTS}
    reference = row["reference_run"] if isinstance(row["reference_run"], str) else None
    trained_on = keeping_store.read_trained_on(connection, row["run_id"])
    recipe = None if trained_on is None else _with_keys(trained_on.recipe, keys)
    config = {**json.loads(row["config"]), "model": portable_model(row["model"])}
    config |= {"reference": None if reference is None else keys[reference], "subset": None}
    return {
        "key": key,
        **plain,
        "model": portable_model(row["model"]),
        "reference": None if reference is None else keys[reference],
        "subset": None if trained_on is None else {"name": trained_on.name, "recipe": json.loads(str(recipe))},
        "counted_epochs": keeping_store.read_counted_epochs(connection, row["run_id"]),
        "config": config,
        "versions": json.loads(row["versions"]) if isinstance(row["versions"], str) else None,
        "finished_at": None if pd.isna(row["finished_at"]) else row["finished_at"].isoformat(timespec="seconds"),
    }


def _with_keys(recipe: str, keys: Mapping[str, str]) -> str:
    """Replace the ids of runs in a recipe: a letter and eight hexadecimal digits, which stand for nothing else."""
    for run_id, key in keys.items():
        recipe = recipe.replace(json.dumps(run_id), json.dumps(key))
    return recipe


def _run_table(
    connection: store.Connection, row: Mapping[str, Any], facts: Mapping[str, Any], *, has_map: bool, rounded: bool
) -> pa.Table:
    run_id = row["run_id"]
    parts = []
    for split in facts["splits"]:
        read = comparing_store.read_split_logits(connection, [run_id], split["name"]).get(run_id)
        if read is not None:
            name = pa.array([split["name"]] * len(read.positions), pa.string())
            logits = round_logits(read.logits) if rounded else read.logits
            columns = {"split": name, "position": pa.array(read.positions), "logits": lists_of(logits)}
            parts.append(rows_of("prediction", columns))
    if has_map and run_id in dynamics_store.runs_with_dynamics(connection):
        run_no, _ = run_store.find_run(connection, run_id)
        dynamics, positions = dynamics_store.read_dynamics(connection, run_no, with_cut_short=True)
        for epoch, seen in enumerate(dynamics.seen):
            log_odds, is_right = pack_dynamics(dynamics.logits[epoch][seen], dynamics.labels[seen])
            columns = {
                "epoch": pa.array(np.full(len(log_odds), epoch, dtype=np.int32)),
                "position": pa.array(positions[seen]),
                "log_odds": pa.array(log_odds),
                "is_right": pa.array(is_right),
            }
            if dynamics.steps is not None:
                columns["step"] = pa.array(dynamics.steps[epoch][seen], mask=dynamics.steps[epoch][seen] < 0)
            parts.append(rows_of("dynamics", columns))
    scores = keeping_store.read_whole_scores(connection, run_id)
    parts.append(rows_of("score", {name: scores[name].combine_chunks() for name in scores.column_names}))
    trained_on = keeping_store.read_trained_on(connection, run_id)
    if trained_on is not None:
        columns = {"position": pa.array(trained_on.positions), "weight": pa.array(trained_on.weights)}
        parts.append(rows_of("subset", columns))
    return pa.concat_tables(parts)


def _suite(kept: KeptSuite, examples: pd.DataFrame) -> Suite:
    """Make the suite without its texts; its fingerprints are those of the original."""
    splits = []
    for each in kept.facts["splits"]:
        frame = examples[examples["split"] == each["name"]].drop(columns="split").reset_index(drop=True)
        frame = frame.astype(object).where(frame.notna(), None)
        frame.insert(1, "text", pd.Series([None] * len(frame), dtype=object))
        frame.insert(2, "text_pair", pd.Series([None] * len(frame), dtype=object))
        merged = each["label_map"]
        label_map = None if merged is None else {label: tuple(members) for label, members in merged.items()}
        splits.append(Split(each["name"], each["role"], frame, label_map, each["fingerprint"]))
    facts = kept.facts
    prints = (facts["fingerprint"], facts["training_fingerprint"])
    return Suite(facts["suite"], tuple(facts["labels"]), tuple(splits), *prints)


def _in_order(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the runs as they were made, but each after its reference."""
    known = {run["key"]: run for run in runs}
    done: dict[str, dict[str, Any]] = {}

    def add(run: dict[str, Any]) -> None:
        if run["reference"] is not None and run["reference"] not in done:
            if run["reference"] not in known:
                raise InputError(f"The results of {run['key']} need its reference's. " + unknown(
                    "run", run["reference"], known))  # fmt: skip
            add(known[run["reference"]])
        done.setdefault(run["key"], run)

    for run in runs:
        add(run)
    return list(done.values())


def _restore_run(
    connection: store.Connection,
    suite: Suite,
    run: Mapping[str, Any],
    table: pa.Table,
    train: pd.DataFrame,
    outbox: Path,
) -> None:
    """Add a run as it was queued, and take in what came of it as if a training process had left it."""
    reference_no = None if run["reference"] is None else run_store.run_number(connection, run["reference"])
    suite_no = suite_store.find_suite(connection, suite.name)
    subset_no = None
    if run["subset"] is not None:
        recipe = Recipe.model_validate(run["subset"]["recipe"])
        members = part_of(table, "subset", ["position", "weight"])
        ids = train["example_id"].to_numpy(dtype=object)[members["position"].to_numpy()]
        source_no = None if recipe.source_run is None else run_store.run_number(connection, recipe.source_run)
        subset = subset_store.add_subset(
            connection, recipe, ids, suite_no=suite_no, source_run_no=source_no, weights=members["weight"].to_numpy(),
            name=subset_store.free_subset_name(connection, run["subset"]["name"]),
        )  # fmt: skip
        subset_no, _ = subset_store.find_subset(connection, subset)
    run_store.add_run(
        connection,
        {
            "run_id": run["key"],
            "name": run_store.free_name(connection, run["name"]),
            "suite_no": suite_no,
            "suite_fingerprint": suite.fingerprint,
            "training_fingerprint": suite.training_fingerprint,
            "subset_no": subset_no,
            "reference_run_no": reference_no,
            "config": json.dumps(run["config"]),
            **{name: run[name] for name in ("model", "num_layers", "method", "seed", "fraction")},
            **{name: run[name] for name in ("selecting_flops", "selecting_seconds")},
        },
    )
    run_no, _ = run_store.find_run(connection, run["key"])
    files = _outbox(suite, table, train, outbox)
    damaged = dynamics_store.take_in(connection, run_no, files)
    if damaged:
        raise InputError(f"The results of {run['key']} can't be taken in.", list(damaged.values()))
    keeping_store.set_counted_epochs(connection, run["key"], run["counted_epochs"])
    dynamics_store.refresh_data_map(connection, run_no)
    versions = None if run["versions"] is None else json.dumps(run["versions"])
    since = None if run["finished_at"] is None else pd.Timestamp(run["finished_at"], tz="UTC").timestamp()
    run_store.set_run_state(
        connection, run["key"], "finished", run["message"], {**run, "versions": versions, "since": since}
    )
    for file in files:
        file.unlink()


def _outbox(suite: Suite, table: pa.Table, train: pd.DataFrame, folder: Path) -> list[Path]:
    """Write what came of a run as a training process does."""
    tables = {"predictions": part_of(table, "prediction", ["split", "position", "logits"])}
    scores = part_of(table, "score", ["split", "step", "metric", "value"])
    none, final = pa.nulls(scores.num_rows, pa.string()), pa.array([False] * scores.num_rows, pa.bool_())
    columns = {name: scores[name] for name in scores.column_names}
    tables["scores"] = pa.table({"group": none, "final": final, **columns}).select(
        ["split", "group", "step", "metric", "value", "final"]
    )
    recorded = part_of(table, "dynamics", ["epoch", "position", "log_odds", "is_right", "step"])
    epochs, positions, log_odds, is_right = (recorded[name].to_numpy() for name in recorded.column_names[:-1])
    order = {label: index for index, label in enumerate(suite.labels)}
    gold = train["label"].map(order).to_numpy(dtype=np.int64)[positions]
    logits = unpack_dynamics(log_odds, is_right, gold, len(suite.labels))
    tables["dynamics"] = pa.table(
        {
            "epoch": pa.array(epochs),
            "position": pa.array(positions, pa.int64()),
            "logits": lists_of(logits),
            "step": recorded["step"].cast(pa.int32()),
        }
    )
    files = []
    for kind, rows in tables.items():
        if rows.num_rows:
            path = folder / f"{kind}-kept.parquet"
            write_parquet(path, rows)
            files.append(path)
    return files


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value
