"""Reading maps and saved subsets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from ftft_core.config import NAME_PATTERN
from ftft_core.errors import InputError
from ftft_core.selection import Recipe
from ftft_core.store import subsets as subset_store
from ftft_core.workspace.marks import Marks
from ftft_core.workspace.runs import Runs
from ftft_core.workspace.suites import Suites
from ftft_core.workspace.tables import Tables


@dataclass(frozen=True)
class SubsetRecord:
    """A saved subset: one row of the view `subsets`."""

    subset: str
    """Its id."""
    name: str
    suite: str
    source_run: str | None
    strategy: str | None
    fraction: float | None
    size: int
    recipe: Recipe
    created_at: datetime


class Maps(Suites, Runs, Marks, Tables):
    """Reading maps, and listing subsets."""

    def subsets(self, suite: str | None = None) -> pd.DataFrame:
        """Give the view `subsets`, oldest first."""
        with self.database.reading() as connection:
            return subset_store.list_subsets(connection, suite)

    def subset(self, reference: str) -> SubsetRecord:
        """Give a saved subset."""
        with self.database.reading() as connection:
            row = subset_store.read_subset(connection, reference)
        return SubsetRecord(**{**row, "recipe": Recipe.model_validate_json(row["recipe"])})

    def subset_examples(self, reference: str) -> pd.DataFrame:
        """Give example_id and weight of a subset, in file order."""
        with self.database.reading() as connection:
            return subset_store.read_subset_examples(connection, reference)[["example_id", "weight"]]


def check_subset_name(name: str) -> None:
    """Refuse what can't be a subset's name.

    :raises InputError: saying what can.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise InputError(
            f"name: received '{name}'; allowed are letters, digits, dot, underscore and hyphen, at most 100, "
            "the first a letter or digit."
        )
