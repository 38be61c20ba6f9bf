"""An estimate of transfer before a main run is paid for, from a short probe of the main model.

A probe is the main model trained for a few per cent of its budget: one epoch, a part of one, or one of a small random
part of the data; of a longer one the first epoch is looked at. That is too short for variability, so a probe is asked
what a single look at each example can tell: how near to the decision it stood (`threshold_closeness`). How well that
foretells a map of the whole budget is learnt from the reference, whose first epoch and whole map are both known: where
the main model's probe agrees with the reference's map as well as the reference's own first epoch does, the estimate is
that the reference transfers. How often this was right is counted on benchmark suites (`count_probes`); it is an
estimate, not a measurement.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from ftft_core.comparison.alignment import align_maps
from ftft_core.comparison.transfer import (
    centred_ranks,
    chosen_shares,
    correlation_of_ranks,
    jaccard,
    jaccard_by_chance,
)
from ftft_core.dynamics import TrainingDynamics
from ftft_core.errors import InputError
from ftft_core.metrics import log_softmax

PROBED_BY = "threshold_closeness"
"""What a probe's own set is chosen by; of a single epoch it is p (1 - p), highest where the model can't decide."""

ESTIMATE_COLUMNS = (
    *("reference", "cost", "num_examples", "overlap", "chance", "expected", "correlation"),
    *("confidence_correlation", "same_run", "good_enough"),
)

MIN_EXAMPLES = 30
"""Fewer examples in common say nothing."""


@dataclass(frozen=True)
class Estimate:
    """What a probe says of references."""

    chosen: str | None
    """The cheapest reference that it expects to be good enough, or None."""

    references: pd.DataFrame
    """One row per reference (`ESTIMATE_COLUMNS`), in the order of cost.

    `overlap` is the Jaccard overlap of the reference's ambiguous set with the examples that the probe decides on least
    surely, among those that the probe saw; `expected` the same with the reference's own first epoch in the probe's
    place, of another seed where there is one (else `same_run`, which flatters it); where even that is no more than
    chance a first epoch tells nothing of the map, and `good_enough` is null. `correlation` is Spearman's, of the
    reference's score with the probe's threshold closeness, `confidence_correlation` of their confidences.
    """

    sentences: tuple[str, ...]


@dataclass(frozen=True)
class ProbeCase:
    """One reference on one benchmark suite: what a probe said and what came of it."""

    suite: str
    main: str
    reference: str
    estimated_overlap: float
    actual_overlap: float
    estimated_good: bool | None
    """None where the probe could not tell."""
    actual_good: bool


@dataclass(frozen=True)
class ProbeCounts:
    """How often estimates were right."""

    right: int
    total: int
    """References that were called good enough, or not."""
    pairs_right: int
    pairs_total: int
    """Pairs of references on one suite, of which the one nearer to the probe was nearer to the main model."""
    suites: tuple[str, ...]
    undecided: int = 0
    """References of which the probe could not tell; they are not in `total`."""
    good: int = 0
    """Of `total`, those that were good enough: without any, always to say no is always right."""

    @property
    def words(self) -> str:
        """One sentence with the counts, as counts: they are few."""
        if not self.total and not self.undecided:
            return NOT_MEASURED
        pairs = (
            f" Of two references, the one nearer to the probe was nearer to the main model in {self.pairs_right} of "
            f"{self.pairs_total} pairs."
            if self.pairs_total
            else ""
        )
        return (
            f"On this project's benchmark suites ({', '.join(self.suites)}) such estimates were right for {self.right} "
            f"of {self.total} references{self._what_that_means()}.{pairs}"
        )

    def _what_that_means(self) -> str:
        said = f"; of {self.undecided} more they could not tell" if self.undecided else ""
        if self.good or not self.total:
            return said
        always_no = "as often" if self.right == self.total else f"for all {self.total}"
        return f"{said}; none was good enough, so always to answer no would be right {always_no}"


NOT_MEASURED = "How often such estimates are right has not been measured yet; take this one as a hint."


def probe_map(dynamics: TrainingDynamics, *, epochs: int | None = None) -> pd.DataFrame:
    """Give what a probe tells of each example that it saw: example_id, label, confidence, threshold_closeness, loss.

    Means over the epochs in which the example was seen, also those that did not see every example; an example that
    was never seen has no row.

    :param epochs: only the first this many epochs; all when left out.
    :raises InputError: if nothing was seen.
    """
    seen = dynamics.seen[:epochs]
    is_seen = seen.any(axis=0)
    if not is_seen.any():
        raise InputError("The probe saw no example yet; wait until it has trained for some steps.")
    labels = dynamics.labels[is_seen]
    log_gold = log_softmax(dynamics.logits[:epochs][:, is_seen])[:, np.arange(len(labels)), labels]  # (epochs, N)
    weights = seen[:, is_seen] / seen[:, is_seen].sum(axis=0)
    # What was not seen holds anything; it must not come in, not even times zero.
    confidence = np.where(seen[:, is_seen], np.exp(log_gold), 0)
    loss = np.where(seen[:, is_seen], -log_gold, 0)
    mean_confidence = (confidence * weights).sum(axis=0)
    return pd.DataFrame(
        {
            "example_id": dynamics.example_ids[is_seen],
            "label": np.array(dynamics.label_names, dtype=object)[labels],
            "confidence": mean_confidence,
            "threshold_closeness": mean_confidence * (1 - mean_confidence),
            "loss": (loss * weights).sum(axis=0),
        }
    )


def estimate(
    probe: pd.DataFrame,
    maps: Mapping[str, pd.DataFrame],
    first_epochs: Mapping[str, pd.DataFrame],
    references: Mapping[str, Sequence[str]],
    costs: Mapping[str, float | None],
    *,
    fraction: float = 1 / 3,
    score: str = "variability",
    seeds: Mapping[str, int | None] | None = None,
    probe_seed: int | None = None,
) -> Estimate:
    """Estimate from a probe of the main model which references will transfer.

    :param probe: see `probe_map`.
    :param maps: run of a reference -> its map of the whole budget.
    :param first_epochs: run of a reference -> `probe_map` of its first epoch.
    :param references: name of a reference -> its runs, which differ by their seeds.
    :param costs: name of a reference -> FLOPs or any one unit; unknown ones come last.
    :param seeds: run of a reference -> its seed; runs of the probe's own seed, which saw the examples in the probe's
        order, are left out where there are others.
    :raises InputError: for no reference, too few examples in common, or as `align_maps` and `select`.
    """
    if not references:
        raise InputError("An estimate needs at least one reference to judge; received none.")
    rows = []
    seen = pd.Index(probe["example_id"])
    early = {run: first[first["example_id"].isin(seen)] for run, first in first_epochs.items()}
    for name, runs in references.items():
        apart = [run for run in runs if probe_seed is None or (seeds or {}).get(run) != probe_seed]
        against = [_agreement(probe, maps[run], fraction, score) for run in apart or runs]
        means = {key: float(np.mean([found[key] for found in against])) for key in against[0]}
        pairs = [(a, b) for a in runs for b in runs if a != b] or [(run, run) for run in runs]
        expected = min(_agreement(early[b], maps[a], fraction, score)["overlap"] for a, b in pairs)
        is_good = means["overlap"] >= expected if expected > means["chance"] else None
        rows.append({"reference": name, "cost": costs.get(name), **means, "expected": expected,
                     "same_run": len(runs) == 1, "good_enough": is_good})  # fmt: skip
    table = pd.DataFrame(rows, columns=list(ESTIMATE_COLUMNS))
    table = table.astype({"cost": "float64", "num_examples": "int64", "good_enough": "boolean"})
    table = table.sort_values("cost", kind="stable", ignore_index=True)
    good_ones = table[table["good_enough"].fillna(False)]
    chosen = None if good_ones.empty else str(good_ones["reference"].iloc[0])
    return Estimate(chosen, table, tuple(_sentences(table, chosen)))


def count_probes(cases: Sequence[ProbeCase]) -> ProbeCounts:
    """Count how often estimates came true: references called good enough or not, and pairs of them put in order.

    Pairs are of references for one main model on one suite; those that came out equal are left out.
    """
    pairs = [
        (a.estimated_overlap - b.estimated_overlap, a.actual_overlap - b.actual_overlap)
        for a, b in combinations(cases, 2)
        if (a.suite, a.main) == (b.suite, b.main) and a.actual_overlap != b.actual_overlap
    ]
    return ProbeCounts(
        right=sum(case.estimated_good == case.actual_good for case in cases),
        total=sum(case.estimated_good is not None for case in cases),
        undecided=sum(case.estimated_good is None for case in cases),
        good=sum(case.actual_good for case in cases if case.estimated_good is not None),
        pairs_right=sum(estimated * actual > 0 for estimated, actual in pairs),
        pairs_total=len(pairs),
        suites=tuple(dict.fromkeys(case.suite for case in cases)),
    )


def read_counts(path: Path) -> ProbeCounts:
    """Read the cases that `benchmarks/probe.py` wrote, and count them; none where there is no such file.

    :raises InputError: if the file holds something else.
    """
    try:
        return count_probes([ProbeCase(**case) for case in json.loads(path.read_text(encoding="utf-8"))["cases"]])
    except FileNotFoundError:
        return count_probes([])
    except (ValueError, TypeError, KeyError) as failure:
        raise InputError(f"{path} does not hold cases of probes ({failure}); make it with benchmarks/probe.py.") from (
            failure
        )


def _agreement(probe: pd.DataFrame, data_map: pd.DataFrame, fraction: float, score: str) -> dict[str, float]:
    """Hold a reference's map against a probe, over the examples that both have."""
    columns = [name for name in ("example_id", "label", "never_learnt", "confidence", score) if name in data_map]
    whole = data_map[list(dict.fromkeys(columns))]
    whole = whole.assign(label=whole["label"].astype(object), example_id=whole["example_id"].astype(object))
    aligned, _ = align_maps({"the reference": whole, "the probe": probe})
    known, probed = aligned["the reference"], aligned["the probe"]
    if len(known) < MIN_EXAMPLES:
        raise InputError(
            f"The probe and the reference share {len(known)} examples; an estimate needs at least {MIN_EXAMPLES}. "
            "Let the probe see more of the data."
        )
    known.attrs = dict(data_map.attrs)
    chosen = chosen_shares(known, score, fraction)
    return {
        "num_examples": float(len(known)),
        "overlap": jaccard(chosen, chosen_shares(probed, PROBED_BY, fraction)),
        "chance": jaccard_by_chance(float(chosen.mean())),
        "correlation": correlation_of_ranks(centred_ranks(known, score), centred_ranks(probed, PROBED_BY)),
        "confidence_correlation": correlation_of_ranks(
            centred_ranks(known, "confidence"), centred_ranks(probed, "confidence")
        ),
    }


def _sentences(table: pd.DataFrame, chosen: str | None) -> list[str]:
    if chosen is not None:
        row = table[table["reference"] == chosen].iloc[0]
        sentences = [
            f"The probe expects {chosen} to be good enough: its ambiguous set overlaps with what the probe is unsure "
            f"of by {row['overlap']:.2f} ({row['chance']:.2f} by chance), its own first epoch by {row['expected']:.2f}."
        ]
    elif table["good_enough"].isna().all():
        row = table.iloc[0]
        sentences = [
            f"The probe tells nothing here: even the first epoch of {row['reference']} itself foretells its ambiguous "
            f"set by no more than chance ({row['expected']:.2f}, {row['chance']:.2f} by chance)."
        ]
    else:
        row = table.loc[table["overlap"].where(table["good_enough"].notna()).idxmax()]
        sentences = [
            f"The probe expects no reference to be good enough: {row['reference']} comes nearest with an overlap of "
            f"{row['overlap']:.2f} ({row['chance']:.2f} by chance), but its own first epoch has {row['expected']:.2f}."
        ]
    if table["same_run"].any():
        sentences.append(
            "A reference of one seed is held against its own first epoch, which is part of its map: that bar is high; "
            "a second seed of it would make it fair."
        )
    return sentences
