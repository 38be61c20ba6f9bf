"""What one can do with dynamics and data maps, and how a map becomes a subset."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from ftft_core.config import NAME_PATTERN
from ftft_core.dynamics import IdArray
from ftft_core.errors import InputError
from ftft_core.selection import Recipe, WhereCondition, apply_recipe, filter_columns
from ftft_core.store import dynamics as dynamics_store
from ftft_core.store import runs as run_store
from ftft_core.store import subsets as subset_store
from ftft_core.store import suites as suite_store
from ftft_core.workspace.marks import Marks
from ftft_core.workspace.runs import Runs
from ftft_core.workspace.suites import Suites
from ftft_core.workspace.tables import Tables

_TEXT_COLUMNS = ("text", "text_pair")


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
    """Reading maps, and making and listing subsets."""

    def learning_curves(self, reference: str, example_ids: Sequence[str]) -> pd.DataFrame:
        """Give example_id, epoch and gold_probability of some examples of a run."""
        with self.database.reading() as connection:
            _, run_id = run_store.find_run(connection, reference)
            return dynamics_store.read_learning_curves(connection, run_id, example_ids)

    def preview_subset(self, recipe: Recipe, *, suite: str | None = None) -> IdArray:
        """Give the ids that a recipe chooses, in file order; nothing is saved.

        :param suite: needed where the recipe looks at no run.
        """
        subsets = {
            reference: self.subset_examples(reference)["example_id"].to_numpy(dtype=object)
            for condition in recipe.conditions
            for reference in getattr(condition, "operands", {}).values()
        }
        return apply_recipe(recipe, self._recipe_frame(recipe, suite), subsets=subsets)

    def _recipe_frame(self, recipe: Recipe, suite: str | None) -> pd.DataFrame:
        """Give what a recipe is applied to: a data map, or the bare examples of a suite; with texts if it asks."""
        if recipe.source_run is not None:
            suite = self.run(recipe.source_run)["suite"]
            frame = self.data_map(recipe.source_run, epochs=recipe.epochs)
        else:
            suite = suite or self._suite_of_operands(recipe)
            with self.database.reading() as connection:
                frame = suite_store.read_split(connection, suite, "train")
        expressions = [item.expression for item in recipe.conditions if isinstance(item, WhereCondition)]
        asked = {name for expression in expressions for name in filter_columns(expression)}
        if asked & set(_TEXT_COLUMNS):
            texts = self.examples(suite, "train", frame["example_id"].tolist())
            attrs = frame.attrs
            frame = frame.assign(**{name: texts[name].to_numpy() for name in _TEXT_COLUMNS})
            frame.attrs = attrs
        return frame

    def _suite_of_operands(self, recipe: Recipe) -> str:
        operands = [item for condition in recipe.conditions for item in getattr(condition, "operands", {}).values()]
        suites = {self.subset(reference).suite for reference in operands}
        if len(suites) != 1:
            said = f"subsets of {len(suites)} suites ({', '.join(sorted(suites))})" if suites else "no suite"
            raise InputError(f"A recipe needs one suite; received {said}.")
        return str(suites.pop())

    def save_subset(self, recipe: Recipe, *, name: str | None = None, suite: str | None = None) -> SubsetRecord:
        """Make a subset from its recipe and keep both.

        :raises InputError: when the name is none, or nothing is left by the recipe.
        :raises NameTakenError: when the name is in use.
        """
        if name is not None:
            check_subset_name(name)
        if recipe.source_run is not None:
            run = self.run(recipe.source_run)
            recipe = recipe.model_copy(update={"source_run": run["run_id"]})
            suite = run["suite"]
        ids = self.preview_subset(recipe, suite=suite)
        suite = suite or self._suite_of_operands(recipe)
        with self.database.writing() as connection:
            suite_no = suite_store.find_suite(connection, suite)
            run_no = run_store.find_run(connection, recipe.source_run)[0] if recipe.source_run else None
            subset = subset_store.add_subset(
                connection, recipe, ids, suite_no=suite_no, source_run_no=run_no, name=name
            )
        return self.subset(subset)

    def find_or_save_subset(self, recipe: Recipe, *, suite: str | None = None) -> SubsetRecord:
        """Give the oldest subset that was made by this very recipe on this suite, or make it."""
        frame = self.subsets(suite)
        text = recipe.model_dump_json(exclude_none=True)
        same = frame[frame["recipe"] == text]
        return self.subset(same.iloc[0]["subset"]) if len(same) else self.save_subset(recipe, suite=suite)

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
