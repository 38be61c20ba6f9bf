"""What one can do with suites."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ftft_core.selection.patterns import check_length
from ftft_core.store import search as search_store
from ftft_core.store import suites as suite_store
from ftft_core.suites import Suite, load_suite, write_suite
from ftft_core.workspace.base import WorkspaceBase


class Suites(WorkspaceBase):
    """Adding, listing, reading and removing suites."""

    def add_suite(self, name: str, spec: str | Path, *, drop_leaked: bool = False) -> Suite:
        """Load, validate and keep a suite.

        :param spec: path of its YAML spec.
        :param drop_leaked: leave texts that stand in dev or a test split out of training.
        :raises SuiteError: with all problems of spec and files; nothing is kept then.
        """
        with self.database.reading() as connection:
            suite_store.check_name(connection, name)
        suite = load_suite(name, Path(spec), drop_leaked=drop_leaked)
        self.keep_suite(suite)
        return suite

    def keep_suite(self, suite: Suite) -> None:
        """Keep a suite that is loaded already."""
        folder = self.folder / "suites" / suite.fingerprint
        if not folder.exists():
            write_suite(suite, folder)
        with self.database.writing() as connection:
            suite_store.add_suite(connection, suite)

    def remove_suite(self, name: str) -> None:
        """Forget a suite; refused while runs or subsets use it."""
        with self.database.writing() as connection:
            fingerprint = suite_store.read_suite_facts(connection, name)["fingerprint"]
            suite_store.remove_suite(connection, name)
            is_shared = fingerprint in set(suite_store.list_suites(connection)["fingerprint"])
        if not is_shared:
            shutil.rmtree(self.folder / "suites" / fingerprint, ignore_errors=True)

    def suites(self) -> pd.DataFrame:
        """One row per suite: suite, fingerprint, labels, num_train, num_splits, created_at, ..."""
        with self.database.reading() as connection:
            return suite_store.list_suites(connection)

    def num_train(self, suite: str) -> int:
        """Give how many training examples a suite has.

        :raises NotFoundError: when there is no such suite.
        """
        splits = self.suite_splits(suite).set_index("role")
        return int(splits.loc["train", "num_examples"])

    def suite_splits(self, suite: str) -> pd.DataFrame:
        """One row per split: split, role, num_examples, has_groups, label_map."""
        with self.database.reading() as connection:
            return suite_store.list_splits(connection, suite)

    def suite_facts(self, suite: str) -> dict[str, Any]:
        """Name, fingerprints, labels, warnings."""
        with self.database.reading() as connection:
            return suite_store.read_suite_facts(connection, suite)

    def suite_labels(self, suite: str) -> tuple[str, ...]:
        """Labels in the order of the logits."""
        return tuple(self.suite_facts(suite)["labels"])

    def examples(self, suite: str, split: str, example_ids: Sequence[str]) -> pd.DataFrame:
        """Give example_id, text, text_pair, label and group of some examples, in the order asked for."""
        with self.database.reading() as connection:
            return suite_store.read_examples(connection, suite, split, example_ids)

    def search_examples(self, suite: str, split: str, contains: str, *, regex: bool = False) -> list[str]:
        """Give the ids of examples whose text (either of a pair) contains or matches something, in file order.

        :raises InputError: when a regular expression (RE2) is malformed, too long, or takes too long.
        """
        check_length(contains)
        with self.database.reading() as connection:
            suite_no = suite_store.find_suite(connection, suite)
            return search_store.search_examples(connection, suite_no, split, contains, regex=regex)
