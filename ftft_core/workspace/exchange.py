"""Taking in dynamics that other tools recorded."""

from __future__ import annotations

import re
import secrets
from typing import Any

import numpy as np
import pandas as pd

from ftft_core import store
from ftft_core.config import NAME_PATTERN
from ftft_core.dynamics import TrainingDynamics
from ftft_core.errors import InputError, one_of
from ftft_core.store import dynamics as dynamics_store
from ftft_core.store import runs as run_store
from ftft_core.store import suites as suite_store
from ftft_core.suites import TRAIN, Split, Suite
from ftft_core.suites.fingerprints import split_fingerprint, suite_fingerprint
from ftft_core.workspace.results import Results


class Exchange(Results):
    """Imported dynamics."""

    def import_dynamics(
        self, dynamics: TrainingDynamics, *, name: str, suite: str | None = None, model: str = "imported"
    ) -> str:
        """Keep dynamics as a finished run of the method `reference`; give its id.

        Without a suite, one is made that has the run's name, its ids and labels, and no texts: maps and subsets work,
        training does not. `num_layers` is 0: what trained it is not known here.

        :raises InputError: when ids or labels differ from the suite's training split.
        :raises NameTakenError: when the name is in use.
        """
        if not re.fullmatch(NAME_PATTERN, name):
            raise InputError(
                f"name: received '{name}'; allowed are letters, digits, dot, underscore and hyphen, at most 100."
            )
        run_id = f"r{secrets.token_hex(4)}"
        with self.database.writing() as connection:
            if suite is None:
                suite = name
                suite_store.add_suite(connection, _suite_without_texts(name, dynamics))
            positions = _positions(connection, suite, dynamics)
            facts = suite_store.read_suite_facts(connection, suite)
            run = {
                "run_id": run_id,
                "name": name,
                "suite_no": suite_store.find_suite(connection, suite),
                "suite_fingerprint": facts["fingerprint"],
                "training_fingerprint": facts["training_fingerprint"],
                "model": model,
                "num_layers": 0,
                "subset_no": None,
                "method": "reference",
                "seed": 0,
                "reference_run_no": None,
                "fraction": len(positions) / len(suite_store.read_split(connection, suite, TRAIN)),
                "config": "{}",
            }
            run_store.add_run(connection, run)
            run_no, _ = run_store.find_run(connection, run_id)
            dynamics_store.add_dynamics(connection, run_no, dynamics, positions)
            run_store.set_run_state(connection, run_id, "finished", "imported", {})
        return run_id

    def training_labels(self, suite: str) -> dict[str, str]:
        """Give the gold label of every training example, by its id."""
        with self.database.reading() as connection:
            frame = suite_store.read_split(connection, suite, TRAIN)
        return dict(zip(frame["example_id"], frame["label"], strict=True))


def _suite_without_texts(name: str, dynamics: TrainingDynamics) -> Suite:
    labels = np.array(dynamics.label_names, dtype=object)[dynamics.labels]
    missing = pd.Series([None] * len(labels), dtype=object)
    examples = pd.DataFrame({"example_id": dynamics.example_ids, "text": missing, "text_pair": missing})
    examples = examples.assign(label=labels, group=missing)
    fingerprint = split_fingerprint(TRAIN, TRAIN, None, examples)
    whole = suite_fingerprint(dynamics.label_names, {TRAIN: fingerprint})
    split = Split(TRAIN, TRAIN, examples, None, fingerprint)
    return Suite(name, dynamics.label_names, (split,), whole, whole)


def _positions(connection: store.Connection, suite: str, dynamics: TrainingDynamics) -> np.ndarray[Any, Any]:
    """Give the rows of the suite's training split that the dynamics speak of."""
    examples = suite_store.read_split(connection, suite, TRAIN)
    positions = pd.Index(examples["example_id"]).get_indexer(pd.Index(dynamics.example_ids))
    unknown_ids = dynamics.example_ids[positions < 0]
    problems = []
    if len(unknown_ids):
        problems.append(
            f"{len(unknown_ids):,} of {len(positions):,} ids are not in the suite's training split, such as "
            f"{one_of(map(str, unknown_ids), limit=3)}"
        )
    else:
        given = np.array(dynamics.label_names, dtype=object)[dynamics.labels]
        differ = examples["label"].to_numpy(dtype=object)[positions] != given
        if differ.any():
            example_id = dynamics.example_ids[differ][0]
            problems.append(f"{int(differ.sum()):,} gold labels differ from the suite's, the first of '{example_id}'")
    if problems:
        raise InputError(f"These dynamics do not belong to suite '{suite}'.", problems)
    return positions
