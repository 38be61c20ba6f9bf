"""Experiments: methods x seeds on a suite, running only what is missing.

    recipe        what a person writes
    recipe_text   YAML as people write it
    planning      from a recipe to runs, and what they wait for
    running       working a plan off
    costs         before it starts: what is there, what the rest takes, why it can't work
    record        what is kept of an experiment, for everyone to see
    driving       the process that works on one as long as it takes; starting, stopping, going on
    following     how far it is, and the time left
    demo          the one that comes with the project

`python -m ftft_core.experiments WORKSPACE EXPERIMENT` is the process that works on one.
"""

from ftft_core.experiments.costs import ExperimentPlan, MethodCost, preview, preview_values
from ftft_core.experiments.demo import prepare_demo
from ftft_core.experiments.driving import drive, experiments, raise_problems, resume, start_experiment, stop
from ftft_core.experiments.following import Following, follow, seconds_left
from ftft_core.experiments.planning import PlannedRun
from ftft_core.experiments.recipe import Recipe, mapping_of, read_recipe, read_values
from ftft_core.experiments.recipe_text import values_of, yaml_of
from ftft_core.experiments.record import Experiment, ExperimentFolder, RunLine, find, id_of, recipe_of, remove
from ftft_core.experiments.running import plan_experiment, run_experiment, stop_runs

__all__ = [
    "Experiment",
    "ExperimentFolder",
    "ExperimentPlan",
    "Following",
    "MethodCost",
    "PlannedRun",
    "Recipe",
    "RunLine",
    "drive",
    "experiments",
    "find",
    "follow",
    "id_of",
    "mapping_of",
    "plan_experiment",
    "prepare_demo",
    "preview",
    "preview_values",
    "raise_problems",
    "read_recipe",
    "read_values",
    "recipe_of",
    "remove",
    "resume",
    "run_experiment",
    "seconds_left",
    "start_experiment",
    "stop",
    "stop_runs",
    "values_of",
    "yaml_of",
]
