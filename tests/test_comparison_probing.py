"""Estimates from a probe: what a look at each example tells, and counts of how often it came true."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from ftft_core.comparison import count_probes, estimate, probe_map, read_counts
from ftft_core.comparison.probing import NOT_MEASURED, ProbeCase
from ftft_core.dynamics import TrainingDynamics
from ftft_core.errors import InputError

SIZE = 300


def dynamics(gold, seen):
    """Two classes, the gold one first; `gold` are the probabilities (epochs, N)."""
    gold = np.asarray(gold, dtype=float)
    logits = np.stack([np.log(gold), np.log(1 - gold)], axis=2)
    return TrainingDynamics.from_arrays(range(gold.shape[1]), [0] * gold.shape[1], logits, seen=seen)


def test_a_probe_by_hand():
    found = probe_map(dynamics([[0.5, 0.8, 0.3], [0.7, 0.9, 0.1]], [[True, True, False], [True, False, False]]))
    assert found["example_id"].tolist() == ["0", "1"]
    assert found["confidence"].tolist() == pytest.approx([0.6, 0.8])
    assert found["threshold_closeness"].tolist() == pytest.approx([0.24, 0.16])
    assert found["loss"].tolist() == pytest.approx([-(np.log(0.5) + np.log(0.7)) / 2, -np.log(0.8)])
    first = probe_map(dynamics([[0.5, 0.8], [0.7, 0.9]], [[True, True]] * 2), epochs=1)
    assert first["confidence"].tolist() == pytest.approx([0.5, 0.8])
    with pytest.raises(InputError, match="saw no example yet"):
        probe_map(dynamics([[0.5, 0.8]], [[False, False]]))


def maps_of(seed, noise, truth=None):
    """A run's map of its whole budget and that of its first epoch, of examples that waver where the truth is high."""
    rng = np.random.default_rng(seed)
    truth = np.linspace(0, 1, SIZE) if truth is None else truth
    shared = {"example_id": [str(row) for row in range(SIZE)], "label": ["0"] * SIZE}
    whole = pd.DataFrame({**shared, "variability": truth + rng.normal(0, noise, SIZE), "confidence": 1 - truth})
    closeness = truth + rng.normal(0, noise, SIZE)
    return whole, pd.DataFrame({**shared, "threshold_closeness": closeness, "confidence": 1 - truth})


def estimated(references, probe, **options):
    made = {name: maps_of(seed, noise, truth) for name, (seed, noise, truth) in references.items()}
    groups = {}
    for name in made:
        groups.setdefault(name.split("-")[0], []).append(name)
    wholes, firsts = ({name: both[index] for name, both in made.items()} for index in (0, 1))
    return estimate(probe, wholes, firsts, groups, {"cheap": 1.0, "dear": 2.0}, **options)


def test_the_cheapest_reference_that_agrees_with_the_probe_is_named():
    other = np.random.default_rng(9).permutation(np.linspace(0, 1, SIZE))
    runs = {"cheap-0": (1, 0.2, other), "cheap-1": (2, 0.2, other), "dear-0": (3, 0.2, None), "dear-1": (4, 0.2, None)}
    found = estimated(runs, maps_of(5, 0.1)[1])
    assert found.chosen == "dear"
    assert found.references["good_enough"].tolist() == [False, True]
    assert found.references["same_run"].tolist() == [False, False]
    assert found.sentences[0].startswith("The probe expects dear to be good enough")


def test_a_probe_of_the_same_seed_is_held_against_other_seeds():
    runs = {"dear-0": (3, 0.0, None), "dear-1": (4, 0.5, None)}
    probe = maps_of(5, 0.0)[1]
    found = estimated(runs, probe, seeds={"dear-0": 0, "dear-1": 1}, probe_seed=0)
    with_same = estimated(runs, probe).references["overlap"][0]  # of the mean, one half is 1
    assert found.references["overlap"][0] == pytest.approx(2 * with_same - 1)
    alone = estimated({"dear-0": (3, 0.0, None)}, probe, seeds={"dear-0": 0}, probe_seed=0)
    assert alone.references["overlap"][0] == 1.0
    assert "a second seed of it" in alone.sentences[-1]


def test_a_first_epoch_that_foretells_nothing_gives_no_estimate():
    whole, _ = maps_of(1, 0.1)
    _, first = maps_of(2, 0.1, np.linspace(1, 0, SIZE))
    found = estimate(first, {"r": whole}, {"r": first}, {"small": ["r"]}, {})
    assert found.chosen is None
    assert found.references["good_enough"].isna().all()
    assert found.sentences[0].startswith("The probe tells nothing here")


def test_a_probe_needs_references_and_examples():
    whole, first = maps_of(1, 0.1)
    with pytest.raises(InputError, match="at least one reference"):
        estimate(first, {}, {}, {}, {})
    with pytest.raises(InputError, match="share 29 examples"):
        estimate(first.head(29), {"r": whole}, {"r": first}, {"small": ["r"]}, {})


def case(suite, reference, estimated, actual, estimated_good, actual_good):
    return ProbeCase(suite, "main", reference, estimated, actual, estimated_good, actual_good)


CASES = [
    case("one", "a", 0.5, 0.4, True, True),
    case("one", "b", 0.3, 0.2, True, False),
    case("one", "c", 0.2, 0.3, False, False),
    case("two", "a", 0.9, 0.1, False, False),
]


def test_counts_by_hand(tmp_path):
    counts = count_probes(CASES)
    assert (counts.right, counts.total) == (3, 4)
    assert (counts.pairs_right, counts.pairs_total) == (2, 3)  # a before b, a before c; b and c the wrong way round
    assert "right for 3 of 4 references" in counts.words
    assert "in 2 of 3 pairs" in counts.words
    path = tmp_path / "probe.json"
    assert read_counts(path).words == NOT_MEASURED
    path.write_text(json.dumps({"cases": [vars(each) for each in CASES]}), encoding="utf-8")
    assert read_counts(path) == counts
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="does not hold cases of probes"):
        read_counts(path)


def test_what_a_probe_could_not_tell_is_no_hit():
    cases = [dataclasses.replace(CASES[0], estimated_good=said, actual_good=False) for said in (None, None, False)]
    counts = count_probes(cases)
    assert (counts.right, counts.total, counts.undecided, counts.good) == (1, 1, 2, 0)
    assert "right for 1 of 1 references; of 2 more they could not tell; none was good enough" in counts.words
    assert "always to answer no would be right as often." in counts.words
    wrong = count_probes([*cases, dataclasses.replace(CASES[0], estimated_good=True, actual_good=False)])
    assert "right for 1 of 2 references" in wrong.words
    assert "always to answer no would be right for all 2." in wrong.words
