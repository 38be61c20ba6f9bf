"""Experiments: methods x seeds on a suite, running only what is missing.

`recipe` is what a person writes, `planning` expands it to runs and what they wait for, `running` works a plan off,
`demo` is the one that comes with the project.
"""

from ftft_core.experiments.demo import prepare_demo
from ftft_core.experiments.planning import PlannedRun
from ftft_core.experiments.recipe import Recipe, read_recipe
from ftft_core.experiments.running import plan_experiment, run_experiment, stop_experiment

__all__ = [
    "PlannedRun",
    "Recipe",
    "plan_experiment",
    "prepare_demo",
    "read_recipe",
    "run_experiment",
    "stop_experiment",
]
