"""What a cheaper or better selection could look like: variants of ftft, judged on the development set alone.

`python benchmarks/tuning.py WORKSPACE RECIPE [--seeds 0 1] [--variants NAME ...]` takes the suite, the models, the
budget and the settings of a recipe (of its references the one with most layers), trains plain fine-tuning, a random
subset and ftft as it stands there, and then the variants below from the same references' maps. Prints one JSON row for
each: accuracy on dev, mean and standard deviation over the seeds, and the cost with the reference's, as a share of
plain fine-tuning. What the runs do on test splits is not looked at. Goes on where it was in the same workspace, and
takes the recipe's own runs where they are. Each variant is a column of the comparison page, and keep_results.py would
keep it: take a copy of the workspace, or one of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ftft_core.comparison import RunResult
from ftft_core.config import BudgetConfig, RunConfig
from ftft_core.errors import InputError
from ftft_core.experiments import PlannedRun, Recipe, plan_experiment, prepare_demo, read_recipe, run_experiment
from ftft_core.experiments.planning import StandIn
from ftft_core.selection import Recipe as SubsetRecipe
from ftft_core.selection.conditions import TopCondition
from ftft_core.workspace import Workspace

NUM_AVERAGED = 2
"""Maps in an average."""

MakeRecipe = Callable[[Sequence[str], int], SubsetRecipe]
"""From the references' run ids, that of the same seed first, and the seed."""


@dataclass(frozen=True)
class Variant:
    """One way to choose, and for how long to train on it."""

    choose: MakeRecipe
    share_of_steps: float
    """Of plain fine-tuning's optimizer steps."""


def of(strategy: str, fraction: float = 1 / 3, *, balance: str | None = None, num_maps: int = 1) -> MakeRecipe:
    """What `strategy` takes of the reference's map, or of the average of several seeds' maps."""
    return lambda sources, _: SubsetRecipe.model_validate({
        "source_run": sources[0],
        "source_runs": sources[:num_maps] if num_maps > 1 else None,
        "strategy": strategy,
        "fraction": fraction,
        "balance": balance,
    })  # fmt: skip


def mixed(strategy: str, *, ambiguous_share: float, other_share: float, ambiguous: str = "ambiguous") -> MakeRecipe:
    """Ambiguous examples, by the strategy of that name, and some that `strategy` takes of all."""
    return lambda sources, seed: SubsetRecipe(
        source_run=sources[0],
        conditions=(
            TopCondition(strategy=ambiguous, fraction=ambiguous_share),
            TopCondition(join="or", strategy=strategy, fraction=other_share, seed=seed),
        ),
    )


def without(strategy: str, fraction: float) -> MakeRecipe:
    """Every example but those that `strategy` takes."""
    return lambda sources, _: SubsetRecipe(
        source_run=sources[0], conditions=(TopCondition(strategy=strategy, fraction=fraction, negated=True),)
    )


ADJUSTED = "top:adjusted_variability"

