"""What one can do with saved subsets: rename, remove, restore, balance, compare, draw a twin, make again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ftft_core.cartography import SCORES
from ftft_core.dynamics import IntArray
from ftft_core.errors import InputError, RunError, unknown
from ftft_core.selection import Recipe, SetCondition, in_words
from ftft_core.selection.algebra import with_names
from ftft_core.selection.balancing import BALANCE_WAYS
from ftft_core.store import Connection
from ftft_core.store import marks as mark_store
from ftft_core.store import runs as run_store
from ftft_core.store import subsets as subset_store
from ftft_core.store import suites as suite_store
from ftft_core.store.map_frames import counted_epochs
from ftft_core.workspace.maps import SubsetRecord, check_subset_name
from ftft_core.workspace.selecting import Selecting

Weights = NDArray[np.float64]

_STEM = 80
"""Characters of a subset's name that go into the name of what is made from it."""


@dataclass(frozen=True)
class SubsetComparison:
    """How two subsets of one suite differ."""

    a: SubsetRecord
    b: SubsetRecord
    num_train: int
    """Examples of the suite's training split."""
    num_shared: int
    num_only_a: int
    num_only_b: int
    jaccard: float
    """Shared over joint size, in [0, 1]; 1 for equal subsets."""
    jaccard_by_chance: float
    """The same of two random subsets of these sizes that share as many as is to be expected, |A| |B| / N."""
    labels: pd.DataFrame
    """label, a, b, everything: counts, in the suite's order of labels."""
    medians: pd.DataFrame | None
    """score, a, b, everything: medians over those examples that the run has; None where no run was named."""


@dataclass(frozen=True)
class RemadeSubset:
    """What a subset's recipe gives today."""

    size: int
    """Examples that the recipe chooses now."""
    num_added: int
    """Those of them that the subset lacks."""
    num_lost: int
    """Examples of the subset that the recipe no longer chooses."""
    saved: SubsetRecord | None = None
    """The new subset, where it was saved."""

    @property
    def differs(self) -> bool:
        """Whether the recipe would now give something else."""
        return self.num_added > 0 or self.num_lost > 0


