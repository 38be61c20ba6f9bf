"""Validated configuration, one docstring per field.

Every kind of configuration is a frozen pydantic model that refuses unknown keys. `parse` turns what a user wrote
into one, and reports all problems of one input together. The command line makes its flags and their help from
the same fields. A suite's spec lives in `suites`, a recipe in `experiments`; both derive from `Config`.
"""

from ftft_core.config.parsing import Config, ConfigT, parse, shown
from ftft_core.config.run import (
    EPOCHS_TO_SETTLE,
    ERROR_WEIGHT,
    METHODS,
    MOST,
    MOST_EPOCHS,
    MOST_LAYERS,
    NAME_PATTERN,
    PRECISIONS,
    STOP_DEFAULTS,
    STOP_FIELDS,
    STOPS,
    BudgetConfig,
    ExcludedExamples,
    Precision,
    RunConfig,
    StopConfig,
    TrainingConfig,
)
from ftft_core.config.trackers import TRACKERS, missing_trackers

__all__ = [
    "EPOCHS_TO_SETTLE",
    "ERROR_WEIGHT",
    "METHODS",
    "MOST",
    "MOST_EPOCHS",
    "MOST_LAYERS",
    "NAME_PATTERN",
    "PRECISIONS",
    "STOPS",
    "STOP_DEFAULTS",
    "STOP_FIELDS",
    "TRACKERS",
    "BudgetConfig",
    "Config",
    "ConfigT",
    "ExcludedExamples",
    "Precision",
    "RunConfig",
    "StopConfig",
    "TrainingConfig",
    "missing_trackers",
    "parse",
    "shown",
]
