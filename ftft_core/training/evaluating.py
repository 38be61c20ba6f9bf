"""Passes over other splits than training: dev while training, looks at the test splits, and the kept model at the end.

None of them changes the run: weights, dynamics and random numbers go on as if they had not been made. What is decided
by the scores on dev is in `stopping`; by those of the test splits nothing is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ftft_core.evaluation import predict
from ftft_core.metrics import score_split
from ftft_core.modeling.lengths import evaluation_batches
from ftft_core.suites import Split, TokenisedSplit
from ftft_core.suites.sampling import SNAPSHOT_EXAMPLES, snapshot_rows
from ftft_core.training.checkpoint import Counters
from ftft_core.training.random_state import undisturbed
from ftft_core.training.reporting import Reporter
from ftft_core.training.setup import Setup, mean_step_tokens
from ftft_core.training.stopping import num_dev_passes


@dataclass(frozen=True)
class TokenisedPart:
    """A split, or some of its examples, ready to be predicted."""

    split: Split
    tokens: TokenisedSplit

    @property
    def padded_tokens(self) -> float:
        """Tokens of a pass over it, padding included."""
        return float(sum(len(rows) * length for rows, length in self._batches()))

    def flops(self, setup: Setup) -> float:
        """FLOPs of a pass over it."""
        return sum(setup.meter.forward((len(rows), length)) for rows, length in self._batches())

    def _batches(self) -> Sequence[tuple[NDArray[np.integer], int]]:
        return evaluation_batches(self.tokens.lengths, np.arange(len(self.tokens)))


@dataclass(frozen=True)
class Evaluator:
    """Predicts and scores the splits of a run, and reports what it found."""

    setup: Setup
    reporter: Reporter
    dev: TokenisedPart
    final: tuple[TokenisedPart, ...]
    """What the kept model is evaluated on: dev, and the test splits."""
    snapshot: tuple[TokenisedPart, ...]
    """What a snapshot looks at."""
    snapshot_steps: frozenset[int]

    def score_dev(self, counters: Counters) -> dict[str, float]:
        """Evaluate dev; give its scores by metric."""
        started = time.perf_counter()
        scores = self._score(self.dev, self._predict(self.dev))
        counters.evaluation_seconds += time.perf_counter() - started
        counters.evaluation_flops += self.dev.flops(self.setup)
        self.reporter.scores(counters, self.dev.split, scores, final=False)
        overall = scores[scores["group"].isna()]
        return dict(zip(overall["metric"], overall["value"], strict=True))

    def take_snapshot(self, counters: Counters) -> None:
        """Look at the test splits, if this is a step to do so."""
        if counters.step not in self.snapshot_steps:
            return
        started = time.perf_counter()
        with undisturbed():
            for part in self.snapshot:
                scores = self._score(part, self._predict(part))
                self.reporter.scores(counters, part.split, scores[scores["group"].isna()], final=False)
        counters.snapshot_seconds += time.perf_counter() - started
        counters.snapshot_flops += sum(part.flops(self.setup) for part in self.snapshot)

    def find_errors(self, counters: Counters) -> None:
        """Predict the run's own training examples, and keep which of them are wrong, with what it took to find out.

        The file is for a run of method jtt, whose cost this is; in this run's own costs it is in none of the counters.
        """
        self.reporter.progress(counters, "finding errors")
        data = self.setup.data
        part = TokenisedPart(self.setup.suite.train, data.tokens)
        started = time.perf_counter()
        with undisturbed():
            is_error = self._predict(part).argmax(axis=1) != data.labels
        seconds = time.perf_counter() - started
        self.reporter.errors(data.positions, is_error, part.flops(self.setup), seconds)

    def evaluate_kept(self, counters: Counters) -> None:
        """Predict dev and the test splits with the weights that the run keeps."""
        self.reporter.training_is_over(sum(part.padded_tokens for part in self.final))
        for part in self.final:
            self.reporter.progress(counters, f"evaluating {part.split.name}")
            logits = self._predict(part)
            self.reporter.predictions(part.split.name, logits)
            self.reporter.scores(counters, part.split, self._score(part, logits), final=True)
        self.reporter.progress(counters, "finished")

    def _predict(self, part: TokenisedPart) -> NDArray[np.float32]:
        parts = self.setup.parts
        logits = predict(parts.model, part.tokens, pad_token_id=self.setup.pad_token_id, accelerator=parts.accelerator)
        self.reporter.evaluated(part.padded_tokens)
        return logits

    def _score(self, part: TokenisedPart, logits: NDArray[np.float32]) -> pd.DataFrame:
        examples = part.split.examples
        groups = examples["group"].to_numpy() if examples["group"].notna().any() else None
        gold = examples["label"].to_numpy()
        return score_split(logits, gold, self.setup.suite.labels, label_map=part.split.label_map, groups=groups)


def make_evaluator(setup: Setup) -> Evaluator:
    """Tokenise what the run will be evaluated on; a run made only for its dynamics is scored on dev alone."""
    suite = setup.suite
    tests = [split for split in suite.splits if split.role not in {"train", "dev"}]
    dev = TokenisedPart(suite.dev, setup.tokenise(suite.dev))
    final = [] if setup.config.method == "reference" else [TokenisedPart(each, setup.tokenise(each)) for each in tests]
    snapshots = setup.training.snapshots or 0
    looked_at = [_some(split) for split in tests] if snapshots else []
    snapshot = [TokenisedPart(each, setup.tokenise(each)) for each in looked_at]
    # Not at the last step: the final evaluation follows.
    steps = {round(setup.num_steps * number / (snapshots + 1)) for number in range(1, snapshots + 1)}
    snapshot_steps = frozenset(steps & set(range(1, setup.num_steps))) if snapshot else frozenset()
    error_tokens = TokenisedPart(suite.train, setup.data.tokens).padded_tokens if setup.config.error_pass else 0.0
    reporter = Reporter(
        setup.folder,
        is_active=setup.parts.accelerator.is_main_process,
        num_steps=setup.num_steps,
        num_epochs=setup.num_epochs,
        step_tokens=mean_step_tokens(setup.order),
        evaluation_tokens=sum(part.padded_tokens for part in (dev, *final))
        + dev.padded_tokens * num_dev_passes(setup.config, setup.num_steps, setup.order.steps_per_epoch)
        + sum(part.padded_tokens for part in snapshot) * len(snapshot_steps)
        + error_tokens,
        log=setup.parts.accelerator.log,
    )
    return Evaluator(setup, reporter, dev, (dev, *final), tuple(snapshot), snapshot_steps)


def _some(split: Split) -> Split:
    """Give a split with at most `SNAPSHOT_EXAMPLES` of its examples, in its order; the same ones every time."""
    return replace(split, examples=split.examples.iloc[snapshot_rows(len(split.examples), SNAPSHOT_EXAMPLES)])
