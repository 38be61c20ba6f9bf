"""Every reason why a run can't work, from metadata alone: nothing is loaded, and all reasons are told at once.

Only what is certain is refused; what needs the model itself (whether its weights fit its config, how many tokens a
text takes) is told by the warm-up. Names of suites, subsets and references are the workspace's to resolve.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ftft_core.config import EPOCHS_TO_SETTLE, RunConfig, missing_trackers
from ftft_core.modeling.lengths import PAD_MULTIPLE
from ftft_core.planning.machine import Machine, free_disk_mib, free_memory_mib
from ftft_core.planning.models import ModelFiles, read_model_files
from ftft_core.planning.plan import memory_words
from ftft_core.run_folder import free_space_words

BYTES_PER_PARAMETER = 16
"""Weights, gradients and the two moments of AdamW, in 32 bits each: what training takes before any example."""

CHECKPOINT_BYTES_PER_PARAMETER = 12
"""Weights and the two moments of AdamW."""


@dataclass(frozen=True)
class SuiteFacts:
    """What checks need to know of a suite and of the part of it that a run trains on."""

    labels: tuple[str, ...]
    """In the order of the logits."""
    num_examples: int | None
    """Examples that the run trains on; None when its subset is not known."""
    longest_words: Callable[[], dict[str, int]]
    """Gives the words of the longest text by split; asked only when it matters, since it reads every text."""


def check_run(config: RunConfig, suite: SuiteFacts | None, machine: Machine, runs: Path) -> list[str]:
    """Give every reason why a run can't work; none if there is none that can be told without loading the model.

    :param suite: None when it is not known, which is a reason of its own, told elsewhere.
    :param runs: the folder that the run's files will be written in.
    """
    model = read_model_files(config.model)
    problems = [*model.problems, *_layer_problems(config, model)]
    if suite is not None:
        problems += _label_problems(config, model, suite)
        problems += _length_problems(config, model, suite)
        problems += _budget_problems(config, suite)
    problems += _precision_problems(config, machine)
    problems += missing_trackers(config.training.trackers)
    num_parameters = model.num_parameters(config.layers)
    if num_parameters is not None:
        problems += _memory_problems(config, num_parameters, machine)
        num_logits = 0 if suite is None else (suite.num_examples or 0) * len(suite.labels)
        problems += _disk_problems(config, num_parameters, num_logits, runs)
    return problems


def memory_problem(config: RunConfig, needed_mib: float, free_mib: float, most_examples: int | None) -> str:
    """Say that a run needs more memory than is free, and the largest batch that would fit.

    :param most_examples: 0 when not even one example would; None when that is not known.
    """
    if most_examples == 0:
        remedy = "not even batches of one example would fit: give fewer layers, a lower max_length or a smaller model"
    elif most_examples is None:
        remedy = "lower batch_size or max_length"
    else:
        remedy = f"lower batch_size to {most_examples} or less, or lower max_length"
    return (
        f"memory: a run of model '{config.model}' with batch_size {config.training.batch_size} takes about "
        f"{memory_words(needed_mib)}, but {memory_words(free_mib)} are free; {remedy}."
    )


def _layer_problems(config: RunConfig, model: ModelFiles) -> list[str]:
    if config.layers is None or model.num_layers is None or config.layers <= model.num_layers:
        return []
    return [
        f"layers: received {config.layers}, but model '{config.model}' has {model.num_layers}; allowed is 1 to "
        f"{model.num_layers}."
    ]


def _label_problems(config: RunConfig, model: ModelFiles, suite: SuiteFacts) -> list[str]:
    """Refuse a head that would be kept and mean other labels; one of another size is replaced by a new one."""
    own = model.head_labels
    if own is None or len(own) != len(suite.labels) or _folded(own) == _folded(suite.labels):
        return []
    said = f"Model '{config.model}' has a head for the labels {', '.join(own)}, in this order; "
    if sorted(_folded(own)) == sorted(_folded(suite.labels)):
        return [
            f"{said}the suite's order is {', '.join(suite.labels)}. Give the suite's spec `labels: [{', '.join(own)}]`."
        ]
    return [
        f"{said}the suite's labels are {', '.join(suite.labels)}. Choose the model that this head was trained from, or "
        "take `id2label` and `architectures` out of its config.json to train its head further under these labels."
    ]


def _folded(labels: tuple[str, ...]) -> list[str]:
    return [label.casefold() for label in labels]


def _length_problems(config: RunConfig, model: ModelFiles, suite: SuiteFacts) -> list[str]:
    """Refuse a max_length over the model's positions if a text is sure to need it: a word takes a token or more."""
    longest, asked = model.longest_input, config.training.max_length
    if longest is None or asked <= longest:
        return []
    read = ("train", "dev")
    words = {
        split: count
        for split, count in suite.longest_words().items()
        if count > longest and (split in read or config.method != "reference")
    }
    if not words:
        return []
    split = max(words, key=lambda name: words[name])
    return [
        f"max_length: received {asked}, but model '{config.model}' takes at most {longest} tokens, and a text of split "
        f"'{split}' has {words[split]:,} words; lower max_length to {longest // PAD_MULTIPLE * PAD_MULTIPLE}."
    ]


def _budget_problems(config: RunConfig, suite: SuiteFacts) -> list[str]:
    """Refuse a budget that ends before what is to stop it can be looked at."""
    num_steps = config.budget.max_steps
    if config.stop != "settled" or num_steps is None or suite.num_examples is None:
        return []
    steps_per_epoch = math.ceil(suite.num_examples / config.training.batch_size)
    if num_steps >= EPOCHS_TO_SETTLE * steps_per_epoch:
        return []
    return [
        f"budget: received max_steps {num_steps:,}, but stop settled compares selections from epoch {EPOCHS_TO_SETTLE} "
        f"on, which ends with step {EPOCHS_TO_SETTLE * steps_per_epoch:,}; give at least that, or leave stop out."
    ]


def _precision_problems(config: RunConfig, machine: Machine) -> list[str]:
    if config.training.precision != "fp16" or machine.device == "cuda":
        return []
    return [f"precision: fp16 needs CUDA, but this machine's device is {machine.device}; use bf16 or fp32."]


def _memory_problems(config: RunConfig, num_parameters: int, machine: Machine) -> list[str]:
    """Refuse what does not fit whatever the batch; the rest is measured."""
    needed, free = num_parameters * BYTES_PER_PARAMETER / 2**20, free_memory_mib()
    if machine.device != "cpu" or needed <= free:
        return []
    return [memory_problem(config, needed, free, 0)]


def _disk_problems(config: RunConfig, num_parameters: int, num_logits: int, runs: Path) -> list[str]:
    """Refuse a run whose checkpoints do not fit: a new one is whole before the old one goes, and the model is kept."""
    checkpoints = 2 * num_parameters * CHECKPOINT_BYTES_PER_PARAMETER
    weights = (2 if config.stop == "patience" else 1) * num_parameters * 4
    needed = (checkpoints + weights + 8 * num_logits) / 2**20
    if needed <= free_disk_mib(runs):
        return []
    return [
        f"disk: the checkpoints and the model of a run take up to {memory_words(needed)}, but "
        f"{free_space_words(runs)}; free some space there, or choose another workspace."
    ]