class Subsets(Selecting):
    """What becomes of subsets after they were saved."""

    def subset_positions(self, reference: str) -> IntArray:
        """Give the rows of the training split that a subset has, ascending."""
        with self.database.reading() as connection:
            return subset_store.read_subset_members(connection, reference)[0]

    def subset_balance(self, suite: str | None = None) -> pd.DataFrame:
        """Give subset, label and count of all subsets, or of a suite's; labels that a subset lacks have no row."""
        with self.database.reading() as connection:
            return subset_store.subset_balance(connection, suite)

    def subset_labels(self, reference: str) -> dict[str, int]:
        """Give how many examples of each of the suite's labels a subset has, in the suite's order."""
        with self.database.reading() as connection:
            row = subset_store.read_subset(connection, reference)
            positions, _ = subset_store.read_subset_members(connection, row["subset"])
            return subset_store.label_counts(connection, suite_store.find_suite(connection, row["suite"]), positions)

    def label_counts(self, suite: str, positions: IntArray | None = None) -> dict[str, int]:
        """Give how many of a suite's training examples, or of some of its rows, have each label, in its order."""
        with self.database.reading() as connection:
            return subset_store.label_counts(connection, suite_store.find_suite(connection, suite), positions)

    def subset_users(self, reference: str) -> list[str]:
        """Name the runs trained on a subset and the subsets made from it: `run NAME`, `subset NAME`."""
        with self.database.reading() as connection:
            return subset_store.subset_users(connection, reference)

    def recipe_words(self, recipe: Recipe) -> str:
        """Say in a line what a recipe takes, with the names that its runs and its subsets have now.

        The recipes of the subsets that it combines follow in parentheses.
        """
        with self.database.reading() as connection:
            operands = recipe.operands
            parts = subset_store.subset_recipes(connection, operands)
            said = [f"{name}: {self._recipe_words(connection, made)}" for name, made in parts]
            return self._recipe_words(connection, recipe) + (f" ({'; '.join(said)})" if said else "")

    def _recipe_words(self, connection: Connection, recipe: Recipe) -> str:
        names = subset_store.subset_names(connection, [*recipe.operands, *filter(None, [recipe.twin_of])])
        run_names = {
            run: str(run_store.read_run(connection, run)["name"])
            for run in recipe.named_runs
            if run_store.run_number(connection, run) is not None
        }
        conditions = []
        for item in recipe.conditions:
            if isinstance(item, SetCondition):
                now = {old: names[subset] for old, subset in item.operands.items() if subset in names}
                item = item.model_copy(update={"expression": with_names(item.expression, now)})
            conditions.append(item)
        return in_words(recipe.model_copy(update={"conditions": tuple(conditions)}), run_names={**run_names, **names})

    def rename_subset(self, reference: str, name: str) -> SubsetRecord:
        """Give a subset another name; runs and recipes know it by its id.

        :raises InputError: when the name is none.
        :raises NameTakenError: when the name is in use.
        """
        check_subset_name(name)
        with self.database.writing() as connection:
            _, subset = subset_store.find_subset(connection, reference)
            subset_store.rename_subset(connection, subset, name)
        return self.subset(subset)

    def remove_subset(self, reference: str) -> str:
        """List a subset no more and free its name; give its id, which `restore_subset` takes.

        :raises InputError: while runs were trained on it, or other subsets were made from it.
        """
        with self.database.writing() as connection:
            return subset_store.remove_subset(connection, reference)

    def removed_subsets(self, suite: str | None = None) -> pd.DataFrame:
        """Give subset, name, suite, size, recipe, created_at and removed_at, last removed first."""
        with self.database.reading() as connection:
            return subset_store.list_removed_subsets(connection, suite)

    def restore_subset(self, reference: str, *, name: str | None = None) -> SubsetRecord:
        """Bring a removed subset back, under its name or another.

        :param reference: its id; or its name, which means the last removed of that name.
        :raises NotFoundError: when no removed subset has it.
        :raises NameTakenError: when another subset has the name by now.
        """
        if name is not None:
            check_subset_name(name)
        with self.database.writing() as connection:
            subset = subset_store.restore_subset(connection, reference, name=name)
        return self.subset(subset)

    def balance_subset(
        self, reference: str, *, how: str = "equal", name: str | None = None, seed: int = 0
    ) -> SubsetRecord:
        """Save a subset drawn at random from another, so that its labels are balanced; weights are kept.

        :param how: `equal` takes as many of each label that the subset has as of the rarest. `like-suite` takes the
            shares of the whole training split, as many examples as the scarcest label allows (a share times the size
            is nowhere more than there is; made whole by largest remainder).
        :raises InputError: for another `how`, or where no such subset can be.
        :raises NameTakenError: when the name is in use.
        """
        if how not in BALANCE_WAYS:
            raise InputError(unknown("way to balance", how, BALANCE_WAYS))
        parent = self.subset(reference)
        with self.database.reading() as connection:
            suite_no = suite_store.find_suite(connection, parent.suite)
            positions, weights = subset_store.read_subset_members(connection, parent.subset)
            counts = subset_store.label_counts(connection, suite_no, positions)
            quotas = BALANCE_WAYS[how](counts, subset_store.label_counts(connection, suite_no))
        recipe = Recipe(
            conditions=(SetCondition(expression=parent.name, operands={parent.name: parent.subset}),),
            strategy="random",
            quotas={label: count for label, count in quotas.items() if count},
            seed=_checked_seed(seed),
        )
        stem = f"{parent.name[:_STEM]}-{how}"
        return self._keep(recipe, parent.suite, name=name, stem=stem, weights_of=(positions, weights))

    def random_twin(
        self,
        of: str | IntArray,
        *,
        suite: str | None = None,
        name: str | None = None,
        seed: int = 0,
        same_labels: bool = False,
    ) -> SubsetRecord:
        """Save a random subset of a suite's training split that has the size of another: an honest baseline.

        :param of: a subset, or rows of the training split (then name the `suite`). Weights are dealt out at random.
        :param seed: of the draw.
        :param same_labels: take as many of each label, too.
        :raises InputError: when there is nothing to match.
        :raises NameTakenError: when the name is in use.
        """
        stem, twin_of = "twin", None
        with self.database.reading() as connection:
            if isinstance(of, str):
                row = subset_store.read_subset(connection, of)
                suite, stem, twin_of = row["suite"], f"{row['name'][:_STEM]}-twin", str(row["subset"])
                positions, weights = subset_store.read_subset_members(connection, row["subset"])
            else:
                positions = np.unique(np.asarray(of))
                weights = np.ones(len(positions))
            if suite is None:
                raise InputError("A random twin of examples needs the suite that they are of; none was named.")
            suite_no = suite_store.find_suite(connection, suite)
            everything = sum(subset_store.label_counts(connection, suite_no).values())
            if len(positions) == 0:
                raise InputError("There is no example whose twin to draw: the selection is empty.")
            if not (positions[0] >= 0 and positions[-1] < everything):
                raise InputError(f"Rows of the training split are 0 to {everything - 1}; received others.")
            counts = subset_store.label_counts(connection, suite_no, positions)
        seed = _checked_seed(seed)
        if same_labels:
            quotas = {label: count for label, count in counts.items() if count}
            recipe = Recipe(strategy="random", quotas=quotas, seed=seed, twin_of=twin_of)
        else:
            recipe = Recipe(strategy="random", fraction=len(positions) / everything, seed=seed, twin_of=twin_of)
        dealt = np.random.default_rng(seed).permutation(weights)
        return self._keep(recipe, suite, name=name, stem=stem, weights=dealt)

    def compare_subsets(self, a: str, b: str, *, run: str | None = None) -> SubsetComparison:
        """Say how two subsets of one suite differ.

        :param run: whose scores are compared, too.
        :raises InputError: when they, or the run, are of different suites.
        :raises RunError: when the run has no data map yet.
        """
        first, second = self.subset(a), self.subset(b)
        if first.suite != second.suite:
            raise InputError(
                f"Subset '{first.name}' is of suite '{first.suite}' and '{second.name}' of '{second.suite}'; compare "
                "subsets of one suite."
            )
        with self.database.reading() as connection:
            suite_no = suite_store.find_suite(connection, first.suite)
            rows = [subset_store.read_subset_members(connection, each.subset)[0] for each in (first, second)]
            among = {"a": rows[0], "b": rows[1], "everything": None}
            counts = {name: subset_store.label_counts(connection, suite_no, each) for name, each in among.items()}
            medians = None if run is None else _medians(connection, run, first, second)
        num_train = sum(counts["everything"].values())
        shared = len(np.intersect1d(rows[0], rows[1], assume_unique=True))
        by_chance = len(rows[0]) * len(rows[1]) / num_train
        joint = len(rows[0]) + len(rows[1])
        return SubsetComparison(
            a=first,
            b=second,
            num_train=num_train,
            num_shared=shared,
            num_only_a=len(rows[0]) - shared,
            num_only_b=len(rows[1]) - shared,
            jaccard=shared / (joint - shared),
            jaccard_by_chance=by_chance / (joint - by_chance),
            labels=pd.DataFrame(counts).rename_axis("label").reset_index(),
            medians=medians,
        )

    def remake_subset(self, reference: str, *, save: bool = False, name: str | None = None) -> RemadeSubset:
        """Make a subset again from its recipe, and say what would differ.

        :param save: keep what the recipe gives now as a new subset; examples that stay keep their weight, others
            get 1. The old subset stays as it is: runs may have been trained on it.
        :param name: of the new subset; the old name with a number when left out.
        :raises InputError: when a run or a subset that the recipe names is gone.
        :raises NameTakenError: when the name is in use.
        """
        record = self.subset(reference)
        ids = self.preview_subset(record.recipe, suite=record.suite)
        with self.database.reading() as connection:
            suite_no = suite_store.find_suite(connection, record.suite)
            members = subset_store.read_subset_members(connection, record.subset)
            made = mark_store.find_positions(connection, suite_no, ids)
        stay = len(np.intersect1d(made, members[0], assume_unique=True))
        saved = None
        if save:
            saved = self._keep(record.recipe, record.suite, name=name, stem=record.name, weights_of=members)
        return RemadeSubset(len(made), len(made) - stay, len(members[0]) - stay, saved)

    def _keep(
        self,
        recipe: Recipe,
        suite: str,
        *,
        name: str | None,
        stem: str,
        weights_of: tuple[IntArray, Weights] | None = None,
        weights: Weights | None = None,
    ) -> SubsetRecord:
        """Save what a recipe gives, with weights, or with those that other examples have where they are the same."""
        if name is not None:
            check_subset_name(name)
        ids = self.preview_subset(recipe, suite=suite)
        with self.database.writing() as connection:
            suite_no = suite_store.find_suite(connection, suite)
            if weights_of is not None:
                weights = _carried(mark_store.find_positions(connection, suite_no, ids), *weights_of)
            subset = subset_store.add_subset(
                connection,
                recipe,
                ids,
                suite_no=suite_no,
                source_run_no=run_store.find_run(connection, recipe.source_run)[0] if recipe.source_run else None,
                name=name or subset_store.free_subset_name(connection, stem),
                weights=weights,
            )
        return self.subset(subset)


