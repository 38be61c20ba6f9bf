import numpy as np
import pandas as pd
import pytest

from ftft_core.cartography import SCORES, compute_data_map
from ftft_core.dynamics import TrainingDynamics
from ftft_core.errors import InputError
from ftft_core.selection import STRATEGIES, resolve_size, select, strategy_named, with_weights


def map_of(**columns):
    size = len(next(iter(columns.values())))
    frame = pd.DataFrame({"example_id": [f"e{i}" for i in range(size)], "label": ["x"] * size, **columns})
    if "variability" not in frame:
        frame["variability"] = 0.1
    return frame


@pytest.fixture(scope="module")
def data_map():
    generator = np.random.default_rng(0)
    labels = generator.choice(3, 1000, p=[0.7, 0.2, 0.1])
    logits = generator.normal(size=(5, 1000, 3)) * 3
    return compute_data_map(TrainingDynamics.from_arrays(range(1000), labels, logits, label_names=["a", "b", "c"]))


ALL = [*STRATEGIES, "top:loss", "bottom:aum", "top:first_learnt_epoch", "bottom:first_learnt_epoch", "stratified:loss",
       "stratified:first_learnt_epoch", "moderate:entropy"]  # fmt: skip


@pytest.mark.parametrize("strategy", ALL)
@pytest.mark.parametrize("balance", [None, "class"])
def test_every_strategy_gives_exactly_the_size_in_file_order_and_again_the_same(data_map, strategy, balance):
    for fraction in (0.0001, 0.05, 0.1, 0.33, 0.3335, 0.95, 1.0):
        ids = select(data_map, strategy, fraction, balance=balance, seed=3)
        positions = ids.astype(int)
        assert len(ids) == max(1, round(fraction * 1000))
        assert (np.diff(positions) > 0).all()
        assert ids.tolist() == select(data_map, strategy, fraction, balance=balance, seed=3).tolist()


@pytest.mark.parametrize("strategy", ALL)
def test_every_strategy_works_on_one_example(data_map, strategy):
    assert select(data_map.iloc[[4]], strategy, 0.33, num_epochs=5).tolist() == ["4"]


@pytest.mark.parametrize(("strategy", "column", "largest"), [
    ("ambiguous", "variability", True), ("hard", "confidence", False), ("easy", "confidence", True),
    ("el2n", "el2n", True), ("aum", "aum", False), ("top:loss", "loss", True), ("bottom:entropy", "entropy", False),
])  # fmt: skip
def test_ranking_strategies_equal_a_sort_in_plain_python(data_map, strategy, column, largest):
    values = data_map[column].tolist()
    ranked = sorted(range(1000), key=lambda i: (-values[i] if largest else values[i], i))
    assert select(data_map, strategy, 0.33).tolist() == [str(i) for i in sorted(ranked[:330])]


def test_ties_go_by_the_order_of_the_file():
    data_map = map_of(confidence=[0.5] * 6)
    for strategy in ("hard", "easy", "moderate"):
        assert select(data_map, strategy, 0.5).tolist() == ["e0", "e1", "e2"]
    assert select(data_map, "both-ends", 0.5).tolist() == ["e0", "e1", "e2"]


@pytest.mark.parametrize(("fraction", "size"), [(0.25, 2), (0.35, 4), (0.05, 1), (0.15, 2), (0.01, 1), (1, 10)])
def test_sizes_round_half_to_even_and_are_at_least_one(fraction, size):
    assert resolve_size(fraction, 10) == size


@pytest.mark.parametrize("fraction", [0, -0.1, 1.0001, float("nan"), float("inf"), True, "0.3"])
def test_a_fraction_out_of_range_is_refused(data_map, fraction):
    with pytest.raises(InputError, match="above 0 and at most 1"):
        select(data_map, "hard", fraction)


