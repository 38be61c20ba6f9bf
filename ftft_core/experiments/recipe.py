"""Recipes: methods x seeds on a suite, as a person writes them in YAML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import pydantic
from pydantic import Field, ModelWrapValidatorHandler, model_validator
from pydantic_core import InitErrorDetails

from ftft_core.config import (
    EPOCHS_TO_SETTLE,
    METHODS,
    MOST,
    MOST_EPOCHS,
    MOST_LAYERS,
    BudgetConfig,
    Config,
    StopConfig,
    TrainingConfig,
    parse,
    shown,
)
from ftft_core.errors import InputError, unknown
from ftft_core.experiments.recipe_text import values_of
from ftft_core.methods import METHODS as METHOD_TABLE
from ftft_core.selection.select import NEEDS_TWO_EPOCHS
from ftft_core.selection.strategies import columns_used

MOST_CHARACTERS = 1_000_000
"""Longest recipe that is read."""

MOST_SEEDS = 1_000
"""Seeds of one experiment, as of one `ftft plan`."""

_SAID = ("suite", "main_model", "methods", "fraction", "early_stop", "seeds")
"""Fields that are written out also where they are as usual."""

ValueT = TypeVar("ValueT")


Problem = tuple[tuple[str, ...], str]
"""Where it stands within the model, and what it is."""


def _detail(problem: Problem) -> InitErrorDetails:
    place, said = problem
    return {"type": "value_error", "loc": place, "input": None, "ctx": {"error": ValueError(said)}}


def _all_right(value: ValueT, problems: Iterable[str]) -> ValueT:
    details = [_detail(((), problem)) for problem in problems]
    if details:
        raise pydantic.ValidationError.from_exception_data("recipe", details)
    return value


def _checked(
    values: Any,
    handler: Callable[[Any], ValueT],
    contradictions: Callable[[Mapping[str, Any], set[str]], Iterable[Problem]],
) -> ValueT:
    """Make a model of `values`, and tell the contradictions between fields together with what is wrong in them.

    :param contradictions: gets the values as written, and the names of the fields that are wrong by themselves.
    """
    details: list[InitErrorDetails] = []
    made: list[ValueT] = []
    try:
        made.append(handler(values))
    except pydantic.ValidationError as failure:
        for each in failure.errors(include_url=False):
            detail: InitErrorDetails = {"type": each["type"], "loc": each["loc"], "input": each["input"]}
            if "ctx" in each:
                detail["ctx"] = each["ctx"]
            details.append(detail)
    wrong = {str(detail["loc"][0]) for detail in details if detail["loc"]}
    if isinstance(values, Mapping):
        details += [_detail(problem) for problem in contradictions(values, wrong)]
    if details:
        raise pydantic.ValidationError.from_exception_data("recipe", details)
    return made[0]


def _repeated(values: Sequence[object], what: str) -> list[str]:
    repeated = any(value in values[:number] for number, value in enumerate(values))
    return [f"received a {what} twice ({', '.join(map(str, values))}); give each once"] if repeated else []


class MainModel(StopConfig):
    """The model that is to become robust, and whether its runs may end before their budget."""

    model: str = Field(min_length=1)
    """A local folder, a hub name, or a known short name."""

    layers: int | None = Field(default=None, ge=1, le=MOST_LAYERS)
    """Keep only the first this many encoder layers; all when left out."""


class ReferenceModel(MainModel):
    """A cheaper model that finds the examples; its budget is its own."""

    epochs: float | None = Field(default=None, gt=0, le=MOST_EPOCHS)
    """Its budget in epochs; the main model's when neither is given."""

    max_steps: int | None = Field(default=None, ge=1, le=MOST)
    """Its budget in optimizer steps."""

    @model_validator(mode="wrap")
    @classmethod
    def _one_budget(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return _checked(values, handler, cls._contradictions)

    @staticmethod
    def _contradictions(values: Mapping[str, Any], wrong: set[str]) -> Iterable[Problem]:
        epochs, max_steps = values.get("epochs"), values.get("max_steps")
        if epochs is not None and max_steps is not None and not wrong & {"epochs", "max_steps"}:
            yield (), f"give epochs or max_steps, not both; received {epochs} and {max_steps}"


class RecipeTraining(TrainingConfig):
    """How runs are optimised; `main` and `reference` overrule it for one kind of model."""

    main: dict[str, Any] = Field(default_factory=dict)
    """Fields that differ for the main model."""

    reference: dict[str, Any] = Field(default_factory=dict)
    """Fields that differ for reference models."""

    @pydantic.field_validator("main", "reference")
    @classmethod
    def _as_they_count(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Give every value the type of its field, so that 0 and 0.0 make the same recipe."""
        try:
            return TrainingConfig.model_validate(values).model_dump(include=set(values))
        except pydantic.ValidationError:
            return values  # What is wrong with it is told below.

    @model_validator(mode="wrap")
    @classmethod
    def _valid_parts(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return _checked(values, handler, cls._contradictions)

    @staticmethod
    def _contradictions(values: Mapping[str, Any], _: set[str]) -> Iterable[Problem]:
        for part in ("main", "reference"):
            if isinstance(values.get(part), Mapping):
                try:
                    parse(TrainingConfig, values[part], what=part)
                except InputError as failure:
                    yield from (((), f"{part}.{problem}") for problem in failure.problems)

    def of(self, part: str) -> TrainingConfig:
        """Give the fields for `main` or `reference` models."""
        return TrainingConfig.model_validate(self._values_of(part))

    def _values_of(self, part: str) -> dict[str, Any]:
        return {**self.model_dump(exclude={"main", "reference"}), **getattr(self, part)}


def _elements(value: object) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def needs_reference(method: str) -> bool:
    """Whether a method can't be run without a reference model."""
    kind = METHOD_TABLE[method]
    # A matched cost is that of ftft, which has a reference.
    return kind.source == "cheaper" or kind.budget in {"matched", "reference"}


def needed_epochs(methods: Sequence[str], source: str) -> tuple[int, str]:
    """Give how many whole epochs methods need of the run whose dynamics they use, and why; 0 where none uses one.

    :param source: whose dynamics: `cheaper` or `own`, as in `methods.METHODS`.
    """
    # A matched cost is that of ftft, which is then trained too.
    kinds = ["ftft" if METHOD_TABLE[name].budget == "matched" else name for name in methods]
    using = [name for name in dict.fromkeys(kinds) if METHOD_TABLE[name].source == source]
    by_changes = [name for name in using if _chooses_by_changes(METHOD_TABLE[name].strategy)]
    if by_changes:
        many = "s" * (len(by_changes) == 1)
        return 2, f"{' and '.join(by_changes)} choose{many} by what changes from epoch to epoch, so give at least 2"
    if using == ["jtt"]:
        return 1, "method jtt looks for errors after the first one, so give at least 1"
    return (1, "a map takes an epoch that saw every example, so give at least 1") if using else (0, "")


def _too_short_for_maps(methods: Sequence[str], references: object, epochs: object) -> Iterable[Problem]:
    """Tell of references, as written, that end before the map is there that a method needs of them.

    :param epochs: the main model's budget, which is that of references without one of their own.
    """
    least, said = needed_epochs(methods, "own")
    if _is_under(epochs, least):
        yield ("epochs",), f"received {epochs:g}; {said}"
    least, said = needed_epochs(methods, "cheaper")
    for reference in _elements(references):
        # What is no mapping, or no number, is told where it stands.
        given = reference if isinstance(reference, Mapping) else {}
        if given.get("max_steps") is not None:
            continue  # How many epochs these are is known once the suite is.
        length = epochs if given.get("epochs") is None else given["epochs"]
        if _is_under(length, least):
            yield ("reference_model",), f"received {length:g} epochs; {said}"


def _chooses_by_changes(strategy: str | None) -> bool:
    return strategy is not None and any(column in NEEDS_TWO_EPOCHS for column in columns_used(strategy))


def _is_under(epochs: Any, least: float) -> bool:
    return isinstance(epochs, int | float) and not isinstance(epochs, bool) and 0 < epochs < least


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

    error_weight: float | None = Field(default=None, ge=1, le=MOST)
    """Weight of the examples that the reference got wrong, with method jtt; 5 when left out."""

    training: RecipeTraining = RecipeTraining()
    """How runs are optimised."""

    _tuples = pydantic.field_validator("reference_model", "fraction", "seeds", "methods", mode="before")(_elements)

    # What one field alone shows is checked there, so that it is told together with the problems of the others.

    @pydantic.field_validator("methods")
    @classmethod
    def _known_methods(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        strange = [unknown("method", name, METHODS) for name in methods if name not in METHODS]
        return _all_right(methods, strange + _repeated(methods, "method"))

    @pydantic.field_validator("reference_model")
    @classmethod
    def _different_references(cls, models: tuple[ReferenceModel, ...]) -> tuple[ReferenceModel, ...]:
        repeated = [model.model for number, model in enumerate(models) if model in models[:number]]
        return _all_right(models, [f"received the reference {name} twice; give each once" for name in repeated])

    @pydantic.field_validator("fraction")
    @classmethod
    def _shares(cls, fractions: tuple[float, ...]) -> tuple[float, ...]:
        wrong = [fraction for fraction in fractions if not 0 < fraction <= 1]
        said = [f"received {each:g}; allowed is above 0 and up to 1" for each in wrong]
        return _all_right(fractions, said + _repeated(fractions, "fraction"))

    @pydantic.field_validator("seeds", mode="before")
    @classmethod
    def _usable_seeds(cls, seeds: Any) -> Any:
        numbers: list[int] = []
        problems: list[str] = []
        for each in _elements(seeds):
            if (isinstance(each, str) and each.strip().isdecimal()) or (isinstance(each, float) and each.is_integer()):
                each = int(each)
            if not isinstance(each, int):
                said = repr(each) if isinstance(each, str) else each
                problems.append(f"received {said}; give whole numbers, several of them as a list such as [0, 1, 2]")
            elif not isinstance(each, bool):  # told with the others that Python takes for numbers
                numbers.append(each)
                if not 0 <= each < 2**32:
                    problems.append(f"received {shown(each)}; allowed is 0 to 2**32 - 1")
        if len(numbers) > MOST_SEEDS:
            problems.append(f"received {len(numbers):,} seeds; allowed are at most {MOST_SEEDS:,} in one experiment")
        return _all_right(seeds, problems + _repeated(numbers, "seed"))

    @model_validator(mode="wrap")
    @classmethod
    def _consistent(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return _checked(values, handler, cls._contradictions)

    @staticmethod
    def _contradictions(values: Mapping[str, Any], wrong: set[str]) -> Iterable[Problem]:
        for name in ("seeds", "fraction", "epochs", "max_steps", "early_stop"):
            # Python takes True for 1; in a recipe it is a slip of the pen.
            yield from (
                ((name,), f"received {each}; it must be a number")
                for each in _elements(values.get(name))
                if isinstance(each, bool)
            )
        if not wrong & {"epochs", "max_steps"} and (values.get("epochs") is None) == (values.get("max_steps") is None):
            said = "neither" if values.get("epochs") is None else "both"
            yield (), f"the budget needs exactly one of epochs and max_steps; received {said}"
        main, epochs = values.get("main_model"), values.get("epochs")
        is_settled = isinstance(main, Mapping) and main.get("stop") == "settled"
        if is_settled and isinstance(epochs, int | float) and 0 < epochs < EPOCHS_TO_SETTLE and "epochs" not in wrong:
            said = f"stop settled compares selections from epoch {EPOCHS_TO_SETTLE} on, but the budget is {epochs:g}"
            yield ("main_model",), f"{said}; give at least {EPOCHS_TO_SETTLE} epochs, or leave stop out"
        methods = [name for name in _elements(values.get("methods")) if isinstance(name, str) and name in METHOD_TABLE]
        needing = [name for name in methods if needs_reference(name)]
        if needing and not values.get("reference_model"):
            yield (), f"a reference_model is needed by {', '.join(dict.fromkeys(needing))}, but missing"
        if not wrong & {"epochs", "max_steps"}:
            yield from _too_short_for_maps(methods, values.get("reference_model"), epochs)
        if "jtt" not in methods and values.get("error_weight") is not None and "methods" not in wrong:
            yield (
                ("error_weight",),
                "only method jtt knows it, and is not among the methods; leave it out, or add jtt",
            )

    @property
    def budget(self) -> BudgetConfig:
        """The full budget B."""
        return BudgetConfig(epochs=self.epochs, max_steps=self.max_steps)


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe from a YAML file.

    :raises InputError: with all its problems.
    """
    if not str(path).strip():
        raise InputError("The recipe's path is an empty name; give a YAML file.")
    return parse(Recipe, read_values(path), what=f"The recipe {path}")


def read_values(path: str | Path) -> object:
    """Read what stands in a YAML file, whatever it is.

    :raises InputError: when there is no such file, or it is no YAML.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(MOST_CHARACTERS + 1)
    except OSError as failure:
        raise InputError(f"The recipe {path} can't be read ({failure.strerror}).") from failure
    except UnicodeDecodeError as failure:
        raise InputError(f"The recipe {path} is not valid YAML ({failure}).") from failure
    except ValueError as failure:
        raise InputError(f"The recipe {str(path)!r} can't be read ({failure}).") from failure
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"The recipe {path} has more than {MOST_CHARACTERS:,} characters; no recipe needs as many.")
    return values_of(text, what=f"The recipe {path}")


def mapping_of(recipe: Recipe) -> dict[str, Any]:
    """Give a recipe as a person would write it: what is as usual left out, a list of one as its element."""
    said = recipe.model_dump(mode="json", exclude_defaults=True)
    whole = recipe.model_dump(mode="json", exclude_none=True)
    written = {name: said.get(name, whole.get(name)) for name in Recipe.model_fields if name in said or name in _SAID}
    for name in ("reference_model", "fraction"):
        several: list[Any] = list(written.get(name) or [])
        if len(several) == 1:
            written[name] = several[0]
    return {name: value for name, value in written.items() if value not in (None, [], {})}
