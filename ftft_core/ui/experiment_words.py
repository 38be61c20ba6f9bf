"""What the form of an experiment says, as a recipe, and the other way round; what the form can't show is kept.

Owns how a person's words ("1/3, 0.5", "0-4") become a recipe's values; widgets are `experiment_form`'s, what a recipe
means and what is wrong with it the core's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ftft_core.config import TrainingConfig
from ftft_core.errors import InputError
from ftft_core.methods import METHODS
from ftft_core.ui.planning import read_seeds, read_share

TRAINING = TrainingConfig()

DEFAULTS: dict[str, Any] = {
    "model": None,
    "layers": None,
    "methods": ["erm", "erm_matched", "ftft", "random"],
    "fraction": "1/3",
    "seeds": "1",
    "unit": "epochs",
    "epochs": 3.0,
    "max_steps": 500,
    "early_stop": "1/3",
    "learning_rate": f"{TRAINING.learning_rate:g}",
    "reference_learning_rate": "",
    "batch_size": TRAINING.batch_size,
    "precision": TRAINING.precision,
    "max_length": TRAINING.max_length,
    "error_weight": None,
}
"""What the form holds when it is first seen, by field."""

REFERENCE_DEFAULTS: dict[str, Any] = {"model": None, "layers": None, "epochs": None}
"""The same for each reference."""

COMPARED = [name for name in METHODS if name != "reference"]
"""Methods to choose from; references are trained where a method needs one."""

_SHOWN = {
    "": ("suite", "main_model", "reference_model", "methods", "fraction", "epochs", "max_steps", "early_stop", "seeds",
         "error_weight", "training"),
    "main_model": ("model", "layers"),
    "reference_model": ("model", "layers", "epochs"),
    "training": ("learning_rate", "batch_size", "precision", "max_length"),
}  # fmt: skip
"""What of a recipe the form shows."""

Mappings = Sequence[Mapping[str, Any]]


def read_form(
    values: Mapping[str, Any], references: Mappings, rest: Mapping[str, Any], *, suite: str
) -> tuple[dict[str, Any], list[str]]:
    """Return the recipe that the form asks for, and what can't be understood of it.

    What can't be understood gives its default, so that everything else can be judged as well.

    :param values: by the names of `DEFAULTS`.
    :param references: by the names of `REFERENCE_DEFAULTS`; `rest` is what a recipe said that the form does not show.
    :param rest: the same of the recipe as a whole.
    """
    said, problems = {**DEFAULTS, **values}, []
    if not said["model"]:
        problems.append("Main model: none is chosen; pick one, or type a local folder or a hub name.")
    if not said["methods"]:
        problems.append("Methods: none is chosen; press those that are to be compared.")
    seeds: list[int] = [0]
    try:
        wanted = read_seeds(str(said["seeds"]))
        seeds = list(range(wanted)) if isinstance(wanted, int) else wanted
    except InputError as failure:
        problems.append(failure.message)
    shares = {name: _shares(str(said[name]), name, problems) for name in ("fraction", "early_stop")}
    recipe: dict[str, Any] = {
        "suite": suite,
        "main_model": {**rest.get("main_model", {}), "model": said["model"] or "", **_given(said, "layers")},
        "reference_model": [_reference(each) for each in references if each.get("model")],
        "methods": list(said["methods"] or []),
        "fraction": shares["fraction"] if len(shares["fraction"]) > 1 else shares["fraction"][0],
        said["unit"]: said[said["unit"]],
        "early_stop": shares["early_stop"][0],
        "seeds": seeds,
        **(_given(said, "error_weight") if "jtt" in (said["methods"] or []) else {}),
        "training": _training(said, rest.get("training", {})),
    }
    if len(recipe["reference_model"]) == 1:
        (recipe["reference_model"],) = recipe["reference_model"]
    return {name: value for name, value in recipe.items() if value not in ([], {})}, problems


def form_of(recipe: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """Return what the form holds for a recipe's mapping: values, references, and what it does not show."""
    main, training = recipe["main_model"], recipe.get("training", {})
    given = recipe.get("reference_model", [])
    fractions, seeds = _listed(recipe.get("fraction", 1 / 3)), _listed(recipe.get("seeds", [0]))
    values = {
        **DEFAULTS,
        "model": main["model"],
        "layers": main.get("layers"),
        "methods": _listed(recipe["methods"]),
        "fraction": ", ".join(map(share_words, fractions)),
        "seeds": _seed_words(seeds),
        "unit": "max_steps" if recipe.get("max_steps") is not None else "epochs",
        "early_stop": share_words(recipe.get("early_stop", 1 / 3)),
        "error_weight": recipe.get("error_weight"),
    }
    values |= {name: recipe[name] for name in ("epochs", "max_steps") if recipe.get(name) is not None}
    values["epochs"] = float(values["epochs"])
    for name in _SHOWN["training"]:
        if name in training:
            values[name] = f"{float(training[name]):g}" if name == "learning_rate" else training[name]
    of_references = training.get("reference", {})
    if "learning_rate" in of_references:
        values["reference_learning_rate"] = f"{float(of_references['learning_rate']):g}"
    references = [
        {
            "model": each["model"],
            "layers": each.get("layers"),
            "epochs": None if each.get("epochs") is None else float(each["epochs"]),
            "rest": _hidden(each, "reference_model"),
        }
        for each in (given if isinstance(given, list) else [given])
    ]  # fmt: skip
    rest = {"main_model": _hidden(main, "main_model"), "training": _hidden(training, "training")}
    return values, references, {name: hidden for name, hidden in rest.items() if hidden}