def _carried(positions: IntArray, old_positions: IntArray, old_weights: Weights) -> Weights:
    """Give the weights that examples had, and 1 to those that are new; all positions ascend."""
    weights = np.ones(len(positions))
    _, here, there = np.intersect1d(positions, old_positions, assume_unique=True, return_indices=True)
    weights[here] = old_weights[there]
    return weights


def _medians(connection: Connection, run: str, a: SubsetRecord, b: SubsetRecord) -> pd.DataFrame:
    run_no, run_id = run_store.find_run(connection, run)
    suite = run_store.read_run(connection, run_id)["suite"]
    if suite != a.suite:
        raise InputError(f"Run '{run}' is of suite '{suite}', not of '{a.suite}', whose subsets are compared.")
    if not counted_epochs(connection, run_no):
        raise RunError(f"Run '{run}' has no data map yet: no epoch saw every example. Name another run.")
    medians = subset_store.median_scores(connection, run_no, [a.subset, b.subset], list(SCORES))
    columns = {"a": medians[a.subset], "b": medians[b.subset], "everything": medians[""]}
    return pd.DataFrame(columns, index=list(SCORES), dtype=float).rename_axis("score").reset_index()


def _checked_seed(seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed is {seed!r}; it must be a whole number from 0 on.")
    return seed
