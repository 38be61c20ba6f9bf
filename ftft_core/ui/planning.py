"""What the fine-tuning form says, as configurations of runs: defaults, seeds, budgets, and all that is wrong at once.

Owns how a person's words ("0-4", "1/3") become numbers; widgets are `run_form`'s, costs and what can't work the
core's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ftft_core.config import ERROR_WEIGHT, STOP_DEFAULTS, RunConfig, TrainingConfig
from ftft_core.errors import InputError
from ftft_core.methods import METHODS

ON_ALL = ("erm", "reference", "erm_matched")
"""Methods on all examples that stand first; those with a loss or an order of their own follow."""

ON_ANY_SUBSET = ("ftft", "cartography", "random")
"""Methods that a subset drawn by hand, or by a strategy that makes no method, can stand for."""

MAX_RUNS = 50
"""Most runs that one press of the button starts; more is rather a slip of the pen."""

TRAINING = TrainingConfig()
FULL_EPOCHS = 3.0
DEFAULT_SNAPSHOTS = 5

DEFAULTS: dict[str, Any] = {
    "model": None,
    "layers": None,
    "subset": None,
    "method": None,
    "reference": None,
    "error_pass": False,
    "error_weight": ERROR_WEIGHT,
    "seeds": "1",
    "unit": "epochs",
    "epochs": 3.0,
    "max_steps": 500,
    "share": "1/3",
    "full_epochs": FULL_EPOCHS,
    "max_flops": "1e15",
    "stop": None,
    "patience": STOP_DEFAULTS["patience"]["patience"],
    "settled_overlap": STOP_DEFAULTS["settled"]["settled_overlap"],
    "learning_rate": f"{TRAINING.learning_rate:g}",
    "batch_size": TRAINING.batch_size,
    "precision": TRAINING.precision,
    "max_length": TRAINING.max_length,
    "warmup_fraction": f"{TRAINING.warmup_fraction:g}",
    "weight_decay": f"{TRAINING.weight_decay:g}",
    "gradient_clip_norm": f"{TRAINING.gradient_clip_norm:g}",
    "checkpoint_seconds": TRAINING.checkpoint_seconds,
    "snapshots": DEFAULT_SNAPSHOTS,
    "trackers": [],
    "name": "",
}
"""What the form holds when it is first seen, by field; None of `subset` is all training examples."""

COMPARED_FIELDS = (
    *("model", "layers", "learning_rate", "batch_size", "precision", "max_length", "warmup_fraction", "weight_decay"),
    "gradient_clip_norm",
)
"""Fields in which runs that are to be compared agree."""

LEAST_EPOCHS = 0.01
"""Fewest that the form takes."""

NUMBER_FIELDS = ("learning_rate", "warmup_fraction", "weight_decay", "gradient_clip_norm")
"""Fields of training that are typed."""

STOP_FIELDS = ("patience", "settled_overlap")
"""Fields of stopping that the form asks for."""


def fitting_methods(subset: Mapping[str, Any] | None) -> list[str]:
    """Return what a run on this subset (None: on all examples) can count as in a comparison, likeliest first."""
    if subset is None:
        return [*ON_ALL, *(name for name, method in METHODS.items() if method.strategy is None and name not in ON_ALL)]
    strategy = subset.get("strategy")
    fitting = [name for name, method in METHODS.items() if strategy is not None and method.strategy == strategy]
    return sorted(fitting, key=lambda name: METHODS[name].source == "own") or list(ON_ANY_SUBSET)


def all_methods(subset: Mapping[str, Any] | None) -> list[str]:
    """Return every method, those that fit this subset (None: all examples) first."""
    fitting = fitting_methods(subset)
    return [*fitting, *(name for name in METHODS if name not in fitting)]


def method_problem(method: str, subset: Mapping[str, Any] | None) -> str | None:
    """Say why a method can't be had with this subset (None: with all examples), and what to do; None if it can."""
    if method in fitting_methods(subset):
        return None
    strategy = METHODS[method].strategy
    if strategy is None:
        return f"Method {method} trains on all examples, but a subset is chosen; choose all training examples."
    how = "a random part" if strategy == "random" else f"the part that the strategy '{strategy}' selects"
    make = "one that exists, or select one on the data map"
    if subset is None:
        return f"Method {method} trains on {how}, but all examples are chosen; choose such a subset: {make}."
    return (
        f"Method {method} trains on {how}, but subset '{subset['name']}' was selected by '{subset['strategy']}'; "
        f"choose {make}, or let the run count as {fitting_methods(subset)[0]}."
    )


