"""What all configuration has in common: it is frozen, refuses unknown keys, and says all its problems at once."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from typing import Any, TypeVar

import pydantic

from ftft_core.errors import InputError, one_of


class Config(pydantic.BaseModel):
    """Base of all configuration: immutable, and unknown keys are errors."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


ConfigT = TypeVar("ConfigT", bound=Config)


def parse(config_class: type[ConfigT], values: object, *, what: str, error: type[InputError] = InputError) -> ConfigT:
    """Make a `config_class` from what a user wrote.

    :param what: names the input in the message, such as a path.
    :raises InputError: (or the given subclass) with one problem for every field that is wrong.
    """
    if not isinstance(values, Mapping):
        raise error(f"{what} must be a mapping of keys to values; received {shown(values)}.")
    try:
        return config_class.model_validate(dict(values))
    except pydantic.ValidationError as failure:
        problems = [_word_problem(config_class, detail) for detail in failure.errors() if not _is_echo(detail)]
        raise error(f"{what} has {len(problems)} problem{'s' * (len(problems) != 1)}.", problems) from None


def _word_problem(config_class: type[Config], detail: Any) -> str:
    """One sentence for one of pydantic's error records."""
    path = ".".join(str(part) for part in detail["loc"])
    received = shown(detail["input"])
    match detail["type"]:
        case "extra_forbidden":
            return f"{path}: unknown key. Known keys: {one_of(_fields_at(config_class, detail['loc'][:-1]), limit=30)}."
        case "missing":
            return f"{path}: is required, but missing."
        case "value_error":
            message = str(detail["ctx"]["error"])
            return f"{path}: {message}" if path else message[:1].upper() + message[1:]
        case kind if kind.startswith(("int_", "float_", "bool_")) or kind in {"int_type", "float_type", "bool_type"}:
            wanted = {"int": "a whole number", "float": "a number", "bool": "true or false"}[kind.partition("_")[0]]
            return f"{path}: received {received}; it must be {wanted}."
        case "string_pattern_mismatch":
            return (
                f"{path}: received {received}; it must be letters, digits, dots, underscores and hyphens, the first a "
                "letter or a digit, at most 100."
            )
        case "tuple_type" | "list_type":
            return f"{path}: received {received}; it must be a list."
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"{path}: received {received}; it must be a mapping of keys to values."
        case "string_type":
            return f"{path}: received {received}; it must be text."
        case "string_too_short":
            return f"{path}: is empty; it must hold at least {detail['ctx']['min_length']} character."
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            (bound,) = detail["ctx"].values()
            word = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}[next(iter(detail["ctx"]))]
            return f"{path}: received {received}; it must be {word} {_in_digits(bound)}."
        case "too_short" | "too_long":
            (bound,) = (value for key, value in detail["ctx"].items() if key in {"min_length", "max_length"})
            word = "at least" if detail["type"] == "too_short" else "at most"
            return f"{path}: received {received}; it must hold {word} {bound:,} item{'s' * (bound != 1)}."
        case "literal_error" | "union_tag_invalid":
            allowed = detail["ctx"].get("expected") or detail["ctx"]["expected_tags"]
            return f"{path}: received {received}; it must be {allowed}."
        case "union_tag_not_found":
            return f"{path}: received {received}; it must say which {detail['ctx']['discriminator']} it is of."
        case "finite_number":
            return f"{path}: received {received}; it must be a finite number."
        case _:
            return f"{path}: {_sentence(detail['msg'])} Received {received}."


def _fields_at(config_class: type[Config], location: tuple[Any, ...]) -> list[str]:
    """Names of the fields of the model that stands at `location` within `config_class`.

    In a union, pydantic puts the word that told its models apart into the location.
    """
    current: list[Any] = [config_class]
    for part in location:
        nested = [
            kind
            for model in current
            if part in model.model_fields
            for kind in _kinds_in(model.model_fields[part].annotation)
            if hasattr(kind, "model_fields")
        ]
        named = [model for model in current if any(field.default == part for field in model.model_fields.values())]
        current = nested or named or current
    # What a model inherits comes last.
    return sorted(current[0].model_fields, key=lambda name: name not in current[0].__annotations__)


def _kinds_in(annotation: Any) -> list[Any]:
    arguments = getattr(annotation, "__args__", ())
    return [annotation] if not arguments else [kind for argument in arguments for kind in _kinds_in(argument)]


def _is_echo(detail: Any) -> bool:
    """Whether a list counts as too short only because what is wrong in it was left out of the count."""
    if detail["type"] != "too_short" or not isinstance(detail["input"], list | tuple):
        return False
    return len(detail["input"]) >= int(detail["ctx"]["min_length"])


def _in_digits(bound: float) -> str:
    return f"{int(bound):,}" if abs(bound) < 1e15 and bound == int(bound) else f"{bound:g}"


def shown(value: object) -> str:
    """Write a value as messages show it, at most 80 letters long."""
    text = _SHORT.repr(value) if isinstance(value, list | tuple | dict | int) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


class _Short(reprlib.Repr):
    """Writes no more of a value than is shown: a few lines of YAML can stand for millions of elements."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = 20
        self.maxlevel = 3
        self.maxstring = self.maxother = self.maxlong = 80

    def repr_int(self, x: int, level: int) -> str:
        num_digits = int(x.bit_length() * math.log10(2)) + 1
        return repr(x) if num_digits <= self.maxlong else f"a number of {num_digits:,} digits"


_SHORT = _Short()


def _sentence(message: str) -> str:
    return message if message.endswith(".") else message + "."