def hidden_words(references: Mappings, rest: Mapping[str, Any]) -> str:
    """Say what the recipe sets that the form does not show; empty when there is nothing."""
    training = dict(rest.get("training", {}))
    of_references = {name: value for name, value in training.pop("reference", {}).items() if name != "learning_rate"}
    main = rest.get("main_model", {})
    parts = {"main model": main, "training": training, "training of references": of_references}
    parts |= {f"reference {number}": each.get("rest", {}) for number, each in enumerate(references, 1)}
    said = [f"{place}: {', '.join(map(_in_words, names))}" for place, names in parts.items() if names]
    return "The recipe also sets " + "; ".join(said) + "." if said else ""


def share_words(share: float) -> str:
    """Write a share as people do: "1/3" for a third, else its digits."""
    short = f"{share:g}"
    # What is read again must be the same share.
    digits = short if float(short) == share else repr(float(share))
    return next((f"1/{number}" for number in (3, 6, 7, 9) if abs(share - 1 / number) < 1e-9), digits)


def _shares(typed: str, name: str, problems: list[str]) -> list[float]:
    title = {"fraction": "Fractions", "early_stop": "Early stop"}[name]
    parts = [part for part in typed.split(",") if part.strip()]
    if not parts or (len(parts) > 1 and name == "early_stop"):
        problems.append(f"{title}: received '{typed[:40]}'; it must be a share such as 1/3, 0.33 or 33 %.")
        return [1 / 3]
    found = []
    for part in parts:
        try:
            found.append(read_share(part))
        except InputError as failure:
            problems.append(failure.message.replace("Share", title, 1))
    return found or [1 / 3]


def _reference(said: Mapping[str, Any]) -> dict[str, Any]:
    rest = dict(said.get("rest", {}))
    if said.get("epochs") is not None:
        rest.pop("max_steps", None)
    return {"model": said["model"], **_given(said, "layers", "epochs"), **rest}


def _training(said: Mapping[str, Any], rest: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: _number(said[name]) for name in _SHOWN["training"]}
    changed = {name: value for name, value in shown.items() if value != getattr(TRAINING, name)}
    of_references = {name: value for name, value in rest.get("reference", {}).items() if name != "learning_rate"}
    if str(said["reference_learning_rate"]).strip():
        of_references["learning_rate"] = _number(said["reference_learning_rate"])
    others = {name: value for name, value in rest.items() if name != "reference"}
    return {**changed, **others, **({"reference": of_references} if of_references else {})}


def _hidden(values: Mapping[str, Any], place: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in _SHOWN[place]}


def _given(said: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: said[name] for name in names if said.get(name) is not None}


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _seed_words(seeds: Sequence[int]) -> str:
    if list(seeds) == list(range(len(seeds))):
        return str(len(seeds))
    return f"seed {seeds[0]}" if len(seeds) == 1 else ", ".join(map(str, seeds))


def _in_words(name: str) -> str:
    return name.replace("_", " ")


def _number(typed: Any) -> Any:
    """Return the number that was typed, or the text as it is, for the core to refuse."""
    if not isinstance(typed, str):
        return typed
    try:
        return float(typed.strip())
    except ValueError:
        return typed
