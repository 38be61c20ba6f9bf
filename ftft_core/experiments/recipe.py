"""Recipes: methods x seeds on a suite, as a person writes them in YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml
from pydantic import Field, model_validator

from ftft_core.config import METHODS, MOST, MOST_EPOCHS, STOPS, BudgetConfig, Config, TrainingConfig, parse
from ftft_core.errors import InputError, unknown

BUDGETED_LIKE_FTFT = ("ftft", "random", "hard", "easy", "forgetting", "el2n", "aum")
"""Methods that stop early: their budget is the share `early_stop` of the full one."""

FROM_REFERENCE = {"ftft": "ambiguous", "hard": "hard", "easy": "easy", "forgetting": "forgetting"} | {
    name: name for name in ("el2n", "aum")
}
"""Methods that train on a selection from a reference run, and the strategy of that selection."""


ValueT = TypeVar("ValueT")


def _all_right(value: ValueT, problems: list[str]) -> ValueT:
    if problems:
        raise ValueError("; ".join(problems))
    return value


class MainModel(Config):
    """The model that is to become robust."""

    model: str = Field(min_length=1)
    """A local folder, a hub name, or a known short name."""

    layers: int | None = Field(default=None, ge=1)
    """Keep only the first this many encoder layers; all when left out."""


class ReferenceModel(MainModel):
    """A cheaper model that finds the examples; its budget is its own."""

    epochs: float | None = Field(default=None, gt=0, le=MOST_EPOCHS)
    """Its budget in epochs; the main model's when neither is given."""

    max_steps: int | None = Field(default=None, ge=1, le=MOST)
    """Its budget in optimizer steps."""

    stop: str | None = None
    """`settled` ends it before its budget once its ambiguous third hardly changes."""

    @model_validator(mode="after")
    def _known(self) -> ReferenceModel:
        if self.epochs is not None and self.max_steps is not None:
            raise ValueError(f"give epochs or max_steps, not both; received {self.epochs:g} and {self.max_steps}")
        if self.stop is not None and self.stop not in STOPS:
            raise ValueError(unknown("way to stop", self.stop, STOPS))
        return self


class RecipeTraining(TrainingConfig):
    """How runs are optimised; `main` and `reference` overrule it for one kind of model."""

    main: dict[str, Any] = Field(default_factory=dict)
    """Fields that differ for the main model."""

    reference: dict[str, Any] = Field(default_factory=dict)
    """Fields that differ for reference models."""

    @model_validator(mode="after")
    def _valid_parts(self) -> RecipeTraining:
        problems = []
        for part in ("main", "reference"):
            try:
                parse(TrainingConfig, self._values_of(part), what=part)
            except InputError as failure:
                problems += [f"{part}.{problem}" for problem in failure.problems]
        return _all_right(self, problems)

    def of(self, part: str) -> TrainingConfig:
        """Give the fields for `main` or `reference` models."""
        return TrainingConfig.model_validate(self._values_of(part))

    def _values_of(self, part: str) -> dict[str, Any]:
        return {**self.model_dump(exclude={"main", "reference"}), **getattr(self, part)}


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


class Recipe(Config):
    """An experiment: which methods are compared on a suite, with which models, seeds and budgets."""

    suite: str
    """Name of the suite."""

    main_model: MainModel
    """The model that all methods train in the end."""

    reference_model: tuple[ReferenceModel, ...] = ()
    """One reference model, or several: every method that uses one is then run with each."""

    methods: tuple[str, ...] = Field(min_length=1)
    """Names of methods."""

    fraction: tuple[float, ...] = Field(default=(1 / 3,), min_length=1)
    """Share of the training data that is selected; or several."""

    epochs: float | None = Field(default=None, gt=0, le=MOST_EPOCHS)
    """The full budget B, in epochs over all training examples."""

    max_steps: int | None = Field(default=None, ge=1, le=MOST)
    """The full budget B, in optimizer steps."""

    early_stop: float = Field(default=1 / 3, gt=0, le=1)
    """Share of B for the methods that stop early."""

    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Every method is run with each seed; a reference has the seed of the run that uses it."""

    training: RecipeTraining = RecipeTraining()
    """How runs are optimised."""

    _tuples = pydantic.field_validator("reference_model", "fraction", "seeds", "methods", mode="before")(_as_tuple)

    # What one field alone shows is checked there, so that it is told together with the problems of the others.

    @pydantic.field_validator("methods")
    @classmethod
    def _known_methods(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        return _all_right(methods, [unknown("method", name, METHODS) for name in methods if name not in METHODS])

    @pydantic.field_validator("fraction")
    @classmethod
    def _shares(cls, fractions: tuple[float, ...]) -> tuple[float, ...]:
        wrong = [fraction for fraction in fractions if not 0 < fraction <= 1]
        return _all_right(fractions, [f"received {each:g}; allowed is above 0 and up to 1" for each in wrong])

    @pydantic.field_validator("seeds")
    @classmethod
    def _usable_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        problems = [f"received {seed}; allowed is 0 to 2**32 - 1" for seed in seeds if not 0 <= seed < 2**32]
        if len(set(seeds)) < len(seeds):
            problems.append(f"received a seed twice ({', '.join(map(str, seeds))}); give each once")
        return _all_right(seeds, problems)

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        problems = []
        if (self.epochs is None) == (self.max_steps is None):
            said = "neither" if self.epochs is None else "both"
            problems.append(f"the budget needs exactly one of epochs and max_steps; received {said}")
        needing = [name for name in (*self.methods,) if name in FROM_REFERENCE or name == "erm_matched"]
        if needing and not self.reference_model:
            problems.append(f"a reference_model is needed by {', '.join(needing)}, but missing")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def budget(self) -> BudgetConfig:
        """The full budget B."""
        return BudgetConfig(epochs=self.epochs, max_steps=self.max_steps)


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe from a YAML file.

    :raises InputError: with all its problems.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as failure:
        raise InputError(f"The recipe {path} can't be read ({failure.strerror}).") from failure
    except (yaml.YAMLError, UnicodeDecodeError) as failure:
        said = " ".join(str(failure).split())
        raise InputError(f"The recipe {path} is not valid YAML ({said}).") from failure
    return parse(Recipe, values, what=f"The recipe {path}")
