"""What the fine-tuning form needs to know: which methods fit, which seeds are free, what it will take.

Owns wording and defaults of the form; no cost is computed here, only carried over from earlier runs.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from ftft_core.ui.frame import duration_words

FROM_STRATEGY = {
    "ambiguous": ("ftft", "cartography"),
    "random": ("random",),
    "hard": ("hard",),
    "easy": ("easy",),
    "forgetting": ("forgetting",),
    "el2n": ("el2n",),
    "aum": ("aum",),
}
"""Methods that a subset by that strategy can stand for, the likeliest first."""

ON_ALL = ("erm", "reference", "erm_matched")
ON_ANY_SUBSET = ("ftft", "cartography", "random")


def fitting_methods(subset: dict[str, Any] | None) -> list[str]:
    """Return what a run on this subset (None: on all examples) can count as in a comparison, likeliest first."""
    if subset is None:
        return list(ON_ALL)
    return list(FROM_STRATEGY.get(str(subset.get("strategy")), ON_ANY_SUBSET))


def free_seeds(
    runs: pd.DataFrame, model: str, layers: int | None, subset: dict[str, Any] | None, method: str, count: int
) -> list[int]:
    """Return the lowest seeds that no run of this kind has yet, so that starting again adds seeds."""
    same = (runs["model"] == model) & (runs["method"] == method)
    same &= runs["subset"].isna() if subset is None else runs["fraction"].notna() & runs["subset"].notna()
    if layers is not None:
        same &= runs["num_layers"] == layers
    taken = set(runs.loc[same & ~runs["status"].isin(["failed", "cancelled"]), "seed"].astype(int))
    return [seed for seed in range(count + len(taken)) if seed not in taken][:count]


def cost_words(
    runs: pd.DataFrame, model: str | None, layers: int | None, num_runs: int, num_steps: int, batch_size: int
) -> str:
    """Say in a sentence what starting will take; a duration only where an earlier run of this model tells it."""
    noun = "run" if num_runs == 1 else "runs"
    sentence = f"{num_runs} {noun} of {num_steps:,} optimizer steps with {batch_size} examples each"
    known = runs[(runs["model"] == model) & (runs["num_examples_seen"] > 0) & (runs["status"] == "finished")]
    if layers is not None:
        known = known[known["num_layers"] == layers]
    per_example = (known["train_seconds"] / known["num_examples_seen"]).dropna()
    if per_example.empty:
        return f"{sentence}."
    seconds = float(per_example.iloc[-1]) * num_runs * num_steps * batch_size
    return f"{sentence}, about {duration_words(seconds)} of training as earlier runs of this model went."
