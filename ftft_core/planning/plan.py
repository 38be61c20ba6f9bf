"""What some runs will cost, or why they can't work, and the words for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ftft_core.planning.estimate import RunEstimate


@dataclass(frozen=True)
class Plan:
    """What was found out about some runs; what needs a warm-up that was not made yet is None."""

    problems: tuple[str, ...]
    """Every reason why they can't work, one sentence each; empty when none is known."""
    remarks: tuple[str, ...]
    """What one should know though it stops nothing, one sentence each."""
    num_runs: int
    num_steps: int | None
    """Optimizer steps of all runs, if none stops early; None for a budget in FLOPs that was not measured yet."""
    is_measured: bool
    """Whether the warm-ups that the runs need were made."""
    train_flops: float | None
    """FLOPs of training all runs, if none stops early."""
    seconds: float | None
    """Expected seconds of all runs one after the other, start, evaluation and checkpoints included."""
    peak_memory_bytes: int | None
    """Memory of the run that takes most: the device's where it has its own, else the process's."""
    erm_share: float | None
    """FLOPs of the runs, references and passes over dev that decide their ends included, over those of as many plain
    fine-tunings of the same model on everything with the full budget."""
    erm_words: str
    """What the full budget was taken to be."""
    can_stop_early: bool
    """Whether a run may end before its budget: the numbers are then the most it can take."""
    measuring_failed: str | None
    """Why the warm-up came to no result; None when it did, or was not made."""
    runs: tuple[RunEstimate | None, ...]
    """One for each run, in the order given; None for what was not measured."""

    @property
    def words(self) -> str:
        """Say it in a sentence, such as "3 runs, 4.1 TFLOP, about 12 minutes, 37 % of plain fine-tuning"."""
        said = [f"{self.num_runs} run{'s' * (self.num_runs != 1)}"]
        if self.train_flops is None or self.seconds is None:
            if self.num_steps is not None:
                said.append(f"{self.num_steps:,} steps")
            said.append("not measured yet" if self.measuring_failed is None else "could not be measured")
        else:
            said += [flops_words(self.train_flops), f"about {duration_words(self.seconds)}"]
            if self.erm_share is not None:
                said.append(f"{amount_words(100 * self.erm_share)} % of plain fine-tuning")
            if self.can_stop_early:
                said.append("less if it stops early" if self.num_runs == 1 else "less if they stop early")
        return ", ".join(said)


def flops_words(flops: float) -> str:
    """Word a number of FLOPs, such as "4.1 TFLOP"."""
    return _in_units(flops, ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP", "ZFLOP"), 1000)


def memory_words(mib: float) -> str:
    """Word an amount of memory, given in MiB, such as "1.7 GiB"."""
    return _in_units(mib, ("MiB", "GiB", "TiB", "PiB"), 1024)


def duration_words(seconds: float) -> str:
    """Word a duration, such as "12 minutes"."""
    for unit, length, most in (("second", 1, 90), ("minute", 60, 90), ("hour", 3600, 48)):
        if seconds / length < most:
            number = amount_words(seconds / length)
            return f"{number} {unit}{'s' * (number != '1')}"
    return f"{amount_words(seconds / 86400)} days"


def amount_words(number: float) -> str:
    """Word a number for people: two digits, whole from 10 on."""
    return f"{number:,.0f}" if number >= 9.95 else f"{number:.2g}"


def _in_units(number: float, units: Sequence[str], step: int) -> str:
    for unit in units[:-1]:
        if number < 0.9995 * step:
            return f"{amount_words(number)} {unit}"
        number /= step
    return f"{amount_words(number)} {units[-1]}"
