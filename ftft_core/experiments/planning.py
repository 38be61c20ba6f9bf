"""From a recipe to the runs that it needs, and what each of them waits for.

A planned run knows how to make its configuration once the runs that it depends on have finished: a selection needs a
reference's map, and matched ERM needs the cost of FTFT. Two methods that use the same reference share it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ftft_core.config import EPOCHS_TO_SETTLE, BudgetConfig, RunConfig
from ftft_core.experiments.recipe import BUDGETED_LIKE_FTFT, FROM_REFERENCE, Recipe, ReferenceModel
from ftft_core.selection import Recipe as SubsetRecipe
from ftft_core.workspace import Workspace

MakeConfig = Callable[[Workspace, dict[str, str]], RunConfig]
"""Makes a configuration from the workspace and the run ids of what was waited for, by key."""


@dataclass
class PlannedRun:
    """One run of an experiment."""

    key: str
    """What it is, in words; unique within the experiment."""
    method: str
    seed: int
    make_config: MakeConfig
    needs: tuple[str, ...] = ()
    """Keys of the runs that must have finished first."""
    work: float = 1.0
    """About how much it costs, in optimizer steps times layers; to estimate the time left."""
    run_id: str | None = None
    status: str = "planned"
    message: str = ""


def plan(recipe: Recipe, *, num_train: int, num_layers: dict[str, int]) -> list[PlannedRun]:
    """Expand a recipe; the order is one in which the runs can be done.

    :param num_train: examples of the suite's training split.
    :param num_layers: layers of each model of the recipe, by `model_key`.
    """
    return _Planner(recipe, num_train, num_layers).runs()


def model_key(model: str, layers: int | None) -> str:
    """Name a model cut to its first layers."""
    return model if layers is None else f"{model} {layers} layers"


class _Planner:
    """Adds the runs of one method after another; what several methods need is added once."""

    def __init__(self, recipe: Recipe, num_train: int, num_layers: dict[str, int]) -> None:
        self.recipe = recipe
        self.num_train = num_train
        self.num_layers = num_layers
        self.full_steps = recipe.max_steps or self._steps(recipe.epochs or 1.0, "main")
        self.early_steps = max(1, round(recipe.early_stop * self.full_steps))
        self.planned: dict[str, PlannedRun] = {}

    def runs(self) -> list[PlannedRun]:
        for seed in self.recipe.seeds:
            for method in self.recipe.methods:
                self._add_method(method, seed)
        return list(self.planned.values())

    def _add_method(self, method: str, seed: int) -> None:
        fractions, references = self.recipe.fraction, self.recipe.reference_model
        if method == "erm":
            self._add_erm(seed)
        elif method == "reference":
            for reference in references:
                self._add_reference(reference, seed)
        elif method == "random":
            for fraction in fractions:
                self._add_random(fraction, seed)
        elif method == "cartography":
            for fraction in fractions:
                self._add_selected(method, fraction, seed, self._add_erm(seed), "")
        else:
            add = self._add_matched if method == "erm_matched" else self._add_from_reference
            for reference in references:
                for fraction in fractions:
                    add(method, reference, fraction, seed)

    def _add_erm(self, seed: int) -> str:
        budget = BudgetConfig(max_steps=self.full_steps)
        return self._add("erm", "", seed, lambda _, __: self._main("erm", seed, budget), self._work(self.full_steps))

    def _add_reference(self, reference: ReferenceModel, seed: int) -> str:
        training = self.recipe.training.of("reference")
        if reference.epochs is None and reference.max_steps is None:
            budget = BudgetConfig(max_steps=self.full_steps)
        else:
            budget = BudgetConfig(epochs=reference.epochs, max_steps=reference.max_steps)
        config = RunConfig(
            suite=self.recipe.suite,
            model=reference.model,
            layers=reference.layers,
            method="reference",
            seed=seed,
            budget=budget,
            training=training,
            # Within so few epochs it has nothing to be stopped by.
            **({} if (budget.epochs or EPOCHS_TO_SETTLE) < EPOCHS_TO_SETTLE else reference.stop_values),
        )
        steps = budget.max_steps or self._steps(budget.epochs or 1.0, "reference")
        work = steps * self.num_layers[model_key(reference.model, reference.layers)]
        return self._add("reference", self._reference_name(reference), seed, lambda _, __: config, work)

    def _add_random(self, fraction: float, seed: int) -> str:
        subset_recipe = SubsetRecipe(strategy="random", fraction=fraction, seed=seed)

        def make(workspace: Workspace, _: dict[str, str]) -> RunConfig:
            subset = workspace.find_or_save_subset(subset_recipe, suite=self.recipe.suite)
            return self._main("random", seed, BudgetConfig(max_steps=self.early_steps), subset=subset.subset)

        return self._add("random", self._share(fraction), seed, make, self._work(self.early_steps))

    def _add_from_reference(self, method: str, reference: ReferenceModel, fraction: float, seed: int) -> str:
        source = self._add_reference(reference, seed)
        return self._add_selected(method, fraction, seed, source, self._reference_name(reference))

    def _add_selected(self, method: str, fraction: float, seed: int, source: str, reference_name: str) -> str:
        """Add a run on a selection from the dynamics of another one."""
        strategy = FROM_REFERENCE.get(method, "ambiguous")
        steps = self.early_steps if method in BUDGETED_LIKE_FTFT else self.full_steps

        def make(workspace: Workspace, done: dict[str, str]) -> RunConfig:
            subset_recipe = SubsetRecipe(source_run=done[source], strategy=strategy, fraction=fraction)
            subset = workspace.find_or_save_subset(subset_recipe, suite=self.recipe.suite)
            budget = BudgetConfig(max_steps=steps)
            return self._main(method, seed, budget, subset=subset.subset, reference=done[source])

        detail = ", ".join(part for part in (reference_name, self._share(fraction)) if part)
        return self._add(method, detail, seed, make, self._work(steps), needs=(source,))

    def _add_matched(self, method: str, reference: ReferenceModel, fraction: float, seed: int) -> str:
        ftft = self._add_from_reference("ftft", reference, fraction, seed)

        def make(workspace: Workspace, done: dict[str, str]) -> RunConfig:
            # The cost is what is matched, so it does not stop before.
            return self._main(method, seed, BudgetConfig(max_flops=workspace.total_flops(done[ftft])), stop=False)

        work = sum(self.planned[key].work for key in (ftft, *self.planned[ftft].needs))
        detail = ", ".join(part for part in (self._reference_name(reference), self._share(fraction)) if part)
        return self._add(method, detail, seed, make, work, needs=(ftft,))

    def _main(
        self,
        method: str,
        seed: int,
        budget: BudgetConfig,
        *,
        subset: str | None = None,
        reference: str | None = None,
        stop: bool = True,
    ) -> RunConfig:
        return RunConfig(
            suite=self.recipe.suite,
            model=self.recipe.main_model.model,
            layers=self.recipe.main_model.layers,
            subset=subset,
            method=method,
            reference=reference,
            seed=seed,
            budget=budget,
            training=self.recipe.training.of("main"),
            **(self.recipe.main_model.stop_values if stop else {}),
        )

    def _add(
        self, method: str, detail: str, seed: int, make: MakeConfig, work: float, needs: tuple[str, ...] = ()
    ) -> str:
        key = ", ".join(part for part in (method, detail, f"seed {seed}") if part)
        self.planned.setdefault(key, PlannedRun(key, method, seed, make, needs, work))
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

    def _share(self, fraction: float) -> str:
        """Name a fraction where there are several."""
        return f"{100 * fraction:.3g} %" if len(self.recipe.fraction) > 1 else ""

    def _steps(self, epochs: float, part: str) -> int:
        num_steps = BudgetConfig(epochs=epochs).num_steps(self.num_train, self.recipe.training.of(part).batch_size)
        assert num_steps is not None
        return num_steps

    def _work(self, steps: int) -> float:
        return steps * self.num_layers[model_key(self.recipe.main_model.model, self.recipe.main_model.layers)]