def method_words(method: str, subset: Mapping[str, Any] | None) -> str:
    """Name a method, and what it asks for where it does not fit."""
    if method in fitting_methods(subset):
        return method
    return f"{method} (all examples)" if METHODS[method].strategy is None else f"{method} (a subset)"


def usual_budget(method: str) -> dict[str, Any]:
    """Return the budget that a method has by its definition, as fields of the form."""
    if METHODS[method].budget == "early":
        return {"unit": "share", "share": "1/3"}
    is_partial = METHODS[method].strategy is not None
    return {"unit": "share", "share": "1"} if is_partial else {"unit": "epochs"}


def free_seeds(
    runs: pd.DataFrame, model: str, layers: int | None, subset: Mapping[str, Any] | None, method: str, count: int
) -> list[int]:
    """Return the lowest seeds that no run of this kind has yet, so that starting again adds seeds."""
    same = (runs["model"] == model) & (runs["method"] == method)
    if subset is None:
        same &= runs["subset"].isna()
    else:
        same &= runs["subset"] == subset["subset"] if "subset" in subset else runs["subset"].notna()
    if layers is not None:
        same &= runs["num_layers"] == layers
    taken = set(runs.loc[same & ~runs["status"].isin(["failed", "cancelled"]), "seed"].astype(int))
    return [seed for seed in range(count + len(taken)) if seed not in taken][:count]


def read_seeds(typed: str) -> int | list[int]:
    """Read how many seeds (a plain number) or which ones: "0-4", "0, 2, 7", "seed 7".

    :raises InputError: if it is neither.
    """
    said = re.sub(r"^\s*seeds?\b", "", typed, flags=re.IGNORECASE)
    is_list = said != typed or any(sign in said for sign in ",-")
    wrong = InputError(
        f"Seeds: received '{typed[:40]}'; it must be how many (such as 3), or which ones (such as 0-4, or 0, 2, 7, or "
        "seed 7)."
    )
    if not is_list:
        if not re.fullmatch(r"\s*[0-9]{1,9}\s*", said) or int(said) < 1:
            raise wrong
        if int(said) > MAX_RUNS:
            raise InputError(f"Seeds: received {int(said):,}; at most {MAX_RUNS} runs are started at once.")
        return int(said)
    found: list[int] = []
    for part in filter(None, (part.strip() for part in said.split(","))):
        ends = re.fullmatch(r"([0-9]{1,10})(?:\s*-\s*([0-9]{1,10}))?", part)
        if ends is None:
            raise wrong
        first, last = int(ends[1]), int(ends[2] or ends[1])
        if last < first or last - first >= 10**6:
            raise wrong
        found.extend(range(first, last + 1))
    found = list(dict.fromkeys(found))
    if not found:
        raise wrong
    if len(found) > MAX_RUNS:
        raise InputError(f"Seeds: received {len(found):,} of them; at most {MAX_RUNS} runs are started at once.")
    return found


def read_share(typed: str) -> float:
    """Read a share in (0, 1]: "1/3", "0.33" or "33 %".

    :raises InputError: if it is none.
    """
    parts = re.fullmatch(r"\s*([0-9.]+)\s*(?:/\s*([0-9.]+)|(%))?\s*", typed)
    try:
        share = math.nan if parts is None else float(parts[1]) / (100.0 if parts[3] else float(parts[2] or 1))
    except (ValueError, ZeroDivisionError):
        share = math.nan
    if not 0 < share <= 1:
        raise InputError(
            f"Share: received '{typed[:40]}'; it must be above 0 and at most 1, such as 1/3, 0.33 or 33 %."
        )
    return share