def test_examples_never_learnt_are_the_most_forgotten():
    data_map = map_of(forgetting_events=[1, 0, 3, 0, 2], never_learnt=[False, True, False, False, False])
    assert select(data_map, "forgetting", 0.2).tolist() == ["e1"]
    assert select(data_map, "forgetting", 0.4).tolist() == ["e1", "e2"]
    assert select(data_map, "top:forgetting_events", 0.2).tolist() == ["e2"]


def test_both_ends_takes_seven_hardest_and_three_easiest_of_ten():
    data_map = map_of(confidence=np.linspace(0, 1, 100))
    expected = [*range(7), *range(97, 100)]
    assert select(data_map, "both-ends", 0.1).tolist() == [f"e{i}" for i in expected]


def test_moderate_takes_what_is_nearest_to_the_median():
    data_map = map_of(confidence=[0.0, 0.1, 0.5, 0.6, 1.0])
    assert select(data_map, "moderate", 0.4).tolist() == ["e2", "e3"]


def test_stratified_leaves_the_hardest_out_and_takes_small_bins_whole():
    # 10 hardest, 3 in the middle, 87 easiest: after the cut two bins remain, of 3 and 87 examples.
    data_map = map_of(aum=[-50.0] * 10 + [0.0] * 3 + [10.0] * 87)
    positions = [int(example_id[1:]) for example_id in select(data_map, "stratified", 0.2)]
    assert len(positions) == 20
    assert min(positions) == 10
    assert {10, 11, 12} < set(positions)
    # What the small bin lacked of its share of 10 went to the large one.
    assert sum(position >= 13 for position in positions) == 17


def test_stratified_shares_the_size_evenly_over_bins():
    data_map = map_of(loss=np.repeat([1.0, 2.0, 3.0], [100, 40, 60]))
    positions = np.array([int(example_id[1:]) for example_id in select(data_map, "stratified:loss", 0.3)])
    # 20 hardest (highest loss) are cut off; 60 are shared by bins of 40, 40 and 100.
    assert [((positions >= low) & (positions < high)).sum() for low, high in [(0, 100), (100, 140), (140, 200)]] == [
        20, 20, 20,
    ]  # fmt: skip


def test_stratified_cuts_less_off_where_the_size_needs_it():
    data_map = map_of(aum=np.arange(10.0))
    assert len(select(data_map, "stratified", 1.0)) == 10


def test_random_depends_on_the_seed_alone(data_map):
    first = select(data_map, "random", 0.1, seed=1)
    assert (
        first.tolist() == select(data_map.sample(frac=1, random_state=0).sort_index(), "random", 0.1, seed=1).tolist()
    )
    assert first.tolist() != select(data_map, "random", 0.1, seed=2).tolist()
    with pytest.raises(InputError, match="seed is -1; it must be a whole number from 0 on"):
        select(data_map, "random", 0.1, seed=-1)


def test_balance_takes_the_same_share_from_each_label(data_map):
    chosen = set(select(data_map, "hard", 0.33, balance="class"))
    counts = data_map["label"].value_counts()
    kept = data_map[data_map["example_id"].isin(chosen)]["label"].value_counts()
    assert kept.sum() == 330
    for label in "abc":
        assert abs(kept[label] - 0.33 * counts[label]) < 1


def test_shares_are_made_whole_by_largest_remainder_first_label_first():
    data_map = map_of(confidence=np.arange(9) / 10)
    data_map["label"] = ["x"] * 3 + ["y"] * 3 + ["z"] * 3
    # 4 of 9: 1 1/3 each; the one left over goes to the label that comes first.
    assert select(data_map, "hard", 4 / 9, balance="class").tolist() == ["e0", "e1", "e3", "e6"]


def test_quotas_are_met_exactly(data_map):
    ids = select(data_map, "hard", quotas={"a": 5, "c": 7})
    labels = data_map.set_index("example_id").loc[ids.tolist(), "label"].value_counts().to_dict()
    assert labels == {"a": 5, "c": 7}


