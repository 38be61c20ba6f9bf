"""Before a run starts: what it will cost, and every reason why it can't work, told without torch.

    asked       what somebody asked for, as configurations
    models      what the files of a model say: tokenizer, weights, labels, layers, positions
    machine     the device, and how much memory is free, as far as can be told without torch
    checks      every reason why a run can't work, from metadata alone
    folder      a warm-up's folder in the workspace: what is asked, how it is doing, what it found
    process     starting the process that warms up, once
    estimate    from what a warm-up found to steps, FLOPs, seconds and memory of a run
    plan        the answer for some runs, and its words

`python -m ftft_core.planning FOLDER` is the process that warms up; it alone imports torch, through `training`.
"""

from ftft_core.planning.checks import SuiteFacts, check_run
from ftft_core.planning.estimate import RunEstimate, TrainingRows, estimate_run
from ftft_core.planning.folder import WarmUp, WarmUpFolder, warm_up_folder
from ftft_core.planning.machine import Machine, this_machine
from ftft_core.planning.plan import Plan, amount_words, duration_words, flops_words, memory_words
from ftft_core.planning.process import start, tidy

__all__ = [
    "Machine",
    "Plan",
    "RunEstimate",
    "SuiteFacts",
    "TrainingRows",
    "WarmUp",
    "WarmUpFolder",
    "amount_words",
    "check_run",
    "duration_words",
    "estimate_run",
    "flops_words",
    "memory_words",
    "start",
    "this_machine",
    "tidy",
    "warm_up_folder",
]
