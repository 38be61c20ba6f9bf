"""What a cheaper or better selection could look like: variants of ftft, judged on the development set alone.

    python benchmarks/tuning.py WORKSPACE RECIPE [--seeds 0 1] [--variants NAME ...] [--keep docs/results/tuning.json]
    python benchmarks/tuning.py WORKSPACE RECIPE --confirm NAME [--seeds 0 1 2 3 4]

Takes the suite, the models, the budget and the settings of a recipe (of its references the one with most layers). The
workspace must have the suite; the trainings are on a copy of it, `SUITE-dev`, that has no test split, so that nothing
which is tuned here can have looked at one. Trains plain fine-tuning, plain fine-tuning at the cost of ftft, a random
subset and ftft as it stands there, and then the variants below from the same references' maps. Prints one row for each:
accuracy on dev, mean and standard deviation over the seeds, and the cost with the reference's, as a share of plain
fine-tuning. Goes on where it was in the same workspace. --keep also puts the rows where `make results` finds them.

--confirm trains one variant on the recipe's suite itself, beside the recipe's own runs: a column of the comparison.
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
from ftft_core.experiments import PlannedRun, Recipe, plan_experiment, read_recipe, run_experiment
from ftft_core.experiments.planning import StandIn
from ftft_core.selection import Recipe as SubsetRecipe
from ftft_core.selection.conditions import TopCondition
from ftft_core.suites import DEV, TRAIN, Suite, read_suite
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


BASELINES = ("erm", "erm_matched", "random", "ftft")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, metavar="WORKSPACE")
    parser.add_argument("recipe", type=Path, metavar="RECIPE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="NAME")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="a JSON file that holds the rows of every suite")
    parser.add_argument("--confirm", choices=list(VARIANTS), metavar="NAME", help="train this one on the suite itself")
    given = parser.parse_args()
    try:
        recipe = base_recipe(read_recipe(given.recipe), given.seeds)
        names = [given.confirm] if given.confirm else given.variants
        averages = [name for name in names if "averaged" in name]
        if averages and len(given.seeds) < NUM_AVERAGED:
            raise InputError(f"{averages[0]!r} averages the maps of {NUM_AVERAGED} seeds; give as many with --seeds.")
        workspace = Workspace(given.workspace)
        if given.confirm:
            train(workspace, recipe, names)
            print(f"{given.confirm} is trained; `ftft compare --suite {recipe.suite}` shows it.")
            return
        rows = tune(workspace, recipe, names)
    except InputError as failure:
        sys.exit("\n".join([failure.message, *failure.problems]))
    print(json.dumps(rows, indent=1))
    if given.keep:
        kept = json.loads(given.keep.read_text(encoding="utf-8")) if given.keep.exists() else {}
        kept[recipe.suite] = {"seeds": given.seeds, "rows": rows}
        given.keep.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def tune(workspace: Workspace, recipe: Recipe, names: Sequence[str]) -> list[dict[str, object]]:
    """Train the baselines and the variants of those names without any test split; give a row for each."""
    copy = without_tests(workspace, recipe.suite)
    columns = train(workspace, recipe.model_copy(update={"suite": copy}), names)
    compared = workspace.compare(copy).compared
    found = {each.run_id: each for each in compared.finished}
    results = {name: [found[each] for each in runs] for name, runs in columns.items()}
    plain = mean_flops(results["erm"])
    return [
        {"variant": name, **dev_scores(runs, compared.labels), "cost_share": mean_flops(runs) / plain}
        for name, runs in results.items()
    ]


def train(workspace: Workspace, recipe: Recipe, names: Sequence[str]) -> dict[str, list[str]]:
    """Train what is missing of the baselines and the variants of those names; give the run ids of each, by seed."""
    base = plan_experiment(workspace, recipe)
    run_experiment(workspace, base, watch=lambda _: None)
    references = [str(each.run_id) for each in base if each.method == "reference"]
    full_steps = int(workspace.run(id_of(base, "erm", recipe.seeds[0]))["num_optimizer_steps"])
    planned = [
        plan_variant(name, recipe, seed, [*references[place:], *references[:place]], full_steps)
        for place, seed in enumerate(recipe.seeds)
        for name in names
    ]
    run_experiment(workspace, planned, watch=lambda _: None)
    columns = {each: [id_of(base, each, seed) for seed in recipe.seeds] for each in recipe.methods}
    return columns | {name: [str(each.run_id) for each in planned if each.label == name] for name in names}


def without_tests(workspace: Workspace, name: str) -> str:
    """Keep a copy of a suite that has training and development data alone; give its name."""
    copy = f"{name}-dev"
    fingerprint = str(workspace.suite_facts(name)["fingerprint"])
    if copy not in set(workspace.suites()["suite"]):
        whole = read_suite(workspace.folder / "suites" / fingerprint, [TRAIN, DEV])
        workspace.keep_suite(
            Suite.from_frames(
                copy,
                whole.train.examples,
                whole.dev.examples,
                text=["text", "text_pair"] if whole.is_pair else "text",
                labels=whole.labels,
                id="example_id",
            )
        )
    return copy


def base_recipe(recipe: Recipe, seeds: Sequence[int]) -> Recipe:
    """Give the recipe of the baselines, without looks at test splits on the way.

    :raises InputError: when there is no reference to take a map from.
    """
    if not recipe.reference_model:
        raise InputError("This takes a recipe with a reference_model; this one has none.")
    deepest = max(recipe.reference_model, key=lambda each: each.layers or 0)
    training = recipe.training.model_copy(update={"snapshots": None})
    changed = {"reference_model": (deepest,), "methods": BASELINES, "seeds": tuple(seeds), "training": training}
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
        training=recipe.training.of("main"),
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
