"""Runs whose maps are alike but for the seed, gathered under one name: the references and main models of a transfer.

Owns which runs count as one; reads the rows of the view `runs`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import pandas as pd

from ftft_core.comparison.columns import fact_words
from ftft_core.comparison.runs import mean_or_none

PLAIN_METHODS = frozenset({"erm", "erm_matched", "reference"})
"""Methods that train alike on all data; their maps differ only as model, budget and training do."""

UNNAMED_MODEL = "imported"
"""The model of imported dynamics of which nobody said what gave them: two such runs may be of two models."""


@dataclass(frozen=True)
class Candidate:
    """Runs that differ by their seed alone."""

    name: str
    """What it is, in as few words as tell it from the others: model and layers, then what else differs."""
    runs: tuple[str, ...]
    """Names, in the order of their seeds; of several with one seed the newest."""
    seeds: tuple[int | None, ...]
    """None for a run that was imported: its seed isn't known."""
    model: str
    num_layers: int
    methods: tuple[str, ...]
    cost: float | None
    """Mean FLOPs of a run, dev passes that decided its end included; None unless all are known."""
    seconds: float | None
    """Mean seconds of a run, likewise."""
    fraction: float
    """Share of the training data that they saw, in (0, 1]."""

    @property
    def is_reference(self) -> bool:
        """Whether it was made only to be a reference."""
        return set(self.methods) == {"reference"}


def find_candidates(runs: pd.DataFrame) -> tuple[list[Candidate], list[str]]:
    """Gather runs over their seeds, in the order of their first run; notes tell of seeds given twice.

    Runs that have not finished stand apart, each by what became of it: their maps are of fewer epochs.

    :param runs: rows of the view `runs`, of one suite, in any order; `matched`, where it is a column, says whose cost
        a budget in FLOPs was taken from, as facts of a comparison (`Workspace.with_matched`).
    """
    gathered: dict[tuple[tuple[str, str], ...], list[dict[str, Any]]] = {}
    for row in runs.to_dict("records"):
        gathered.setdefault(tuple(_facts(row).items()), []).append(row)
    found, notes = [], []
    names = _names([dict(key) for key in gathered])
    for name, members in zip(names, gathered.values(), strict=True):
        members = sorted(members, key=lambda row: row["created_at"])
        by_seed = {(_seed(row) if _seed(row) is not None else row["run_id"]): row for row in members}
        kept = sorted(by_seed.values(), key=lambda row: (_seed(row) is None, _seed(row) or 0))
        if len(kept) < len(members):
            left_out = [row["name"] for row in members if by_seed.get(_seed(row), row) is not row]
            notes.append(f"{name}: a seed was run more than once; only its last run counts. Left out: "
                         f"{', '.join(left_out)}.")  # fmt: skip
        first = kept[0]
        found.append(
            Candidate(
                name=name,
                runs=tuple(str(row["name"]) for row in kept),
                seeds=tuple(_seed(row) for row in kept),
                model=str(first["model"]),
                num_layers=int(first["num_layers"]),
                methods=tuple(dict.fromkeys(str(row["method"]) for row in kept)),
                cost=mean_or_none([_sum(row, "train_flops", "stopping_flops") for row in kept]),
                seconds=mean_or_none([_sum(row, "train_seconds", "stopping_seconds") for row in kept]),
                fraction=float(first["fraction"]),
            )
        )
    return found, notes


def likely_main(candidates: Sequence[Candidate]) -> Candidate | None:
    """Guess which candidate is the main model: the dearest plain fine-tuning; None where there is none to guess."""
    erm = [each for each in candidates if "erm" in each.methods]
    others = [each for each in candidates if not each.is_reference]
    among = erm or others or list(candidates)
    return max(among, key=lambda each: (each.cost or 0, each.num_layers), default=None)


_OTHER_SETTINGS = ("weight_decay", "warmup_fraction", "gradient_clip_norm")