def read_form(
    values: Mapping[str, Any], *, suite: str, num_train: int, runs: pd.DataFrame, subset: Mapping[str, Any] | None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the runs that the form asks for, as fields of `RunConfig`, and what can't be understood of it.

    What can't be understood gives its default to the runs, so that everything else about them can be judged as well.

    :param values: by the names of `DEFAULTS`.
    :param num_train: examples of the suite's training split.
    :param runs: those of the suite, to find the next free seeds.
    """
    said, problems = {**DEFAULTS, **values}, []
    if not said["model"]:
        problems.append("Model: none is chosen; pick one, or type a local folder or a hub name.")
    budget: dict[str, Any] = {"epochs": FULL_EPOCHS}
    wanted: int | list[int] = 1
    try:
        budget = _budget(said, num_train)
    except InputError as failure:
        problems.append(failure.message)
    try:
        wanted = read_seeds(str(said["seeds"]))
    except InputError as failure:
        problems.append(failure.message)
    training = {
        name: said[name] for name in ("batch_size", "precision", "max_length", "checkpoint_seconds", "snapshots")
    }
    training["trackers"] = list(said["trackers"])
    training |= {name: _number(said[name]) for name in NUMBER_FIELDS}
    stop = {"stop": said["stop"]}
    stop |= {name: said[name] for name in STOP_FIELDS if name in STOP_DEFAULTS.get(str(said["stop"]), {})}
    fields = {name: said[name] for name in ("model", "layers", "subset", "method", "reference")}
    if said["method"] == "jtt":
        fields["error_weight"] = said["error_weight"]
    if said["method"] == "reference" and said["error_pass"]:
        fields["error_pass"] = True
    seeds = wanted if isinstance(wanted, list) else free_seeds(
        runs, full_path(str(said["model"])), said["layers"], subset, str(said["method"]), wanted
    )  # fmt: skip
    name = str(said["name"] or "").strip()
    asked = [
        {
            "suite": suite, **fields, "seed": seed, "budget": budget, "training": training, **stop,
            "name": (f"{name}-{seed}" if name and len(seeds) > 1 else name) or None,
        }
        for seed in seeds
    ]  # fmt: skip
    return asked, problems


def form_of(config: RunConfig) -> dict[str, Any]:
    """Return what the form holds to ask for this very run; its name is left out, since that is taken."""
    values = {**DEFAULTS, "seeds": f"seed {config.seed}"}
    for name in ("model", "layers", "subset", "method", "reference", "stop", "error_pass"):
        values[name] = getattr(config, name)
    if config.error_weight is not None:
        values["error_weight"] = config.error_weight
    for name in STOP_FIELDS:
        if getattr(config, name) is not None:
            values[name] = getattr(config, name)
    unit, amount = next((name, value) for name, value in config.budget if value is not None)
    values |= {"unit": unit, unit: f"{amount:g}" if unit == "max_flops" else amount}
    for name, value in config.training:
        if name in NUMBER_FIELDS:
            values[name] = "" if value is None else f"{value:g}"
        elif name == "trackers":
            values[name] = list(value)
        elif name in values:
            values[name] = value
    return values


def settings_of(config: RunConfig, num_train: int) -> dict[str, Any]:
    """Return what the form holds of a plain fine-tuning that its model, and how it was trained, tell of another run.

    :param num_train: number of training examples, by which its budget is one in epochs.
    """
    values = form_of(config)
    taken = {name: values[name] for name in COMPARED_FIELDS}
    epochs = config.budget.epochs
    if epochs is None and config.budget.max_steps is not None:
        epochs = config.budget.max_steps / math.ceil(num_train / config.training.batch_size)
    return taken if epochs is None else {**taken, "full_epochs": max(float(epochs), LEAST_EPOCHS)}


def seeds_words(seeds: Sequence[int]) -> str:
    """Word seeds shortly: "seed 3", "seeds 0-4", "seeds 0, 2, 7"."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    if list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"seeds {seeds[0]}-{seeds[-1]}"
    return "seeds " + ", ".join(map(str, seeds))


def full_path(model: str) -> str:
    """Return a model as runs keep it: a local folder by its whole path, anything else as it was given."""
    path = Path(model).expanduser()
    return str(path.resolve()) if path.is_dir() else model


def _budget(said: Mapping[str, Any], num_train: int) -> dict[str, Any]:
    unit = said["unit"]
    if unit == "share":
        share = read_share(str(said["share"]))
        full = float(said["full_epochs"]) * math.ceil(num_train / max(1, int(said["batch_size"])))
        return {"max_steps": max(1, round(share * full))}
    return {unit: _number(said[unit]) if unit == "max_flops" else said[unit]}


def _number(typed: Any) -> Any:
    """Return the number that was typed, None for nothing, or the text as it is, for the core to refuse."""
    try:
        return float(str(typed).strip()) if str(typed).strip() else None
    except ValueError:
        return str(typed)
