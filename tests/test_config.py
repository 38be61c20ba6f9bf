"""Configuration: what is allowed, and how what is not is worded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pydantic
import pytest
from pydantic import Field

from ftft_core.config import (
    METHODS,
    STOP_DEFAULTS,
    BudgetConfig,
    Config,
    RunConfig,
    TrainingConfig,
    missing_trackers,
    parse,
)
from ftft_core.errors import InputError, SuiteError


class Ball(Config):
    """One part of the union below."""

    kind: Literal["ball"] = "ball"
    radius: int = 1


class Cube(Config):
    """The other."""

    kind: Literal["cube"] = "cube"
    edge: int = 1


Part = Annotated[Ball | Cube, Field(discriminator="kind")]


def problems_of(**values: object) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse(RunConfig, {"suite": "s", "model": "m", **values}, what="The run")
    return caught.value.problems


def test_defaults_make_a_run() -> None:
    config = parse(RunConfig, {"suite": "s", "model": "m"}, what="The run")
    assert config.budget == BudgetConfig(epochs=3)
    assert (config.method, config.seed, config.layers, config.training.precision) == ("erm", 0, None, "auto")
    assert RunConfig.model_validate_json(config.model_dump_json()) == config


def test_trackers_are_known_names_and_one_needs_no_list() -> None:
    assert TrainingConfig(trackers="wandb").trackers == ("wandb",)
    assert TrainingConfig(trackers=None).trackers == ()
    assert TrainingConfig(trackers=["mlflow", "wandb", "mlflow"]).trackers == ("mlflow", "wandb")
    assert problems_of(training={"trackers": ["tensorbord"]}) == [
        "training.trackers: There is no tracker 'tensorbord' (known: wandb, mlflow, tensorboard, trackio). Did you "
        "mean 'tensorboard'?"
    ]


def test_a_folder_with_a_trackers_name_is_not_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "wandb"
    if not missing_trackers([name]):
        pytest.skip("wandb is installed")
    (tmp_path / name).mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert missing_trackers([name, "tensorboard"]) == [
        "trackers: received wandb, but the package wandb is not installed; install it with `pip install wandb`, or "
        "leave the tracker out."
    ]


def test_a_way_to_stop_brings_its_defaults() -> None:
    def values_of(**values: object) -> dict[str, object]:
        return parse(RunConfig, {"suite": "s", "model": "m", **values}, what="The run").stop_values

    assert values_of() == {}
    patience = {"stop": "patience", "patience": 5, "min_improvement": 0.0, "stop_metric": "accuracy"}
    assert values_of(stop="patience", patience=5, min_improvement=None) == patience
    settled = values_of(stop="settled", settled_fraction=0.5)
    assert settled == {"stop": "settled", **STOP_DEFAULTS["settled"], "settled_fraction": 0.5}
    # What is kept of a run is read again as the same run.
    config = RunConfig(suite="s", model="m", stop="settled")
    assert RunConfig.model_validate_json(config.model_dump_json()) == config


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(InputError, match=r"^The run has 4 problems\.") as caught:
        parse(RunConfig, {"model": "m", "seed": -1, "methdo": "erm", "training": {"precision": "fp8"}}, what="The run")
    assert len(caught.value.problems) == 4
    assert "suite: is required, but missing." in caught.value.problems


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"methd": "erm"}, "methd: unknown key. Known keys: suite, model, layers"),
        ({"training": {"lr": 1}}, "training.lr: unknown key. Known keys: learning_rate, batch_size"),
        ({"method": "ermm"}, "Did you mean 'erm'?"),
        ({"stop": "early"}, "There is no way to stop 'early' (known: patience, settled)."),
        ({"stop": "patience", "patience": 0}, "patience: received 0; it must be at least 1."),
        ({"stop": "patience", "stop_metric": "f1"}, "stop_metric: received 'f1'; it must be 'accuracy' or 'macro_f1'."),
        ({"stop": "settled", "settled_overlap": 2}, "settled_overlap: received 2; it must be at most 1."),
        ({"stop": "settled", "settled_fraction": 0}, "settled_fraction: received 0; it must be above 0."),
        (
            {"stop": "settled", "patience": 2, "evaluate_every": 5},
            "Stop is settled, but only stop patience knows patience, evaluate_every; leave out one or the other",
        ),
        ({"settled_overlap": 0.5}, "No stop was given, but only stop settled knows settled_overlap"),
        (
            {"stop": "settled", "budget": {"epochs": 2}},
            "Stop settled compares selections from epoch 3 on, but the budget is 2 epochs; give at least 3, or leave",
        ),
        ({"training": {"snapshots": 0}}, "training.snapshots: received 0; it must be at least 1."),
        ({"seed": 2**32}, "seed: received 4294967296; it must be below 4,294,967,296."),
        ({"layers": 0}, "layers: received 0; it must be at least 1."),
        ({"name": "a b"}, "; it must be letters, digits, dots, underscores and hyphens"),
        ({"training": {"precision": "fp8"}}, "There is no precision 'fp8' (known: auto, fp32, bf16, fp16)."),
        ({"training": {"learning_rate": 2}}, "it must be at most 1"),
        ({"budget": {}}, "the budget needs exactly one of epochs, max_steps and max_flops; received none"),
        ({"budget": {"epochs": 1, "max_steps": 2}}, "received epochs=1, max_steps=2"),
        ({"budget": {"epochs": 0}}, "budget.epochs: received 0; it must be above 0"),
        ({"budget": {"epochs": 10**7}}, "it must be at most 1,000,000."),
        ({"budget": {"max_steps": 10**10}}, "it must be at most 1,000,000,000."),
        ({"budget": {"max_flops": 1e30}}, "it must be at most 1e+27."),
        ({"training": {"batch_size": 10**10}}, "it must be at most 1,000,000,000."),
        ({"training": {"warmup_fraction": 1}}, "it must be below 1."),
        ({"layers": 10**5}, "it must be at most 10,000."),
        ({"suite": 3}, "suite: received 3; it must be text."),
        ({"model": ""}, "model: is empty; it must hold at least 1 character."),
        ({"training": []}, "training: received []; it must be a mapping of keys to values."),
    ],
)
def test_a_problem_says_what_was_received_and_what_is_allowed(values: dict[str, object], problem: str) -> None:
    problems = problems_of(**values)
    assert len(problems) == 1
    assert problem in problems[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_budgets_are_numbers(value: float) -> None:
    assert problems_of(budget={"epochs": value})
    assert problems_of(budget={"max_flops": value})
    assert problems_of(training={"weight_decay": value})


def test_what_is_no_mapping_is_refused() -> None:
    with pytest.raises(SuiteError, match=r"The spec must be a mapping of keys to values; received \[1\]\."):
        parse(RunConfig, [1], what="The spec", error=SuiteError)


class Listed(Config):
    """A configuration with a list, a word and a union."""

    names: tuple[str, ...] = Field(default=("a",), min_length=1)
    """Names."""

    side: Literal["left", "right"] = "left"
    """A side."""

    parts: tuple[Part, ...] = ()
    """Parts."""


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"names": 1}, "names: received 1; it must be a list."),
        ({"names": []}, "names: received []; it must hold at least 1 item."),
        ({"names": [1]}, "names.0: received 1; it must be text."),
        ({"side": "up"}, "side: received 'up'; it must be 'left' or 'right'."),
        ({"parts": [{"kind": "disc"}]}, "it must be 'ball', 'cube'."),
        ({"parts": [{"kind": "cube", "radius": 1}]}, "parts.0.cube.radius: unknown key. Known keys: kind, edge."),
        ({"parts": [{"kind": "ball", "edge": 1}]}, "parts.0.ball.edge: unknown key. Known keys: kind, radius."),
        ({"parts": [{}]}, "parts.0: received {}; it must say which 'kind' it is of."),
    ],
)
def test_lists_words_and_unions_are_worded_too(values: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(Listed, values, what="It")
    (said,) = caught.value.problems
    assert problem in said


def test_configuration_is_frozen() -> None:
    config = RunConfig(suite="s", model="m")
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        config.seed = 1


@pytest.mark.parametrize("kind", [RunConfig, TrainingConfig, BudgetConfig])
def test_every_field_is_explained(kind: type[Config]) -> None:
    assert [name for name, field in kind.model_fields.items() if not field.description] == []
    assert all(METHODS.values())
