"""From what somebody asked for to configurations, as far as it can be understood, and all that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ftft_core.config import BudgetConfig, RunConfig, TrainingConfig, parse
from ftft_core.errors import InputError

Asked = RunConfig | Mapping[str, Any]
"""A configuration, or a mapping of its fields: nested, or flat as on the command line."""


def as_config(asked: Asked) -> tuple[RunConfig | None, list[str]]:
    """Give a configuration, and what is wrong with what was asked.

    What is wrong is left out, so that the rest can be looked at; None when too little is left.
    """
    if isinstance(asked, RunConfig):
        return asked, []
    values = _nested(asked)
    try:
        return parse(RunConfig, values, what="The run"), []
    except InputError as error:
        problems = error.problems or [error.message]
    rest = {name: value for name, value in values.items() if name in RunConfig.model_fields}
    for name in set(rest) - {"suite", "model"}:
        if isinstance(rest[name], Mapping):
            rest[name] = {key: value for key, value in rest[name].items() if _is_right({name: {key: value}})}
        if not _is_right({name: rest[name]}):
            rest.pop(name)
    with suppress(InputError):
        return parse(RunConfig, rest, what="The run"), problems
    # Some fields are right alone and wrong together.
    with suppress(InputError):
        kept = {
            name: rest[name] for name in ("suite", "model", "layers", "subset", "method", "reference") if name in rest
        }
        return parse(RunConfig, kept, what="The run"), problems
    return None, problems


def _is_right(values: dict[str, Any]) -> bool:
    try:
        parse(RunConfig, {"suite": "s", "model": "m", **values}, what="The run")
    except InputError:
        return False
    return True


def _nested(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Put flat fields, as on the command line, where they belong."""
    values: dict[str, Any] = {}
    for name, value in asked.items():
        part = next(
            (
                part
                for part, kind in (("budget", BudgetConfig), ("training", TrainingConfig))
                if name in kind.model_fields
            ),
            None,
        )
        if part is None:
            values[name] = value
        else:
            values[part] = {**values.get(part, {}), name: value}
    return values