def _facts(row: Mapping[str, Any]) -> dict[str, str]:
    """What must agree for maps to be of one candidate, in words, the most telling first."""
    config = json.loads(row["config"]) if isinstance(row["config"], str) else {}
    layers = int(row["num_layers"])
    facts = {"model": str(row["model"]), "layers": f"{layers} layer{'s' * (layers != 1)}" if layers else ""}
    if not config:
        unnamed = row["model"] == UNNAMED_MODEL
        return {**facts, "run": str(row["name"]) if unnamed else "", "method": "imported"}
    budget = {name: value for name, value in config.get("budget", {}).items() if value is not None}
    matched = row["matched"] if isinstance(row.get("matched"), Mapping) else {}
    training = config.get("training", {})
    facts["method"] = "" if row["method"] in PLAIN_METHODS else str(row["method"])
    facts["status"] = ""
    if row.get("status", "finished") != "finished":
        facts["status"] = f"{row['status']} after {_counted(row.get('counted_epochs'), 'epoch')}"
    # A budget that matches a method's cost differs by seed; whose cost it is doesn't.
    words = [_BUDGET_WORDS[name](value) for name, value in budget.items()]
    facts["budget"] = "matched FLOPs" if matched else ", ".join(words)
    facts |= {name: fact_words(name, value) for name, value in matched.items()}
    facts["stop"] = f"stop {config['stop']}" if config.get("stop") else ""
    facts["learning_rate"] = f"rate {training.get('learning_rate', 0):g}"
    facts["batch_size"] = f"batch {training.get('batch_size', 0)}"
    facts["max_length"] = f"{training.get('max_length', 0)} tokens"
    facts["training"] = json.dumps({name: training.get(name) for name in _OTHER_SETTINGS})
    facts["precision"] = str(row["precision"]) if isinstance(row.get("precision"), str) else ""
    excluded = config.get("excluded")
    facts["excluded"] = f"without {excluded['num_examples']:,} excluded examples" if excluded else ""
    facts["what was excluded"] = str(excluded["fingerprint"])[:8] if excluded else ""
    facts["subset"] = f"on subset {row['subset']}" if isinstance(row["subset"], str) else ""
    facts["versions"] = "" if pd.isna(row["training_fingerprint"]) else f"data {row['training_fingerprint'][:8]}"
    return facts


_BUDGET_WORDS: dict[str, Callable[[Any], str]] = {
    "epochs": lambda value: _counted(value, "epoch"),
    "max_steps": lambda value: f"{value:,} steps",
    "max_flops": lambda value: f"{value:.2g} FLOPs",
}


def _counted(number: Any, unit: str) -> str:
    count = 0 if number is None or pd.isna(number) else number
    return f"{count:g} {unit}{'s' * (count != 1)}"


def _names(facts: Sequence[Mapping[str, str]]) -> list[str]:
    """Name each by model and layers, and by the fewest further facts that tell all apart that share those."""
    names = [_joined(each, ("model", "layers")) for each in facts]
    further = list(dict.fromkeys(name for each in facts for name in each if name not in ("model", "layers")))
    used = ["model", "layers"]
    for name in further:
        alike = [index for index, each in enumerate(names) if names.count(each) > 1]
        if not alike:
            break
        if any(
            facts[a].get(name) != facts[b].get(name) for a in alike for b in alike if names[a] == names[b] and a != b
        ):
            used.append(name)
            for index in alike:
                names[index] = _joined(facts[index], used)
    return [f"{name} ({index + 1})" if names.count(name) > 1 else name for index, name in enumerate(names)]


def _joined(facts: Mapping[str, str], used: Sequence[str]) -> str:
    words = [PurePath(facts["model"]).name, *(facts.get(name, "") for name in used if name != "model")]
    return ", ".join(word for word in words if word)


def _seed(row: Mapping[str, Any]) -> int | None:
    return None if row["config"] == "{}" else int(row["seed"])


def _sum(row: Mapping[str, Any], *names: str) -> float | None:
    first, *others = (row.get(name) for name in names)
    if first is None or pd.isna(first):
        return None
    return float(first) + sum(float(other) for other in others if other is not None and not pd.isna(other))