VARIANTS = {
    "half random": Variant(mixed("random", ambiguous_share=0.18, other_share=0.18), 1 / 3),
    "adjusted": Variant(of(ADJUSTED), 1 / 3),
    "adjusted, half random": Variant(
        mixed("random", ambiguous_share=0.18, other_share=0.18, ambiguous=ADJUSTED), 1 / 3
    ),
    "with easy ones": Variant(mixed("easy", ambiguous_share=0.28, other_share=0.05), 1 / 3),
    "balanced by class": Variant(of("ambiguous", balance="class"), 1 / 3),
    "stopped after a quarter": Variant(of("ambiguous"), 1 / 4),
    "a fifth, stopped after a fifth": Variant(of("ambiguous", 0.2), 1 / 5),
    "aleatoric": Variant(of("top:aleatoric"), 1 / 3),
    "aleatoric, two maps averaged": Variant(of("top:aleatoric", num_maps=NUM_AVERAGED), 1 / 3),
    "two maps averaged": Variant(of("ambiguous", num_maps=NUM_AVERAGED), 1 / 3),
    "half of the data": Variant(of("ambiguous", 1 / 2), 1 / 3),
    "two thirds of the data": Variant(of("ambiguous", 2 / 3), 1 / 3),
    "without the hardest tenth": Variant(without("hard", 0.1), 1 / 3),
    "without the easiest third": Variant(without("easy", 1 / 3), 1 / 3),
}
"""What is tried, beside the ambiguous third for a third of the steps."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, metavar="WORKSPACE")
    parser.add_argument("recipe", type=Path, metavar="RECIPE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="NAME")
    given = parser.parse_args()
    try:
        asked = read_recipe(given.recipe)
    except InputError as failure:
        sys.exit("\n".join([failure.message, *failure.problems]))
    averages = [name for name in given.variants if "averaged" in name]
    if not asked.reference_model:
        sys.exit("This takes a recipe with a reference_model; this one has none.")
    if averages and len(given.seeds) < NUM_AVERAGED:
        sys.exit(f"{averages[0]!r} averages the maps of {NUM_AVERAGED} seeds; --seeds gives {len(given.seeds)}.")
    workspace = Workspace(given.workspace)
    prepare_demo(workspace)
    recipe = base_recipe(asked, given.seeds)
    base = plan_experiment(workspace, recipe)
    run_experiment(workspace, base, watch=lambda _: None)
    references = [str(each.run_id) for each in base if each.method == "reference"]
    full_steps = int(workspace.run(id_of(base, "erm", given.seeds[0]))["num_optimizer_steps"])
    planned = [
        plan_variant(name, recipe, seed, [*references[place:], *references[:place]], full_steps)
        for place, seed in enumerate(given.seeds)
        for name in given.variants
    ]
    run_experiment(workspace, planned, watch=lambda _: None)
    columns = {each: [id_of(base, each, seed) for seed in given.seeds] for each in ("erm", "random", "ftft")}
    for name in given.variants:
        columns[name] = [str(each.run_id) for each in planned if each.label == name]
    compared = workspace.compare(recipe.suite).compared
    found = {each.run_id: each for each in compared.finished}
    results = {name: [found[each] for each in runs] for name, runs in columns.items()}
    plain = mean_flops(results["erm"])
    rows = [
        {"variant": name, **dev_scores(runs, compared.labels), "cost_share": mean_flops(runs) / plain}
        for name, runs in results.items()
    ]
    print(json.dumps(rows, indent=1))


def base_recipe(recipe: Recipe, seeds: Sequence[int]) -> Recipe:
    deepest = max(recipe.reference_model, key=lambda each: each.layers or 0)
    changed = {"reference_model": (deepest,), "methods": ("erm", "random", "ftft"), "seeds": tuple(seeds)}
    return recipe.model_copy(update=changed)


def id_of(planned: Sequence[PlannedRun], method: str, seed: int) -> str:
    return next(str(each.run_id) for each in planned if each.method == method and each.seed == seed)


def plan_variant(name: str, recipe: Recipe, seed: int, sources: Sequence[str], full_steps: int) -> PlannedRun:
    variant = VARIANTS[name]
    config = RunConfig(
        suite=recipe.suite,
        model=recipe.main_model.model,
        layers=recipe.main_model.layers,
        method="ftft",
        reference=sources[0],
        seed=seed,
        budget=BudgetConfig(max_steps=round(variant.share_of_steps * full_steps)),
        training=recipe.training.of("main").model_copy(update={"snapshots": None}),
    )

    def make(workspace: Workspace, done: dict[str, str], *, save: bool = True) -> RunConfig:
        found = workspace.find_or_save_subset(variant.choose(sources, seed), suite=recipe.suite)
        return config.model_copy(update={"subset": found.subset})

    return PlannedRun(f"{name}, seed {seed}", "ftft", seed, make, StandIn(config), label=name)


def dev_scores(runs: Sequence[RunResult], labels: Sequence[str]) -> dict[str, object]:
    scores = []
    for run in runs:
        dev = run.predictions["dev"]
        scores.append(float(np.mean(np.asarray(labels)[dev.logits.argmax(axis=1)] == dev.labels)))
    deviation = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
    return {"dev_accuracy": float(np.mean(scores)), "standard_deviation": deviation, "by_seed": scores}


def mean_flops(runs: Sequence[RunResult]) -> float:
    return float(np.mean([each.total_flops for each in runs if each.total_flops is not None]))


if __name__ == "__main__":
    main()
