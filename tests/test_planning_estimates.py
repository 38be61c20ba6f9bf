"""What a warm-up's numbers come to: steps, FLOPs, seconds, memory, and their words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ftft_core.config import RunConfig
from ftft_core.planning import (
    TrainingRows,
    WarmUp,
    amount_words,
    duration_words,
    estimate_run,
    flops_words,
    memory_words,
)
from ftft_core.planning.estimate import count_steps, most_examples
from ftft_core.planning.folder import MOST_EXAMPLES


def by_hand(**numbers: Any) -> WarmUp:
    """A warm-up with round numbers: an example of 8 tokens takes 100 FLOPs, of 16 tokens 300; forward a tenth."""
    steps = [[2, 8, 1.2, 1.0], [2, 16, 1.6, 1.4], [1, 8, 1.1, 0.9]]
    values: dict[str, Any] = {
        "fits": True,
        "flops": {"lengths": [8, 16], "training": [[100, 200], [300, 600]], "forward": [[10, 20], [30, 60]]},
        "steps": steps,
        "splits": {
            "dev": {"num_examples": 4, "role": "dev", "problem": None},
            "test": {"num_examples": 20, "role": "in_distribution", "problem": None},
        },
        "tokenise_seconds_per_example": 0.5,
        "count_seconds_per_shape": 0.25,
        "startup_seconds": 10.0,
        "startup_processor_seconds": 8.0,
        "evaluation": [[8, 0.001, 0.0005], [16, 0.003, 0.001]],
        "checkpoint_seconds": 3.0,
        "peak_memory_mib": 1000.0,
        "fixed_memory_mib": 200.0,
        "memory_mib_per_example": 100.0,
    }
    lengths = {"train": np.array([5, 8, 9, 16]), "dev": np.array([4, 4, 4, 4]), "test": np.array([16, 16])}
    return WarmUp({**values, **numbers}, lengths)


def test_an_estimate_by_hand() -> None:
    asked = RunConfig.model_validate(
        {"suite": "s", "model": "m", "budget": {"epochs": 2}, "training": {"batch_size": 2}}
    )
    found = estimate_run(asked, TrainingRows(4), by_hand())
    # Each epoch has a batch of two short and one of two long examples: 200 + 600 FLOPs.
    assert (found.num_steps, found.train_flops) == (4, 1600)
    # A step takes a second, and 1 ms for each FLOP; 0.8 s of the processor.
    assert found.train_seconds == pytest.approx(4 + 1.6)
    # dev, 40 FLOPs a pass, after the first epoch and at the end; test: 20 examples of 30, of which two were looked at.
    assert found.parts["evaluating"] == pytest.approx(2 * 40 * 0.001 + 20 * 30 * 0.003)
    # 4 + 4 + 20 examples are tokenised, the FLOPs of two shapes counted.
    assert found.parts["starting"] == pytest.approx(10 + 28 * 0.5 + 2 * 0.25)
    # Two checkpoints, and the model alone.
    assert found.parts["writing"] == pytest.approx(3 * (2 + 1 / 3))
    assert found.processor_seconds == pytest.approx(8 + 14.5 + 4 * 0.8 + 1.6 + 7 + 0.04 + 0.6)
    assert found.peak_memory_mib == 1000

    reference = estimate_run(asked.model_copy(update={"method": "reference"}), TrainingRows(4), by_hand())
    assert reference.parts["evaluating"] == pytest.approx(2 * 40 * 0.001)
    # On the two long examples alone.
    subset = estimate_run(asked, TrainingRows(2, np.array([2, 3])), by_hand())
    assert (subset.num_steps, subset.train_flops) == (2, 1200)


def test_one_shape_tells_no_fixed_time() -> None:
    asked = RunConfig.model_validate({"suite": "s", "model": "m", "training": {"batch_size": 2}})
    found = estimate_run(asked, TrainingRows(4), by_hand(steps=[[2, 8, 1.0, 1.0], [2, 8, 9.0, 1.0], [2, 8, 2.0, 1.0]]))
    assert found.train_seconds == pytest.approx(2.0 / 200 * found.train_flops)


def test_a_large_suite_is_told_from_a_sample_of_it() -> None:
    asked = RunConfig.model_validate({"suite": "s", "model": "m", "budget": {"epochs": 3}})
    random = np.random.default_rng(0)
    lengths = random.integers(4, 17, 500_000)
    looked_at = np.sort(random.permutation(500_000)[:MOST_EXAMPLES])
    whole = by_hand()
    whole.lengths["train"] = lengths
    sample = WarmUp(whole.numbers, {**whole.lengths, "train": lengths[looked_at]}, looked_at)
    subset = np.flatnonzero(lengths > 8)
    for rows in (TrainingRows(500_000), TrainingRows(len(subset), subset)):
        told, known = (estimate_run(asked, rows, warm_up) for warm_up in (sample, whole))
        assert told.num_steps == known.num_steps == 3 * -(-rows.num_examples // 32)
        assert told.train_flops == pytest.approx(known.train_flops, rel=0.01)
    by_flops = RunConfig.model_validate({"suite": "s", "model": "m", "budget": {"max_flops": told.train_flops}})
    assert count_steps(by_flops, rows, sample) == pytest.approx(told.num_steps, rel=0.01)


def test_the_batch_that_fits_by_hand() -> None:
    assert most_examples(by_hand(), 990.0) == 7  # 200 + 7 * 100
    assert most_examples(by_hand(device="cpu"), 990.0) == 6  # 1.2 * (200 + 6 * 100)
    assert most_examples(by_hand(), 150.0) == 0
    assert most_examples(by_hand(memory_mib_per_example=None), 1000.0) is None


def test_amounts_are_worded_for_people() -> None:
    assert [amount_words(number) for number in (0.034, 1.0, 4.12, 9.96, 37.4)] == ["0.034", "1", "4.1", "10", "37"]
    assert [flops_words(flops) for flops in (5, 4.1e12, 999.96e12, 3e30)] == [
        *("5 FLOP", "4.1 TFLOP", "1 PFLOP", "3,000,000,000 ZFLOP")
    ]
    assert [memory_words(mib) for mib in (512, 1740, 1024 * 1024)] == ["512 MiB", "1.7 GiB", "1 TiB"]
    assert [duration_words(seconds) for seconds in (1, 40, 89.6, 720, 5400, 7200, 200_000)] == [
        *("1 second", "40 seconds", "90 seconds", "12 minutes", "1.5 hours", "2 hours", "2.3 days")
    ]
