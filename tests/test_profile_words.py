"""Words of texts, the index of them, and which of them set a selection apart."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ftft_core.dynamics import TrainingDynamics
from ftft_core.errors import InputError, NotFoundError, RunError
from ftft_core.profile import (
    WordIndex,
    build_word_index,
    describe,
    distinctive_words,
    read_word_index,
    write_word_index,
)
from ftft_core.profile.tokens import words_of
from ftft_core.workspace import Workspace
from tests.ui_workspace import NUM_EPOCHS, NUM_TRAIN, make_workspace, queue


def index_of(*texts: str | None, pairs: list[str | None] | None = None, **options: object) -> WordIndex:
    text = pa.array(texts, pa.string())
    pair = pa.array(pairs if pairs is not None else [None] * len(texts), pa.string())
    # In several batches, so that what is one across batches is tested too.
    size = max(2, len(texts) // 4)
    batches = [(text[start : start + size], pair[start : start + size]) for start in range(0, len(texts), size)]
    return build_word_index(batches, len(texts), **options)


def counts(index: WordIndex, *rows: int) -> dict[str, int]:
    mask = np.zeros(index.num_examples, dtype=bool)
    mask[list(rows)] = True
    return {word: count for word, count in zip(index.vocabulary, index.counts(mask).tolist(), strict=True) if count}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("words"), with_comparison=False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don’t STOP, don't 'quote' it's", ["don't", "stop", "don't", "quote", "it's"]),
        ("@User_12 mail bob@example.com #tag", ["@user_12", "mail", "bob", "@example", "com", "tag"]),
        ("see https://a.b/c?d=1 or www.x.org, 2nd", ["see", "[link]", "or", "[link]", "2nd"]),
        ("3.5 of 42", ["[number]", "[number]", "of", "[number]"]),
        ("so 😡😡 good❤", ["so", "😡", "😡", "good", "❤"]),
        ("naïve cafe\u0301 ÉCOLE straße", ["naïve", "café", "école", "straße"]),
        ("مرحبا بالعالم שלום", ["مرحبا", "بالعالم", "שלום"]),
        ("東京 タ", ["東", "京", "タ"]),
        ("a\x00b <b>c</b> $x^2$", ["a", "b", "b", "c", "b", "x", "[number]"]),
        ("x" * 41 + " y", ["y"]),
        ("  ...  '' _ @ ", []),
        ("", []),
    ],
)  # fmt: skip
def test_what_a_word_is(text, words):
    assert words_of(text) == words


def test_an_index_counts_examples_and_not_occurrences():
    index = index_of("good good film", "Good plot", "bad film", "unheard")
    assert index.vocabulary == ("film", "good")  # the others are in one example alone
    assert counts(index, 0, 1, 2, 3) == {"film": 2, "good": 2}
    assert counts(index, 1) == {"good": 1}
    assert counts(index) == {}
    assert index.num_words.tolist() == [3, 2, 2, 1]
    assert index.matrix.toarray().tolist() == [[1, 1], [0, 1], [1, 0], [0, 0]]


def test_both_texts_of_a_pair_count_once():
    index = index_of("a b", "a c", None, pairs=["a d", "d", None])
    assert counts(index, 0) == {"a": 1, "d": 1}
    assert index.num_words.tolist() == [4, 3, 0]


def test_the_most_frequent_words_are_kept_most_frequent_first():
    index = index_of("c b a", "c b a", "c", most_words=2)
    assert index.vocabulary == ("c", "b")  # of equal ones the first seen is kept
    assert index_of("c b a", "c b a", "c").vocabulary == ("c", "a", "b")


def test_counts_are_the_same_whichever_way_they_are_counted():
    random = np.random.default_rng(0)
    words = [f"w{chr(97 + number)}" for number in range(20)]
    index = index_of(*(" ".join(random.choice(words, 5)) for _ in range(100)))
    for share in (0.05, 0.5, 1.1):
        mask = random.random(100) < share
        np.testing.assert_array_equal(index.counts(mask), index.matrix.toarray()[mask].sum(axis=0))


def test_progress_is_told_batch_by_batch():
    told: list[tuple[int, int]] = []
    index_of("a", "b", "c", on_progress=lambda done, total: told.append((done, total)))
    assert told == [(2, 3), (3, 3)]


def test_long_texts_and_no_texts():
    index = index_of("word " * 10_000, "x" * 50_000, "word 😡")
    assert index.vocabulary == ("word",)
    assert index.num_words.tolist() == [10_000, 0, 2]
    empty = index_of()
    assert (empty.num_examples, empty.vocabulary) == (0, ())


def test_an_index_comes_back_from_disk(tmp_path):
    index = index_of("good 😡 مرحبا", "good 😡 مرحبا", "nothing")
    write_word_index(index, tmp_path / "words.npz")
    again = read_word_index(tmp_path / "words.npz")
    assert again is not None
    assert again.vocabulary == index.vocabulary
    assert counts(again, 0, 2) == counts(index, 0, 2)
    assert again.num_words.tolist() == [3, 3, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["words.npz"]


def test_an_index_without_words_comes_back_too(tmp_path):
    write_word_index(index_of("a", "b"), tmp_path / "words.npz")
    again = read_word_index(tmp_path / "words.npz")
    assert again is not None
    assert again.vocabulary == ()
    assert again.counts(np.array([True, False])).tolist() == []


def test_a_missing_or_damaged_index_is_none(tmp_path):
    path = tmp_path / "words.npz"
    assert read_word_index(path) is None
    write_word_index(index_of("a b", "a b"), path)
    whole = path.read_bytes()
    for damaged in (b"", b"nonsense", whole[:200], whole[:-40]):
        path.write_bytes(damaged)
        assert read_word_index(path) is None


def test_distinctive_words_by_hand():
    # Selected: two examples with x and a; rest: two with a, one of them with x.
    index = index_of("x a", "x a", "x a", "a")
    mask = np.array([True, True, False, False])
    found = distinctive_words(index, mask, prior=1.0, least_z=0).set_index("word")
    # Presences: selected x 2, a 2; rest x 1, a 2; of all 7, x 3 and a 4; the prior is 3/7 and 4/7.
    delta = math.log((2 + 3 / 7) / (4 + 1 - 2 - 3 / 7)) - math.log((1 + 3 / 7) / (3 + 1 - 1 - 3 / 7))
    variance = 1 / (2 + 3 / 7) + 1 / (1 + 3 / 7)
    assert found.loc["x", "log_odds"] == pytest.approx(delta)
    assert found.loc["x", "z"] == pytest.approx(delta / variance**0.5)
    assert found.loc["x", ["num_selected", "num_rest", "share_selected", "share_rest"]].tolist() == [2, 1, 1, 0.5]
    assert found.index.tolist() == ["x", "a"]
    assert found.loc["a", "z"] < 0


def test_both_directions_are_limited_and_ordered():
    index = index_of(*["bad worst", "bad awful", "awful worst"] * 30, *["good best", "fine best", "good fine"] * 30)
    mask = np.arange(180) < 90
    found = distinctive_words(index, mask, limit=2)
    assert len(found) == 4
    assert found["z"].is_monotonic_decreasing
    assert set(found["word"][:2]) < {"bad", "worst", "awful"}
    assert set(found["word"][2:]) < {"good", "best", "fine"}
    assert len(distinctive_words(index, mask, limit=None)) == 6


def test_random_selections_have_no_distinctive_word():
    random = np.random.default_rng(3)
    weights = 1 / np.arange(1, 301)
    words = np.array([f"w{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(300)])
    index = index_of(*(" ".join(random.choice(words, 8, p=weights / weights.sum())) for _ in range(2_000)))
    for share in (0.002, 0.05, 0.5, 0.95):
        assert (distinctive_words(index, random.random(2_000) < share, least_z=0)["z"].abs() < 5).all()


def test_a_map_of_a_part_of_the_examples_is_compared_with_that_part():
    index = index_of("a b", "a b", "b", "b c", "c c")
    positions = np.array([1, 3, 4])
    found = distinctive_words(index, np.array([True, False, False]), positions=positions, least_z=0).set_index("word")
    assert found["num_selected"].to_dict() == {"a": 1, "b": 1, "c": 0}
    assert found["num_rest"].to_dict() == {"a": 0, "b": 1, "c": 2}


def test_without_selection_or_rest_there_are_no_distinctive_words():
    index = index_of("a b", "a b")
    for mask in ([False, False], [True, True]):
        assert distinctive_words(index, np.array(mask)).empty
    with pytest.raises(InputError, match="prior: received 0; the weight of the prior must be above 0"):
        distinctive_words(index, np.array([True, False]), prior=0)


def test_the_workspace_builds_an_index_once_and_again_if_it_is_damaged(workspace):
    told: list[tuple[int, int]] = []
    index = workspace.word_index("toy", lambda done, total: told.append((done, total)))
    assert told == [(NUM_TRAIN, NUM_TRAIN)]
    assert index.num_examples == NUM_TRAIN
    assert {"train", "sentence", "number", "[number]"} <= set(index.vocabulary)
    workspace.word_index("toy", lambda done, total: told.append((done, total)))
    assert len(told) == 1
    (path,) = workspace.folder.glob("suites/*/words.npz")
    path.write_bytes(b"damaged")
    assert workspace.word_index("toy").vocabulary == index.vocabulary
    with pytest.raises(NotFoundError, match="There is no suite 'tory'"):
        workspace.word_index("tory")


def test_a_suite_without_texts_has_no_words(tmp_path):
    workspace = Workspace(tmp_path)
    random = np.random.default_rng(0)
    dynamics = TrainingDynamics.from_arrays(range(30), random.integers(0, 2, 30), random.normal(size=(1, 30, 2)))
    run = workspace.import_dynamics(dynamics, name="imported")
    assert workspace.word_index("imported").vocabulary == ()
    found = describe(workspace.profile_source(run), np.arange(30) < 10)
    assert (found.words, found.lengths) == (None, None)
    assert len(found.curves) == 1


def test_probabilities_and_issues_go_with_the_map(workspace):
    frame = workspace.map_frame("map-run")
    found = workspace.probabilities("map-run")
    assert found.epochs.tolist() == list(range(NUM_EPOCHS))
    np.testing.assert_allclose(found.gold.mean(axis=0), frame["confidence"], atol=1e-6)
    issues = workspace.label_issues("map-run")
    np.testing.assert_allclose(issues["quality"], frame["label_quality"], atol=1e-6)
    assert issues.loc[issues["is_issue"], "suggested_label"].notna().all()
    assert (workspace.label_issues("map-run", epochs=1)["is_issue"] != issues["is_issue"]).any()
    with pytest.raises(InputError, match="epochs is 9; it must be a whole number from 1 to 4"):
        workspace.probabilities("map-run", epochs=9)


def test_a_run_without_an_epoch_has_no_profile(workspace):
    queue(workspace, workspace.folder.parent / "tiny-model", name="waiting", method="erm")
    with pytest.raises(RunError, match="Run 'waiting' has no epoch yet that saw every example"):
        workspace.profile_source("waiting")


def test_a_profile_of_pairs_and_of_a_run_on_a_subset(tmp_path):
    for split, count in {"train": 125, "dev": 10, "test": 10}.items():
        with (tmp_path / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["premise", "hypothesis", "label", "genre"])
            for row in range(count):
                writer.writerow([f"{split} text {row}", "never " * (row % 2) + "so", "ab"[row % 2], "xy"[row % 3 == 0]])
    spec = "text: [premise, hypothesis]\nlabel: label\ngroup: genre\ntrain: train.csv\ndev: dev.csv\n"
    (tmp_path / "spec.yaml").write_text(f"{spec}out_of_distribution: {{test: test.csv}}\n", encoding="utf-8")
    workspace = Workspace(tmp_path / "workspace")
    workspace.add_suite("pairs", tmp_path / "spec.yaml")
    rows = np.arange(5, 125)
    dynamics = TrainingDynamics.from_arrays(
        rows, rows % 2, np.random.default_rng(0).normal(size=(2, 120, 2)), label_names=["a", "b"]
    )
    workspace.import_dynamics(dynamics, name="part", suite="pairs")
    source = workspace.profile_source("part")
    found = describe(source, (source.data_map["label"] == "b").to_numpy())
    assert (found.num_selected, found.num_rest) == (60, 60)
    assert found.groups["value"].tolist() == ["x", "y"]
    assert found.words.iloc[0][["word", "num_selected", "num_rest"]].tolist() == ["never", 60, 0]
    assert found.lengths["median"].tolist() == [5, 4]
    assert found.sentences[0] == "Only 'b' here (100 % against 0 %)."


def test_files_of_the_index_stand_beside_the_suite(workspace):
    workspace.word_index("toy")
    (path,) = workspace.folder.glob("suites/*/words.npz")
    assert (Path(path).parent / "train.parquet").exists()
