"""Whether a run ends before its budget: what is looked at, what is remembered of it, and what is said in the end.

`patience` looks at dev every so many steps and keeps the best weights; `settled` compares selections at the end of
each epoch. Neither looks at anything else. What is remembered is part of every checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ftft_core.config import EPOCHS_TO_SETTLE, StopConfig

_EVALUATIONS = 10
"""Evaluations of dev over the budget, those at the ends of epochs aside, when a run does not say how many."""

_ROUNDING = 1e-9
"""What two scores may differ by and count as equal: 0.85 - 0.80 is not quite 0.05."""


@dataclass
class StopState:
    """What stopping early remembers."""

    has_stopped: bool = False
    """The run ends here; its budget may have ended here too."""
    evaluated_step: int | None = None
    """Step at which dev was evaluated last."""
    best_step: int | None = None
    """Step of the weights that are kept: the first one with the best score."""
    best_score: float | None = None
    """Their score."""
    score_to_beat: float | None = None
    """Score of the last evaluation that counted as an improvement."""
    num_without_improvement: int = 0
    """Evaluations since then."""
    overlaps: list[float] = field(default_factory=list)
    """Overlap of each counted epoch's selection with that of the epoch before, from the third epoch on."""


def evaluation_interval(config: StopConfig, num_steps: int) -> int | None:
    """Give the steps between evaluations of dev within an epoch; None for a run that makes none."""
    if config.stop != "patience":
        return None
    return config.evaluate_every or max(1, round(num_steps / _EVALUATIONS))


def num_dev_passes(config: StopConfig, num_steps: int, steps_per_epoch: int) -> int:
    """Give the evaluations of dev while training, the last one of the kept model aside, if the run uses its budget."""
    ends = set(range(steps_per_epoch, num_steps, steps_per_epoch))
    interval = evaluation_interval(config, num_steps)
    if interval is not None:
        ends |= {*range(interval, num_steps, interval), num_steps}
    return len(ends)


def note_score(state: StopState, config: StopConfig, step: int, score: float) -> bool:
    """Take in a score on dev, and decide whether the run ends; give whether these are the best weights so far.

    A gain below `min_improvement` keeps the weights but not the patience, unless several add up to it.

    :param score: higher is better.
    """
    assert config.patience is not None
    assert config.min_improvement is not None
    is_best = state.best_score is None or score > state.best_score
    if is_best:
        state.best_step, state.best_score = step, score
    gain = None if state.score_to_beat is None else score - state.score_to_beat
    if gain is None or (gain > _ROUNDING and gain >= config.min_improvement - _ROUNDING):
        state.score_to_beat, state.num_without_improvement = score, 0
    else:
        state.num_without_improvement += 1
    state.evaluated_step = step
    state.has_stopped = state.num_without_improvement >= config.patience
    return is_best


def note_overlap(state: StopState, config: StopConfig, overlap: float) -> None:
    """Take in the overlap of an epoch's selection with that of the epoch before, and decide whether the run ends."""
    assert config.settled_overlap is not None
    state.overlaps.append(overlap)
    state.has_stopped = overlap >= config.settled_overlap


def in_words(state: StopState, config: StopConfig, *, step: int, num_steps: int) -> str:
    """Say where and why a finished run ended, and what that saved; nothing of a run that was to use its budget.

    :param step: the step that it ended with; :param num_steps: its budget.
    """
    saved = f"{num_steps - step:,} of {num_steps:,} steps saved"
    if config.stop == "patience":
        assert state.best_step is not None
        assert state.best_score is not None
        kept = f"kept step {state.best_step:,} (dev {config.stop_metric} {100 * state.best_score:.1f} %)"
        if step < num_steps:
            tries = f"{config.patience} evaluation{'s' * (config.patience != 1)} of dev without improvement"
            return f"stopped at step {step:,} of {num_steps:,} after {tries}; {kept}"
        return f"used its {num_steps:,} steps; {kept}"
    if config.stop == "settled":
        if not state.overlaps:
            return (
                f"the map could not settle: selections are compared from epoch {EPOCHS_TO_SETTLE} on, and the budget "
                "ended before"
            )
        epoch, wanted = EPOCHS_TO_SETTLE + len(state.overlaps) - 1, config.settled_overlap
        if state.has_stopped:
            return f"map settled after epoch {epoch} (overlap {state.overlaps[-1]:.2f} >= {wanted:.2f}); {saved}"
        return f"the map did not settle (overlap {state.overlaps[-1]:.2f} < {wanted:.2f} after epoch {epoch})"
    return ""
