"""A run's configuration, with changes: what belongs to something that is changed goes with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ftft_core.config import STOP_FIELDS, BudgetConfig, RunConfig, TrainingConfig, parse
from ftft_core.methods import GUIDED_METHODS, REFERENCE_METHODS

_NOT_REPEATED = {"name", "excluded"}


def with_changes(config: RunConfig, changes: Mapping[str, Any], *, derived_reference: str | None) -> RunConfig:
    """Give a run's configuration with changes, without its name.

    A budget replaces the whole budget. Where the way to stop, the method or the subset is another, settings that belong
    to the old one are left out unless they are given, too.

    :param changes: values by field, flat as on the command line; None is a field's null.
    :param derived_reference: the reference that the run would have got from its subset alone; chosen anew if the
        subset or the method is changed.
    :raises InputError: with all that is wrong.
    """
    values = config.model_dump(mode="json", exclude=_NOT_REPEATED)
    method = changes.get("method", config.method)
    if changes.get("stop", config.stop) != config.stop:
        values |= dict.fromkeys(name for names in STOP_FIELDS.values() for name in names)
    if method != config.method:
        values["error_weight"] = None
    is_other_data = any(
        changes.get(name, getattr(config, name)) != getattr(config, name) for name in ("suite", "subset")
    )
    needs_none = config.method in GUIDED_METHODS and method not in GUIDED_METHODS | REFERENCE_METHODS
    if needs_none or ((is_other_data or method != config.method) and config.reference == derived_reference):
        values["reference"] = None
    budget = {name: value for name, value in changes.items() if name in BudgetConfig.model_fields}
    training = {name: value for name, value in changes.items() if name in TrainingConfig.model_fields}
    rest = {name: value for name, value in changes.items() if name not in {*budget, *training}}
    values |= {**rest, "budget": budget or values["budget"], "training": {**values["training"], **training}}
    return parse(RunConfig, values, what="The run")
