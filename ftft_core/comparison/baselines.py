"""Which runs a method is held against, where there are several kinds of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ftft_core.comparison.runs import MethodKey, MethodRuns, reference_words

PLAIN = "erm"
"""Plain fine-tuning on all examples: its cost is 100 % where there is a run of it, whatever scores are held against."""


def cost_base(methods: Iterable[str], baseline: str) -> str:
    """Give the method among these whose cost is 100 %."""
    return PLAIN if PLAIN in set(methods) else baseline


def baseline_of(method: MethodRuns, methods: Sequence[MethodRuns], baseline: str) -> MethodRuns | None:
    """Choose the runs that a method is compared with, as `compare_runs` says."""
    key = method.key
    candidates = kinds_of(key, methods, baseline)
    if key.method == baseline:
        # Runs of the baseline on a part of the data, or with another budget, are no baseline of their own.
        return max(candidates, key=lambda other: (other.key.fraction == 1.0, len(other.runs)))
    own_match = None
    if key.reference_model is not None:
        own_match = (key.method, reference_words(key.reference_model, key.reference_layers), key.fraction)

    def likeness(other: MethodRuns) -> tuple[bool, bool, bool, bool, int, int]:
        match = tuple(other.facts.get(f"matched.{name}") for name in ("method", "reference", "fraction"))
        same_reference = (other.key.reference_model, other.key.reference_layers) == (
            key.reference_model,
            key.reference_layers,
        )
        alike = sum(1 for name, value in method.facts.items() if other.facts.get(name) == value)
        same_fraction = other.key.fraction == key.fraction
        return match == own_match, same_reference, other.key.fraction == 1.0, same_fraction, alike, len(other.runs)

    return max(candidates, key=likeness) if candidates else None


def kinds_of(key: MethodKey, methods: Sequence[MethodRuns], baseline: str) -> list[MethodRuns]:
    """Give the kinds of runs of the baseline that there are on a method's model and layers."""
    same_model = (key.model, key.num_layers)
    return [
        other
        for other in methods
        if other.key.method == baseline and (other.key.model, other.key.num_layers) == same_model
    ]
