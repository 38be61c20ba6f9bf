"""What narrows the numbers of a comparison, in sentences: baselines, seeds, labels, and methods that learnt nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ftft_core.cartography import has_learnt
from ftft_core.comparison.baselines import kinds_of
from ftft_core.comparison.runs import ComparedSplit, MethodRuns, differing_facts
from ftft_core.comparison.scoring import Scores, several

SETTINGS = ("suite_fingerprint", "precision")
"""Facts beside those of the training that no method decides. A budget is not one: methods have budgets of their own."""


Names = Mapping[str, str]
"""Id of a method's version -> what it is called beside the others, see `columns.make_columns`."""


def notes_on_baselines(
    methods: Sequence[MethodRuns], baselines: Sequence[MethodRuns | None], baseline: str, lost: str, names: Names
) -> list[str]:
    """Say who has no baseline of its own, what is lost by that, and which of several it was for whom."""
    notes = []
    has_any = any(method.key.method == baseline for method in methods)
    users_of: dict[str, list[MethodRuns]] = {}
    for method, chosen in zip(methods, baselines, strict=True):
        if chosen is None and has_any:
            name = names[method.id]
            notes.append(f"{name} has no '{baseline}' run on its own model and layers: its {lost} are left empty.")
        if chosen is not None and (apart := differing_facts([method, chosen], _settings_of(method, chosen))):
            notes.append(
                f"{names[method.id]} and its baseline differ in more than the method: {', '.join(apart)}. Their "
                "difference is of both together."
            )
        if chosen is not None and chosen is not method and len(kinds_of(method.key, methods, baseline)) > 1:
            users_of.setdefault(chosen.id, []).append(method)
    for chosen in methods:
        if users := users_of.get(chosen.id):
            kinds = len(kinds_of(chosen.key, methods, baseline))
            called = ", ".join(dict.fromkeys(user.key.method for user in users))
            notes.append(
                f"{called} could be compared with {kinds} kinds of '{baseline}' runs; the differences are to "
                f"{names[chosen.id]}, {several('run', chosen.runs)}."
            )
    return notes


def _settings_of(method: MethodRuns, baseline: MethodRuns) -> list[str]:
    """Name the facts that no method decides, and that a fair comparison therefore shares: data, precision, training."""
    both = [name for name in method.facts if name in baseline.facts]
    return [name for name in both if name in SETTINGS or name.startswith("training.")]


def notes_on_seeds(methods: Sequence[MethodRuns], baselines: Sequence[MethodRuns | None], names: Names) -> list[str]:
    """Say who has one seed only, and whose seeds are not those of its baseline."""
    notes = []
    single = [names[method.id] for method in methods if len(method.runs) == 1]
    if single:
        notes.append(
            f"One seed only: {'; '.join(single)}. Intervals of their differences leave out that seed's noise: they "
            "don't say how much another one would change. Nothing is marked there."
        )
    unpaired: dict[tuple[str, str], list[str]] = {}
    for method, baseline in zip(methods, baselines, strict=True):
        if baseline is not None and (own := _seeds(method)) != (other := _seeds(baseline)):
            unpaired.setdefault((own, other), []).append(names[method.id])
    for (own, other), called in unpaired.items():
        has = "has" if len(called) == 1 else "have"
        notes.append(
            f"{'; '.join(called)} {has} seeds {own}, where the baseline has {other}: such differences are of the means "
            "over all seeds of either side, unpaired, which makes their intervals wider."
        )
    return notes


def unlearnt_methods(
    methods: Sequence[MethodRuns], splits: Sequence[ComparedSplit], scores: Scores, names: Names
) -> tuple[dict[str, str], dict[str, str]]:
    """Say of which methods scores mean nothing, since they have not learnt the task: one label may be right often
    enough on a test split to look robust.

    :return: column -> one sentence, of methods that have not learnt it with most of their seeds; and of others that
        have not learnt it with some seeds, which their means hold.
    """
    with_most_seeds: dict[str, str] = {}
    with_some_seeds: dict[str, str] = {}
    for split in (each for each in splits if each.role == "dev"):
        for method in methods:
            of_seed = {
                run.seed: scores[run.run_id, split.name, "accuracy"][0]
                for run in method.runs
                if (run.run_id, split.name, "accuracy") in scores
            }
            if not of_seed:
                continue
            gold = next(run.predictions[split.name].labels for run in method.runs if split.name in run.predictions)
            shares = pd.Series(gold, dtype=object).value_counts(normalize=True)
            most_frequent, guessing = str(shares.index[0]), float(shares.iloc[0])
            weak = {seed for seed, accuracy in of_seed.items() if not has_learnt(accuracy, guessing)}
            if not weak:
                continue
            said = f"{names[method.id]} has not learnt the task"
            if len(weak) == len(of_seed):
                said += (
                    f": its accuracy on {split.name} is {100 * np.mean([*of_seed.values()]):.1f} %, where always "
                    f"answering '{most_frequent}' gives {100 * guessing:.1f} %. Its other scores say nothing of "
                    "robustness."
                )
            else:
                said += (
                    f" with {len(weak)} of its {len(of_seed)} seeds ({_numbers(weak)}), whose accuracy on {split.name} "
                    f"is hardly that of always answering '{most_frequent}' ({100 * guessing:.1f} %). Its means include "
                    "them."
                )
            (with_most_seeds if 2 * len(weak) > len(of_seed) else with_some_seeds)[method.id] = said
    return with_most_seeds, with_some_seeds


def notes_on_learning(unlearnt: Mapping[str, str], partly: Mapping[str, str], names: Names) -> list[str]:
    """Say which methods have not learnt the task; of more than two that have not at all, in one sentence."""
    if len(unlearnt) <= 2:
        return [*unlearnt.values(), *partly.values()]
    called = "; ".join(names[column] for column in unlearnt)
    return [
        f"{called} have not learnt the task with most of their seeds: on dev they are hardly better than always giving "
        "one answer. Their other scores say nothing of robustness.",
        *partly.values(),
    ]


def notes_on_labels(methods: Sequence[MethodRuns], splits: Sequence[ComparedSplit]) -> list[str]:
    """Say which splits hold one label only."""
    notes = []
    for split in splits:
        predicted = next(
            (run.predictions[split.name] for method in methods for run in method.runs if split.name in run.predictions),
            None,
        )
        held = set() if predicted is None else set(map(str, predicted.labels))
        if len(held) == 1:
            notes.append(
                f"Split '{split.name}' holds one label only ('{held.pop()}'): its accuracy is the share of examples "
                "called so, and a model that always says so would have 100 %. Read it beside a split with other labels."
            )
    return notes


def _seeds(method: MethodRuns) -> str:
    return _numbers({run.seed for run in method.runs})


def _numbers(values: set[int]) -> str:
    return ", ".join(str(value) for value in sorted(values))
