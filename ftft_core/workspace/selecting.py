"""How maps become selections and subsets: conditions looked up in a workspace, and recipes kept with what they take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from ftft_core.comparison import average_maps
from ftft_core.dynamics import BoolArray, IdArray
from ftft_core.errors import FingerprintError, InputError, NotFoundError
from ftft_core.selection import (
    Recipe,
    SelectionContext,
    TextCondition,
    at_positions,
    check_not_empty,
    recipe_mask,
)
from ftft_core.store import runs as run_store
from ftft_core.store import search as search_store
from ftft_core.store import subsets as subset_store
from ftft_core.store import suites as suite_store
from ftft_core.workspace.maps import Maps, SubsetRecord, check_subset_name

MapOf = Callable[[str], pd.DataFrame]
"""Run id -> its map frame of all counted epochs."""


class Selecting(Maps):
    """Selecting examples of a map, and saving what was selected."""

    def selection_context(
        self,
        run: str,
        *,
        epochs: int | None = None,
        data_map: pd.DataFrame | None = None,
        map_of: MapOf | None = None,
    ) -> SelectionContext:
        """Give what conditions on a run's map look things up in; each thing is read when it is first asked for.

        :param epochs: only the first this many counted epochs of the run; other runs' maps are of all epochs.
        :param data_map: the map frame at these epochs, where it is at hand; masks are in its rows.
        :param map_of: gives the map frames of other runs, where they are kept; they are read when left out.
        :raises RunError: when no epoch saw every example yet.
        """
        suite = str(self.run(run)["suite"])
        frame = self.map_frame(run, epochs=epochs) if data_map is None else data_map
        return self._context(suite, frame, map_of)

    def selection_mask(
        self,
        recipe: Recipe,
        *,
        data_map: pd.DataFrame | None = None,
        map_of: MapOf | None = None,
        suite: str | None = None,
    ) -> BoolArray:
        """(N,) examples that a recipe takes, in the rows of its run's map frame; there may be none.

        :param data_map: as in `selection_context`.
        :param map_of: as in `selection_context`.
        :param suite: needed where the recipe names neither a run nor a subset; the rows are then those of its
            training split.
        :raises InputError: when a condition does not fit the map, or a run, subset or tag that it names is not there.
        """
        # Held open meanwhile, for conditions ask one after the other.
        with self.database.reading():
            return recipe_mask(recipe, self._recipe_context(recipe, suite, data_map, map_of))

    def average_frame(self, references: Sequence[str], *, epochs: int | None = None) -> pd.DataFrame:
        """Give the mean of several runs' map frames, over the examples that all have; see `comparison.average_maps`.

        :param epochs: only the first this many counted epochs of each.
        :raises RunError: when no epoch of one saw every example yet.
        :raises FingerprintError: when they were trained on other data.
        """
        runs = self.runs_on_same_data(references)
        return average_maps({str(run["name"]): self.map_frame(run["run_id"], epochs=epochs) for run in runs})

    def runs_on_same_data(self, references: Sequence[str]) -> list[dict[str, Any]]:
        """Give the rows of two or more runs whose maps can be held against each other.

        :raises InputError: for fewer than two different runs.
        :raises FingerprintError: when they were trained on other data.
        """
        runs = [self.run(reference) for reference in references]
        if len({run["run_id"] for run in runs}) < 2:
            raise InputError(
                f"Transfer needs at least two different runs; received {' and '.join(references) or 'none'}."
            )
        fingerprints = {run["training_fingerprint"]: run["name"] for run in runs}
        if len(fingerprints) > 1:
            raise FingerprintError(
                f"The runs {', '.join(fingerprints.values())} were trained on different data, so their maps can't be "
                "compared; give runs on one suite."
            )
        return list({run["run_id"]: run for run in runs}.values())

    def preview_subset(self, recipe: Recipe, *, suite: str | None = None) -> IdArray:
        """Give the ids that a recipe chooses, in file order; nothing is saved.

        :param suite: needed where the recipe names neither a run nor a subset.
        :raises InputError: when nothing is left by the recipe, and as `selection_mask` does.
        """
        with self.database.reading():
            context = self._recipe_context(recipe, suite)
            mask = recipe_mask(recipe, context)
        check_not_empty(recipe, mask)
        return np.asarray(context.data_map["example_id"].array[mask], dtype=object)

    def save_subset(self, recipe: Recipe, *, name: str | None = None, suite: str | None = None) -> SubsetRecord:
        """Make a subset from its recipe and keep both; runs and subsets may be named by name, and are kept by id.

        :raises InputError: when the name is none, a run or subset is not there or of another suite, or nothing is
            left by the recipe.
        :raises NameTakenError: when the name is in use.
        """
        if name is not None:
            check_subset_name(name)
        recipe, suite = self._resolved_recipe(recipe, suite)
        ids = self.preview_subset(recipe, suite=suite)
        with self.database.writing() as connection:
            suite_no = suite_store.find_suite(connection, suite)
            run_no = run_store.find_run(connection, recipe.source_run)[0] if recipe.source_run else None
            subset = subset_store.add_subset(
                connection, recipe, ids, suite_no=suite_no, source_run_no=run_no, name=name
            )
        return self.subset(subset)

    def find_or_save_subset(self, recipe: Recipe, *, suite: str | None = None) -> SubsetRecord:
        """Give the oldest subset that was made by this very recipe on this suite, or make it."""
        return self.find_subset(recipe, suite=suite) or self.save_subset(recipe, suite=suite)

    def find_subset(self, recipe: Recipe, *, suite: str | None = None) -> SubsetRecord | None:
        """Give the oldest subset that was made by this very recipe on this suite; None when there is none."""
        recipe, suite = self._resolved_recipe(recipe, suite)
        frame = self.subsets(suite)
        # Recipes are compared as values: fields may have been added since one was stored.
        asked = {name: getattr(recipe, name) for name in ("source_run", "strategy", "fraction")}
        for name, value in asked.items():
            frame = frame[frame[name].isna() if value is None else frame[name] == value]
        for subset, text in zip(frame["subset"], frame["recipe"], strict=True):
            if Recipe.model_validate_json(text) == recipe:
                return self.subset(subset)
        return None

    def _recipe_context(
        self,
        recipe: Recipe,
        suite: str | None,
        data_map: pd.DataFrame | None = None,
        map_of: MapOf | None = None,
    ) -> SelectionContext:
        if recipe.source_runs is not None:
            frame = self.average_frame(recipe.source_runs, epochs=recipe.epochs) if data_map is None else data_map
            return self._context(str(self.run(recipe.source_runs[0])["suite"]), frame, map_of)
        if recipe.source_run is not None:
            return self.selection_context(recipe.source_run, epochs=recipe.epochs, data_map=data_map, map_of=map_of)
        suite = suite or self._suite_named_in(recipe)
        return self._context(suite, self._training_split(suite) if data_map is None else data_map, map_of)

    def _context(self, suite: str, frame: pd.DataFrame, map_of: MapOf | None) -> SelectionContext:
        if "position" not in frame.columns:
            rows = pd.Index(self._training_split(suite)["example_id"]).get_indexer(pd.Index(frame["example_id"]))
            if (rows < 0).any():
                raise InputError(
                    f"{int((rows < 0).sum())} examples of this map are not in suite '{suite}'; give a map of its runs."
                )
            frame = frame.assign(position=rows.astype(np.int64))
        read = map_of or self.map_frame

        @cache
        def map_of_suite(run: str) -> pd.DataFrame:
            self._check_run(run, suite)
            return read(run)

        def subset_mask(subset: str) -> BoolArray:
            self._check_subset(subset, suite)
            with self.database.reading() as connection:
                return at_positions(subset_store.read_subset_members(connection, subset)[0], frame)

        def search(condition: TextCondition) -> BoolArray:
            with self.database.reading() as connection:
                found = search_store.search_positions(
                    connection,
                    suite_store.find_suite(connection, suite),
                    "train",
                    condition.pattern,
                    regex=condition.regex,
                    column=condition.column,
                )
            return at_positions(found, frame)

        return SelectionContext(
            frame,
            map_of=map_of_suite,
            subset_mask=subset_mask,
            search=search,
            tagged=lambda tag: at_positions(self.tagged_positions(suite, tag), frame),
            excluded=lambda: at_positions(self.excluded_positions(suite), frame),
        )

    def _training_split(self, suite: str) -> pd.DataFrame:
        with self.database.reading() as connection:
            frame = suite_store.read_split(connection, suite, "train")
        return frame.assign(position=np.arange(len(frame)))

    def _resolved_recipe(self, recipe: Recipe, suite: str | None) -> tuple[Recipe, str]:
        """Give a recipe as it is kept, ids for names, and the suite that all it names is of."""
        source_run = recipe.source_run
        if source_run is not None:
            row = self.run(source_run)
            source_run, suite = str(row["run_id"]), str(row["suite"])
        source_runs = recipe.source_runs
        if source_runs is not None:
            assert suite is not None
            source_runs = tuple(self._check_run(run, suite) for run in source_runs)
        suite = suite or self._suite_named_in(recipe)
        conditions = []
        for condition in recipe.conditions:
            update: dict[str, object] = {}
            run = getattr(condition, "run", None)
            if run is not None:
                update["run"] = self._check_run(run, suite)
            if hasattr(condition, "operands"):
                named = condition.operands.items()
                update["operands"] = {name: self._check_subset(subset, suite) for name, subset in named}
            conditions.append(condition.model_copy(update=update))
        resolved = {"source_run": source_run, "source_runs": source_runs, "conditions": tuple(conditions)}
        return recipe.model_copy(update=resolved), suite

    def _check_run(self, reference: str, suite: str) -> str:
        try:
            row = self.run(reference)
        except NotFoundError as failure:
            raise NotFoundError(f"A condition looks at the map of a run that is not there. {failure.message}") from None
        if row["suite"] != suite:
            raise InputError(
                f"A condition looks at the map of run '{row['name']}', which is of suite '{row['suite']}', not of "
                f"'{suite}'; name a run of that suite."
            )
        return str(row["run_id"])

    def _check_subset(self, reference: str, suite: str) -> str:
        record = self.subset(reference)
        if record.suite != suite:
            raise InputError(
                f"Subset '{record.name}' is of suite '{record.suite}', not of '{suite}'; combine subsets of one suite."
            )
        return record.subset

    def _suite_named_in(self, recipe: Recipe) -> str:
        suites = {self.subset(reference).suite for reference in recipe.operands}
        suites |= {str(self.run(run)["suite"]) for run in recipe.named_runs}
        if len(suites) != 1:
            said = f"what belongs to {len(suites)} suites ({', '.join(sorted(suites))})" if suites else "no suite"
            raise InputError(f"A recipe needs one suite; received {said}.")
        return suites.pop()
