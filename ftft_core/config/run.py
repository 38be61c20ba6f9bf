"""What a run is: what it trains on, how it is optimised, how long, and when it stops; one docstring per field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

import pydantic
from pydantic import Field, model_validator

from ftft_core.config.parsing import Config
from ftft_core.config.trackers import TRACKERS
from ftft_core.errors import unknown
from ftft_core.methods import METHODS as ALL_METHODS

Precision = str
"""One of `PRECISIONS`."""

PRECISIONS = {
    "auto": "what the device does fastest without losing accuracy: bf16 where it has it, fp16 on older CUDA, else fp32",
    "fp32": "32-bit floating point throughout",
    "bf16": "bfloat16 autocast, 32-bit weights",
    "fp16": "float16 autocast with loss scaling, 32-bit weights (CUDA only)",
}


NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""Names of suites, runs and subsets: letters, digits, dot, underscore and hyphen, the first a letter or digit."""


MOST = 10**9
MOST_EPOCHS = 10**6
MOST_LAYERS = 10**4
"""Counts past these are slips of the pen; the database could not hold some of them."""


class TrainingConfig(Config):
    """How a run is optimised."""

    learning_rate: float = Field(default=5e-5, gt=0, le=1)
    """Peak learning rate of AdamW."""

    batch_size: int = Field(default=32, ge=1, le=MOST)
    """Examples in one optimizer step, over all devices."""

    weight_decay: float = Field(default=0.01, ge=0, le=MOST)
    """AdamW weight decay; not applied to biases and layer norms."""

    warmup_fraction: float = Field(default=0.06, ge=0, lt=1)
    """Share of the optimizer steps over which the learning rate rises linearly from 0."""

    gradient_clip_norm: float | None = Field(default=1.0, gt=0, le=MOST)
    """Largest 2-norm of the gradient; no clipping when null."""

    max_length: int = Field(default=128, ge=4, le=MOST)
    """Longest input in tokens; what is longer is cut, the longer text of a pair first."""

    precision: Precision = "auto"
    """Arithmetic of the forward pass: auto, fp32, bf16 or fp16."""

    checkpoint_seconds: float = Field(default=300.0, gt=0, le=MOST)
    """Seconds between checkpoints within an epoch; one is written after every epoch too."""

    snapshots: int | None = Field(default=None, ge=1, le=1000)
    """Looks at the test splits while it trains, evenly spread, on at most 256 examples of each; to be watched alone:
    nothing is decided by them, and they change nothing. None when left out."""

    trackers: tuple[str, ...] = ()
    """What the run is logged to as well: wandb, mlflow, tensorboard, trackio, or several. It changes nothing in the
    run; TensorBoard's files lie in the run's folder. None when left out."""

    @pydantic.field_validator("trackers", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return () if value is None else (value,) if isinstance(value, str) else value

    @pydantic.field_validator("trackers")
    @classmethod
    def _known_trackers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        strange = [unknown("tracker", name, TRACKERS) for name in value if name not in TRACKERS]
        if strange:
            raise ValueError(" ".join(strange))
        return tuple(dict.fromkeys(value))

    @pydantic.field_validator("precision")
    @classmethod
    def _known_precision(cls, value: str) -> str:
        if value not in PRECISIONS:
            raise ValueError(unknown("precision", value, PRECISIONS))
        return value


class BudgetConfig(Config):
    """How long a run trains: exactly one of the fields; the learning-rate schedule spans it."""

    epochs: float | None = Field(default=None, gt=0, le=MOST_EPOCHS)
    """Passes over the run's training examples; a fraction stops within a pass."""

    max_steps: int | None = Field(default=None, ge=1, le=MOST)
    """Optimizer steps."""

    max_flops: float | None = Field(default=None, gt=0, le=1e27)
    """Training FLOPs; the run takes the number of steps that comes nearest."""

    @model_validator(mode="after")
    def _one_budget(self) -> BudgetConfig:
        given = {name: value for name, value in self if value is not None}
        if len(given) != 1:
            said = ", ".join(f"{name}={value:g}" for name, value in given.items()) or "none"
            raise ValueError(f"the budget needs exactly one of epochs, max_steps and max_flops; received {said}")
        return self

    def num_steps(self, num_examples: int, batch_size: int) -> int | None:
        """Optimizer steps that it comes to, at least 1; None for a budget in FLOPs, which depends on the texts."""
        if self.epochs is None:
            return self.max_steps
        return max(1, round(self.epochs * math.ceil(num_examples / batch_size)))


METHODS = {name: method.words for name, method in ALL_METHODS.items()}
"""What a run can be part of; the name says how its data and budget were chosen (see `metrics` in the docs)."""


ERROR_WEIGHT = 5.0
"""Weight of a reference's errors with method jtt, unless a run says otherwise."""


STOPS = {
    "patience": "once the dev split has not improved for a while; the best model is kept",
    "settled": "once the ambiguous examples of the map hardly change from epoch to epoch",
}
"""Ways to end a run before its budget."""

STOP_DEFAULTS: dict[str, dict[str, Any]] = {
    "patience": {"patience": 3, "min_improvement": 0.0, "stop_metric": "accuracy"},
    "settled": {"settled_overlap": 0.8, "settled_fraction": 1 / 3},
}
"""What each of them is told by, unless a run says otherwise; docs/results.md says where the overlap comes from."""

EPOCHS_TO_SETTLE = 3
"""Epochs after which two selections can first be compared: variability takes two, and a comparison one more."""


class StopConfig(Config):
    """Whether and when a run ends before its budget; what belongs to another way to stop is null."""

    stop: str | None = None
    """`patience` ends a run once dev no longer improves, and keeps the best model; `settled` ends it once the
    ambiguous examples of its map hardly change from epoch to epoch. The whole budget is used when left out."""

    patience: int | None = Field(default=None, ge=1, le=MOST)
    """With stop patience: evaluations of dev in a row without improvement that end the run; 3 when left out."""

    evaluate_every: int | None = Field(default=None, ge=1, le=MOST)
    """With stop patience: optimizer steps between evaluations of dev, beside the one at the end of every epoch; a
    tenth of the budget when left out."""

    min_improvement: float | None = Field(default=None, ge=0, lt=1)
    """With stop patience: gain, as a share, that counts as improvement (0.01 is one point); any when left out."""

    stop_metric: Literal["accuracy", "macro_f1"] | None = None
    """With stop patience: accuracy or macro_f1 on dev; accuracy when left out."""

    settled_overlap: float | None = Field(default=None, gt=0, le=1)
    """With stop settled: overlap (Jaccard, 0 to 1) of the ambiguous examples with those an epoch earlier at which the
    map counts as settled; 0.8 when left out."""

    settled_fraction: float | None = Field(default=None, gt=0, lt=1)
    """With stop settled: share of the training examples that count as ambiguous; a third when left out."""

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not isinstance(values.get("stop"), str):
            return values
        defaults = STOP_DEFAULTS.get(values["stop"], {})
        return {**values, **{name: value for name, value in defaults.items() if values.get(name) is None}}

    @pydantic.field_validator("stop")
    @classmethod
    def _known_stop(cls, value: str | None) -> str | None:
        if value is not None and value not in STOPS:
            raise ValueError(unknown("way to stop", value, STOPS))
        return value

    @model_validator(mode="after")
    def _fields_of_its_stop(self) -> Self:
        said = "No stop was given" if self.stop is None else f"Stop is {self.stop}"
        for stop, names in STOP_FIELDS.items():
            strange = [name for name in names if stop != self.stop and getattr(self, name) is not None]
            if strange:
                raise ValueError(f"{said}, but only stop {stop} knows {', '.join(strange)}; leave out one or the other")
        return self

    @property
    def stop_values(self) -> dict[str, Any]:
        """The fields of stopping, by name; those that are null left out."""
        return {name: value for name in StopConfig.model_fields if (value := getattr(self, name)) is not None}


STOP_FIELDS = {
    "patience": ("patience", "evaluate_every", "min_improvement", "stop_metric"),
    "settled": ("settled_overlap", "settled_fraction"),
}
"""The fields that belong to each way to stop."""


class ExcludedExamples(Config):
    """The examples that a run leaves out because they are excluded from training."""

    num_examples: int = Field(ge=1)
    """How many they are, of those that the run would train on otherwise."""

    fingerprint: str
    """Tells them from other ones."""


class RunConfig(StopConfig):
    """A run: a model fine-tuned on a suite's training examples, or on a subset of them."""

    suite: str
    """Name of the suite."""

    model: str = Field(min_length=1)
    """A local folder, a hub name that transformers loads (safetensors only, remote code off), or a known short name."""

    layers: int | None = Field(default=None, ge=1, le=MOST_LAYERS)
    """Keep only the model's first this many encoder layers; all of them when left out."""

    subset: str | None = None
    """Train on this subset (id or name) instead of on all training examples."""

    method: str = "erm"
    """What the run is part of; one of the methods that are compared, or reference."""

    reference: str | None = None
    """The run (id or name) whose dynamics chose the subset, or guide the method; its cost is added to this run's."""

    error_weight: float | None = Field(default=None, ge=1, le=MOST)
    """With method jtt: weight of the examples that the reference got wrong, where others weigh 1; 5 when left out."""

    error_pass: bool = False
    """Predict all training examples after the first epoch, so that the run can be the reference of a jtt run, which is
    charged for it; true or false. It changes nothing in the run itself."""

    excluded: ExcludedExamples | None = None
    """What is left out because it is excluded from training; set when the run is queued."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of the classification head, the order of the examples, and dropout."""

    budget: BudgetConfig = BudgetConfig(epochs=3)
    """How long the run trains."""

    training: TrainingConfig = TrainingConfig()
    """How the run is optimised."""

    name: str | None = Field(default=None, pattern=NAME_PATTERN)
    """The run's name; made from method, model and seed when left out."""

    @model_validator(mode="before")
    @classmethod
    def _with_error_weight(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("method") == "jtt" and values.get("error_weight") is None:
            return {**values, "error_weight": ERROR_WEIGHT}
        return values

    @pydantic.field_validator("method")
    @classmethod
    def _known_method(cls, value: str) -> str:
        if value not in METHODS:
            raise ValueError(unknown("method", value, METHODS))
        return value

    @model_validator(mode="after")
    def _can_settle(self) -> Self:
        epochs = self.budget.epochs
        if self.stop == "settled" and epochs is not None and epochs < EPOCHS_TO_SETTLE:
            raise ValueError(
                f"stop settled compares selections from epoch {EPOCHS_TO_SETTLE} on, but the budget is {epochs:g} "
                f"epoch{'s' * (epochs != 1)}; give at least {EPOCHS_TO_SETTLE}, or leave stop out"
            )
        return self

    @model_validator(mode="after")
    def _errors_of_a_reference(self) -> Self:
        if self.error_weight is not None and self.method != "jtt":
            raise ValueError(
                f"the method is {self.method}, but only method jtt knows error_weight; leave out one of them"
            )
        epochs = self.budget.epochs
        if self.error_pass and epochs is not None and epochs < 1:
            raise ValueError(
                f"error_pass predicts the training examples after the first epoch, but the budget of {epochs:g} epochs "
                "ends before; give at least 1, or leave error_pass out"
            )
        return self
