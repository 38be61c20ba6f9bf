"""The demo: the main job on the sample suite, from nothing to a table."""

from __future__ import annotations

from pathlib import Path

from ftft_core.experiments.recipe import Recipe, read_recipe
from ftft_core.suites import build_sample_suite
from ftft_core.workspace import Workspace

DEMO_RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "sample.yaml"


def prepare_demo(workspace: Workspace) -> Recipe:
    """Add the sample suite if the workspace does not have it, and give the demo's recipe.

    :raises InputError: when a package that carries the sample data is missing.
    """
    recipe = read_recipe(DEMO_RECIPE)
    if recipe.suite not in set(workspace.suites()["suite"]):
        workspace.add_suite(recipe.suite, build_sample_suite(workspace.folder / "sample"))
    return recipe