def test_quotas_that_cannot_be_met_are_told_together(data_map):
    with pytest.raises(InputError, match="These quotas cannot be met") as caught:
        select(data_map, "hard", quotas={"a": -1, "d": 3, "c": 900})
    problems = "\n".join(caught.value.problems)
    assert "The quota of 'a' is -1" in problems
    assert "There is no label 'd'" in problems
    assert "The quota of 'c' is 900, but only" in problems
    with pytest.raises(InputError, match="ask for no example at all"):
        select(data_map, "hard", quotas={"a": 0})


def test_fraction_quotas_and_balance_exclude_one_another(data_map):
    with pytest.raises(InputError, match="either a fraction or quotas; received none"):
        select(data_map, "hard")
    with pytest.raises(InputError, match="either a fraction or quotas; received both"):
        select(data_map, "hard", 0.3, quotas={"a": 1})
    with pytest.raises(InputError, match="leave balance out"):
        select(data_map, "hard", quotas={"a": 1}, balance="class")
    with pytest.raises(InputError, match="There is no balance 'classes'"):
        select(data_map, "hard", 0.3, balance="classes")


def test_where_filters_before_the_fraction_is_taken(data_map):
    remaining = data_map[data_map["label"] == "b"]
    ids = select(data_map, "hard", 0.5, where='label == "b"')
    assert len(ids) == round(len(remaining) / 2)
    assert ids.tolist() == select(remaining, "hard", 0.5).tolist()
    with pytest.raises(InputError, match=r'The filter "confidence > 2" leaves none of 1000 examples'):
        select(data_map, "hard", 0.5, where="confidence > 2")
    with pytest.raises(InputError, match="The data map is empty"):
        select(data_map.iloc[:0], "hard", 0.5)


def test_ambiguous_is_refused_where_one_epoch_counted():
    one = compute_data_map(TrainingDynamics.from_arrays("abc", [0, 1, 0], np.eye(3)[None, :, :2]))
    for strategy in ("ambiguous", "top:variability", "bottom:forgetting_events", "moderate:prediction_flips"):
        with pytest.raises(InputError, match=r"needs at least 2 counted epochs: with one, .* all tie"):
            select(one, strategy, 0.5)
    bare = pd.DataFrame(one.to_dict("list"))
    with pytest.raises(InputError, match="needs at least 2 counted epochs"):
        select(bare, "ambiguous", 0.5)
    with pytest.raises(InputError, match="needs at least 2 counted epochs"):
        select(map_of(variability=[0.1, 0.2]), "ambiguous", 0.5, num_epochs=1)
    assert select(one, "hard", 0.5).size == 2
    assert select(bare, "ambiguous", 0.5, num_epochs=3).size == 2


def test_unknown_strategies_and_scores_are_told_with_the_nearest():
    with pytest.raises(InputError, match=r"There is no strategy 'ambigous' .* Did you mean 'ambiguous'"):
        strategy_named("ambigous")
    with pytest.raises(InputError, match=r"There is no score 'los' .* Did you mean 'loss'"):
        strategy_named("top:los")
    with pytest.raises(InputError, match="There is no strategy 'best:loss'"):
        strategy_named("best:loss")
    assert all(STRATEGIES[name].__doc__ for name in STRATEGIES)
    assert all(strategy_named(f"top:{score}") for score in SCORES)


def test_a_null_score_comes_last_from_either_end():
    data_map = map_of(first_learnt_epoch=pd.array([None, 1, 0, None, 2], dtype="Int64"))
    assert select(data_map, "top:first_learnt_epoch", 0.6).tolist() == ["e1", "e2", "e4"]
    assert select(data_map, "bottom:first_learnt_epoch", 0.4).tolist() == ["e1", "e2"]


def test_members_of_a_subset_weigh_one_unless_said_otherwise():
    assert with_weights(["a", "b"])["weight"].tolist() == [1.0, 1.0]
    assert with_weights(["a", "b"], [2, 0])["weight"].tolist() == [2.0, 0.0]
    with pytest.raises(InputError, match="1 weights were given for 2 examples"):
        with_weights(["a", "b"], [1])
    with pytest.raises(InputError, match="finite and not negative"):
        with_weights(["a", "b"], [1, -1])
