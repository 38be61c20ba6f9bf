"""What one can do with suites."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from ftft_core.errors import InputError
from ftft_core.run_folder import read_json, write_json
from ftft_core.selection.patterns import check_length
from ftft_core.store import search as search_store
from ftft_core.store import splits as split_store
from ftft_core.store import suites as suite_store
from ftft_core.store.splits import ExampleFilter, ExamplePage
from ftft_core.suites import Origin, SpecText, Suite, load_suite, look_again, origin_of, write_suite
from ftft_core.suites.suite import name_problem
from ftft_core.workspace.base import WorkspaceBase


class Suites(WorkspaceBase):
    """Adding, listing, reading and removing suites."""

    def add_suite(
        self,
        name: str,
        spec: str | Path | SpecText,
        *,
        drop_leaked: bool = False,
        on_step: Callable[[str], None] | None = None,
    ) -> Suite:
        """Load, validate and keep a suite.

        :param spec: path of its YAML spec, or the spec itself with the folder that its paths are relative to.
        :param drop_leaked: leave texts that stand in dev or a test split out of training.
        :param on_step: is told in words what is done next.
        :raises NameTakenError: when a suite has that name.
        :raises SuiteError: with all problems of spec and files; nothing is kept then.
        """
        with self.database.reading() as connection:
            suite_store.check_name(connection, name)
        suite = load_suite(name, spec, drop_leaked=drop_leaked, on_step=on_step)
        if on_step is not None:
            on_step(f"Keeping {sum(map(len, suite.splits)):,} examples")
        self.keep_suite(suite)
        given = spec if isinstance(spec, SpecText) else Path(spec)
        with suppress(OSError):  # It is there; only a later change of its files could not be told.
            self._write_origin(suite.name, suite.fingerprint, origin_of(given, drop_leaked=drop_leaked))
        return suite

    def changed_files(self, name: str) -> list[str]:
        """Give the files that a suite was added from and that make another suite by now; none where that is not known.

        :raises NotFoundError: when there is no such suite.
        """
        with self.database.reading() as connection:
            fingerprint = str(suite_store.read_suite_facts(connection, name)["fingerprint"])
        try:
            before = Origin.model_validate(read_json(self._origin(name, fingerprint)))
            changed, now = look_again(before, name, fingerprint)
        except (OSError, ValueError):
            # Older versions kept none; it may be damaged; and who may not look into the folder of the data can't tell.
            return []
        if now != before:
            with suppress(OSError):  # They are only looked at once more.
                self._write_origin(name, fingerprint, now)
        return changed

    def check_suite_name(self, name: str) -> None:
        """Refuse a name that no new suite can have.

        :raises InputError: when it is none.
        :raises NameTakenError: when a suite has it.
        """
        problem = name_problem("suite", name)
        if problem:
            raise InputError(problem)
        with self.database.reading() as connection:
            suite_store.check_name(connection, name)

    def keep_suite(self, suite: Suite) -> None:
        """Keep a suite that is loaded already.

        :raises NameTakenError: when a suite has its name; nothing is kept then.
        """
        folder = self._suite_folder(suite.fingerprint)
        # All within one transaction: nobody else adds or removes the same content meanwhile.
        with self.database.writing() as connection:
            suite_store.check_name(connection, suite.name)
            is_new = not folder.exists()
            try:
                if is_new:
                    write_suite(suite, folder)
                suite_store.add_suite(connection, suite)
            except BaseException:
                if is_new:
                    shutil.rmtree(folder, ignore_errors=True)
                raise

    def remove_suite(self, name: str) -> None:
        """Forget a suite; refused while runs or subsets use it."""
        with self.database.writing() as connection:
            fingerprint = str(suite_store.read_suite_facts(connection, name)["fingerprint"])
            suite_store.remove_suite(connection, name)
        self._origin(name, fingerprint).unlink(missing_ok=True)
        # Looked at only now that it is gone for good, and while nobody can add the same content anew.
        with self.database.writing() as connection:
            if not suite_store.is_kept(connection, fingerprint):
                shutil.rmtree(self._suite_folder(fingerprint), ignore_errors=True)

    def suite_users(self, name: str) -> list[str]:
        """Name what keeps a suite from being removed: `run NAME`, `removed run NAME (...)`, `subset NAME`."""
        with self.database.reading() as connection:
            return suite_store.suite_users(connection, name)

    def _suite_folder(self, fingerprint: str) -> Path:
        return self.folder / "suites" / fingerprint

    def _write_origin(self, name: str, fingerprint: str, origin: Origin) -> None:
        write_json(self._origin(name, fingerprint), origin.model_dump(mode="json"))

    def _origin(self, name: str, fingerprint: str) -> Path:
        return self._suite_folder(fingerprint) / f"origin-{name}.json"

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

    def describe_splits(self, suite: str) -> pd.DataFrame:
        """Give `suite_splits`, and what they hold: num_groups, labels (label -> count), median_words, ..._pair."""
        with self.database.reading() as connection:
            return split_store.describe_splits(connection, suite)

    def split_groups(self, suite: str, split: str, *, limit: int = 500) -> pd.DataFrame:
        """Give `group` (null for none) and `num_examples` of the largest groups of a split, largest first."""
        with self.database.reading() as connection:
            return split_store.list_groups(connection, suite, split, limit=limit)

    def split_examples(
        self, suite: str, split: str, wanted: ExampleFilter | None = None, *, offset: int = 0, limit: int = 50
    ) -> ExamplePage:
        """Give some of a split's examples, in file order, long texts cut, and how many there are.

        :param wanted: which of them; all when left out.
        :raises InputError: when a regular expression is malformed, too long, or takes too long.
        """
        with self.database.reading() as connection:
            return split_store.read_page(
                connection, suite, split, wanted or ExampleFilter(), offset=offset, limit=limit
            )

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
