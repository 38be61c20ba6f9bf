"""Recipes: what made a subset, kept so that it can be made again.

A recipe names the run whose map it looks at, any number of conditions that join one another (`conditions`), and then,
if wanted, a strategy with a fraction of what the conditions leave. Parameters are values, not references to code;
other runs and subsets are named by the id they had when the recipe was written. The map may be the average of several
runs' maps. A recipe that was stored before a field was there means what it meant: conditions are joined by "and", none
is negated, and the map is one run's.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ftft_core.config import Config
from ftft_core.selection.conditions import Condition, ExcludedCondition, WhereCondition, checked_strategy
from ftft_core.selection.filters import asks_for_excluded


class Recipe(Config):
    """What made a subset: conditions, then a strategy over what they leave."""

    source_run: str | None = None
    """Id of the run whose map was looked at; null where no score is used."""

    source_runs: tuple[str, ...] | None = Field(default=None, min_length=2)
    """Ids of the runs whose maps were averaged, `source_run` the first of them; the map is that one's when null."""

    epochs: int | None = Field(default=None, ge=1)
    """Only the first this many counted epochs of that run made the map; all when null."""

    conditions: tuple[Condition, ...] = ()
    """What they leave together; each joins what stands before it, from left to right."""

    strategy: str | None = None
    """A named strategy, or `top:SCORE` and its like; everything the conditions leave when null."""

    fraction: float | None = Field(default=None, gt=0, le=1)
    """Share that the strategy takes of what the conditions leave."""

    quotas: dict[str, int] | None = None
    """Examples that the strategy takes of each label, instead of a fraction."""

    balance: Literal["class"] | None = None
    """`class` takes the same share from each label."""

    seed: int = Field(default=0, ge=0)
    """Seed of the strategies that draw."""

    twin_of: str | None = None
    """Id of the subset that a random one was drawn for, as large as it is; it decides nothing."""

    @property
    def named_runs(self) -> tuple[str, ...]:
        """The runs whose maps it looks at, each once, as it names them: its own first, then those of its conditions."""
        of_conditions = (getattr(condition, "run", None) for condition in self.conditions)
        found = (self.source_run, *(self.source_runs or ()), *of_conditions)
        return tuple(dict.fromkeys(run for run in found if run is not None))

    @property
    def operands(self) -> tuple[str, ...]:
        """The subsets that it combines, each once, in the order in which it names them."""
        found = [item for condition in self.conditions for item in getattr(condition, "operands", {}).values()]
        return tuple(dict.fromkeys(found))

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.source_runs is not None:
            self._check_source_runs(self.source_runs)
        if self.strategy is None and (self.fraction is not None or self.quotas is not None or self.balance is not None):
            raise ValueError("fraction, quotas and balance need a strategy")
        if self.strategy is None and not self.conditions:
            raise ValueError("a recipe needs a strategy or at least one condition; received neither")
        if self.twin_of is not None and self.strategy != "random":
            raise ValueError(f"a twin is drawn by the strategy random; received {self.strategy}")
        if self.strategy is not None:
            checked_strategy(self.strategy)
            if (self.fraction is None) == (self.quotas is None):
                raise ValueError("a strategy needs either a fraction or quotas")
        return self

    def _check_source_runs(self, source_runs: tuple[str, ...]) -> None:
        if len(set(source_runs)) < len(source_runs):
            raise ValueError(f"source_runs names a run twice; received {', '.join(source_runs)}")
        if self.source_run != source_runs[0]:
            raise ValueError(
                f"source_run must be the first of source_runs; received {self.source_run} and {source_runs[0]}"
            )


def leaving_out_excluded(recipe: Recipe) -> Recipe:
    """Give the recipe without the examples that are excluded from training, unless it speaks of them itself."""
    for condition in recipe.conditions:
        if isinstance(condition, ExcludedCondition):
            return recipe
        if isinstance(condition, WhereCondition) and asks_for_excluded(condition.expression):
            return recipe
    return recipe.model_copy(update={"conditions": (*recipe.conditions, ExcludedCondition(negated=True))})
