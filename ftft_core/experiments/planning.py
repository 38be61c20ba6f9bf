"""From a recipe to the runs that it needs, and what each of them waits for.

A planned run knows how to make its configuration once the runs that it depends on have finished: a selection needs a
reference's map, and matched ERM needs the cost of FTFT. Methods that use the same reference share it. What a method is
given stands in `methods`; nothing here knows one by its name but those that others wait for: erm and ftft, and jtt, for
which a reference makes a pass more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ftft_core.config import EPOCHS_TO_SETTLE, BudgetConfig, RunConfig
from ftft_core.errors import InputError
from ftft_core.experiments.recipe import MainModel, Recipe, ReferenceModel, needed_epochs, needs_reference
from ftft_core.methods import METHODS
from ftft_core.selection import Recipe as SubsetRecipe
from ftft_core.workspace import Workspace


class MakeConfig(Protocol):
    """Makes a configuration from the workspace and the run ids of what was waited for, by key.

    With `save` false nothing is saved: None says that a subset which nobody made yet is part of it.
    """

    def __call__(self, workspace: Workspace, done: dict[str, str], *, save: bool = True) -> RunConfig | None:
        """Give the configuration."""


@dataclass(frozen=True)
class StandIn:
    """A run that takes as long as a planned one, and of which all is known beforehand."""

    config: RunConfig
    num_examples: int | None = None
    """Examples that it trains on; None for all."""
    is_matched: bool = False
    """Whether its budget is what the run that it needs cost in all; that of `config` means nothing then."""


@dataclass
class PlannedRun:
    """One run of an experiment."""

    key: str
    """What it is, in words; unique within the experiment."""
    method: str
    seed: int
    make_config: MakeConfig
    stand_in: StandIn
    label: str = ""
    """The same without the seed."""
    needs: tuple[str, ...] = ()
    """Keys of the runs that must have finished first."""
    work: float = 1.0
    """About how much it costs, in optimizer steps times layers; to estimate the time left."""
    seconds: float | None = None
    """What all of it is expected to take; None while that is not measured."""
    train_seconds: float | None = None
    """Of these, in optimizer steps."""
    run_id: str | None = None
    status: str = "planned"
    message: str = ""


def plan(
    recipe: Recipe,
    *,
    num_train: int,
    num_layers: dict[str, int],
    num_excluded: int = 0,
    is_there: Callable[[RunConfig], bool] = lambda _: False,
) -> list[PlannedRun]:
    """Expand a recipe; the order is one in which the runs can be done.

    :param num_train: examples of the suite's training split, with those excluded from training.
    :param num_excluded: how many of them those are.
    :param num_layers: layers of each model of the recipe, by `model_key`.
    :param is_there: says whether a run with exactly this configuration is there already, finished or not.
    :raises InputError: with every budget that is too short for what a method needs of it.
    """
    planner = _Planner(recipe, num_train, num_layers, num_excluded, is_there)
    planned = planner.runs()
    if problems := list(dict.fromkeys(planner.problems)):
        raise InputError("The recipe can't work.", problems) if len(problems) > 1 else InputError(problems[0])
    return planned


def remarks_on_little(planned: Sequence[PlannedRun]) -> list[str]:
    """Say which runs can hardly learn: those that train on less than one batch, or take a single optimizer step."""
    remarks = []
    for run in planned:
        config, num_chosen = run.stand_in.config, run.stand_in.num_examples
        batch_size = config.training.batch_size
        if num_chosen is not None and num_chosen < batch_size:
            noun = f"example{'s' * (num_chosen != 1)}"
            remarks.append(f"{run.label}: trains on {num_chosen} {noun}, less than one batch of {batch_size}.")
        if config.budget.max_steps == 1 and not run.stand_in.is_matched:
            remarks.append(f"{run.label}: takes one optimizer step.")
    return list(dict.fromkeys(remarks))


def model_key(model: str, layers: int | None) -> str:
    """Name a model cut to its first layers."""
    return model if layers is None else f"{model} {layers} layers"


class _Planner:
    """Adds the runs of one method after another; what several methods need is added once."""

    def __init__(
        self,
        recipe: Recipe,
        num_train: int,
        num_layers: dict[str, int],
        num_excluded: int,
        is_there: Callable[[RunConfig], bool],
    ) -> None:
        self.recipe = recipe
        self.num_train = num_train
        self.num_excluded = num_excluded
        self.num_layers = num_layers
        self.is_there = is_there
        self.full_steps = recipe.max_steps or self._steps(recipe.epochs or 1.0, "main")
        self.early_steps = max(1, round(recipe.early_stop * self.full_steps))
        self.planned: dict[str, PlannedRun] = {}
        self.problems: list[str] = []

    def runs(self) -> list[PlannedRun]:
        for seed in self.recipe.seeds:
            for method in self.recipe.methods:
                self._add_method(method, seed)
        return list(self.planned.values())

    def _add_method(self, method: str, seed: int) -> None:
        """Add the runs of a method: one for each of the references and fractions that make a difference to it."""
        kind = METHODS[method]
        is_matched = kind.budget == "matched"
        references: tuple[ReferenceModel | None, ...] = (None,)
        fractions: tuple[float | None, ...] = (None,)
        if needs_reference(method):
            references = self.recipe.reference_model
        if kind.strategy is not None or is_matched:
            fractions = self.recipe.fraction
        for reference in references:
            for fraction in fractions:
                if kind.budget == "reference":
                    assert reference is not None
                    self._add_reference(reference, seed)
                elif is_matched:
                    assert reference is not None
                    assert fraction is not None
                    self._add_matched(method, reference, fraction, seed)
                else:
                    self._add_run(method, reference, fraction, seed)

    def _add_reference(self, reference: ReferenceModel, seed: int, *, for_errors: bool = False) -> str:
        """Add a reference; where a method needs to know its errors, all methods share one that looks for them.

        One that is there already and does not look for them goes on to serve the other methods.
        """
        training = self.recipe.training.of("reference")
        if reference.epochs is None and reference.max_steps is None:
            # As long as the main model; in epochs, its steps may be of another size.
            budget = self.recipe.budget
        else:
            budget = BudgetConfig(epochs=reference.epochs, max_steps=reference.max_steps)
        steps = budget.max_steps or self._steps(budget.epochs or 1.0, "reference")
        config = RunConfig(
            suite=self.recipe.suite,
            model=reference.model,
            layers=reference.layers,
            method="reference",
            seed=seed,
            budget=budget,
            training=training,
            **self._stop_values(reference, steps, "reference"),
        )
        work = steps * self.num_layers[model_key(reference.model, reference.layers)]
        name = self._reference_name(reference)
        self._check_maps(f"reference {name}", steps, "reference")
        if "jtt" in self.recipe.methods:
            looking = config.model_copy(update={"error_pass": True})
            if not self.is_there(config):
                config = looking
            elif for_errors:
                config, name = looking, f"{name}, with its errors"

        def make(workspace: Workspace, done: dict[str, str], *, save: bool = True) -> RunConfig:
            return config

        alike = StandIn(config.model_copy(update={"seed": 0}))
        return self._add("reference", name, seed, make, alike, work)

    def _check_maps(self, name: str, steps: int, part: str) -> None:
        """Note a budget in steps that ends before the map is there that a method needs."""
        least, said = needed_epochs(self.recipe.methods, "cheaper" if part == "reference" else "own")
        epoch = self._steps(1.0, part, max(1, self.num_train - self.num_excluded))
        if steps < least * epoch:
            self.problems.append(
                f"The budget of {name} is {steps} step{'s' * (steps != 1)}, but an epoch has {epoch}: {said} "
                f"({least * epoch} steps)."
            )

    def _add_run(self, method: str, reference: ReferenceModel | None, fraction: float | None, seed: int) -> str:
        """Add a run of the main model.

        :param reference: of a method that uses one.
        :param fraction: of a method that trains on a selection.
        """
        kind = METHODS[method]
        source: str | None = None
        if reference is not None:
            source = self._add_reference(reference, seed, for_errors=method == "jtt")
        elif kind.source == "own":
            self._check_maps("erm", self.full_steps, "main")
            source = self._add_run("erm", None, None, seed)
        steps = self.early_steps if kind.budget == "early" else self.full_steps

        def make(workspace: Workspace, done: dict[str, str], *, save: bool = True) -> RunConfig | None:
            source_run = None if source is None else done[source]
            subset = None
            if kind.strategy is not None:
                assert fraction is not None
                # What draws has the seed of the run; what does not is the same for every seed.
                drawn = {"seed": seed} if source is None else {"source_run": source_run}
                subset_recipe = SubsetRecipe(strategy=kind.strategy, fraction=fraction, **drawn)
                find = workspace.find_or_save_subset if save else workspace.find_subset
                found = find(subset_recipe, suite=self.recipe.suite)
                if found is None:
                    return None
                subset = found.subset
            budget = BudgetConfig(max_steps=steps)
            return self._main(method, seed, budget, subset=subset, reference=source_run, num_examples=num_examples)

        needs = () if source is None else (source,)
        detail = self._detail(reference, fraction)
        num_examples = None if kind.strategy is None else max(1, round((fraction or 1.0) * self.num_train))
        alike = StandIn(self._main("erm", 0, BudgetConfig(max_steps=steps), num_examples=num_examples), num_examples)
        return self._add(method, detail, seed, make, alike, self._work(steps), needs=needs)

    def _add_matched(self, method: str, reference: ReferenceModel, fraction: float, seed: int) -> str:
        ftft = self._add_run("ftft", reference, fraction, seed)

        def make(workspace: Workspace, done: dict[str, str], *, save: bool = True) -> RunConfig:
            # The cost is what is matched, so it does not stop before.
            return self._main(method, seed, BudgetConfig(max_flops=workspace.total_flops(done[ftft])), stop=False)

        work = sum(self.planned[key].work for key in (ftft, *self.planned[ftft].needs))
        alike = StandIn(self._main("erm", 0, BudgetConfig(max_steps=1), stop=False), is_matched=True)
        return self._add(method, self._detail(reference, fraction), seed, make, alike, work, needs=(ftft,))

    def _main(
        self,
        method: str,
        seed: int,
        budget: BudgetConfig,
        *,
        subset: str | None = None,
        reference: str | None = None,
        stop: bool = True,
        num_examples: int | None = None,
    ) -> RunConfig:
        main = self.recipe.main_model
        return RunConfig(
            suite=self.recipe.suite,
            model=main.model,
            layers=main.layers,
            subset=subset,
            method=method,
            reference=reference,
            error_weight=self.recipe.error_weight if method == "jtt" else None,
            seed=seed,
            budget=budget,
            training=self.recipe.training.of("main"),
            **(self._stop_values(main, budget.max_steps, "main", num_examples) if stop and budget.max_steps else {}),
        )

    def _stop_values(self, model: MainModel, steps: int, part: str, num_examples: int | None = None) -> dict[str, Any]:
        """Give what may end a run before its budget; nothing where that has too few epochs for a map to settle in.

        :param num_examples: that it trains on; None for all.
        """
        values = model.stop_values
        epoch = self._steps(1.0, part, num_examples)
        return {} if values.get("stop") == "settled" and steps < EPOCHS_TO_SETTLE * epoch else values

    def _add(
        self,
        method: str,
        detail: str,
        seed: int,
        make: MakeConfig,
        alike: StandIn,
        work: float,
        needs: tuple[str, ...] = (),
    ) -> str:
        label = ", ".join(part for part in (method, detail) if part)
        key = f"{label}, seed {seed}"
        self.planned.setdefault(key, PlannedRun(key, method, seed, make, alike, label, needs, work))
        return key

    def _reference_name(self, reference: ReferenceModel) -> str:
        """Name a reference by its model, and by its budget too where another one has the same model."""
        name = model_key(reference.model, reference.layers)
        alike = [each for each in self.recipe.reference_model if model_key(each.model, each.layers) == name]
        if len(alike) == 1:
            return name
        budget = "full budget"
        if reference.max_steps is not None:
            budget = f"{reference.max_steps} steps"
        elif reference.epochs is not None:
            budget = f"{reference.epochs:g} epochs"
        stop = f", until {reference.stop}" if reference.stop else ""
        rivals = [each.stop_values for each in alike if each.stop == reference.stop]
        keys = dict.fromkeys(key for values in rivals for key in values)
        differing = [key for key in keys if len({values.get(key) for values in rivals}) > 1]
        return ", ".join([f"{name}, {budget}{stop}", *(f"{key} {reference.stop_values.get(key)}" for key in differing)])

    def _detail(self, reference: ReferenceModel | None, fraction: float | None) -> str:
        """Tell a run from others of its method: its reference, and a fraction where there are several."""
        name = "" if reference is None else self._reference_name(reference)
        share = "" if fraction is None else self._share(fraction)
        return ", ".join(part for part in (name, share) if part)

    def _share(self, fraction: float) -> str:
        fractions = self.recipe.fraction
        if len(fractions) == 1:
            return ""
        # As many digits as tell them apart.
        digits = next(
            each for each in range(3, 18) if len({f"{share:.{each}g}" for share in fractions}) == len(fractions)
        )
        return f"{100 * fraction:.{digits}g} %"

    def _steps(self, epochs: float, part: str, num_examples: int | None = None) -> int:
        batch_size = self.recipe.training.of(part).batch_size
        num_steps = BudgetConfig(epochs=epochs).num_steps(num_examples or self.num_train, batch_size)
        assert num_steps is not None
        return num_steps

    def _work(self, steps: int) -> float:
        return steps * self.num_layers[model_key(self.recipe.main_model.model, self.recipe.main_model.layers)]
