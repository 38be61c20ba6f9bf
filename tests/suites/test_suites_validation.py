from __future__ import annotations

import numpy
import pandas
import pytest

from ftft_core.errors import NotFoundError, SuiteError
from ftft_core.suites import Suite, load_suite
from ftft_core.suites.loading import stratified_rows

from .conftest import SPEC

NO_TEST = "There is no test split: a comparison on this suite will have dev only."
TEST_SPEC = SPEC + "out_of_distribution:\n  far: {file: far.csv}\n"


def test_splits_have_their_roles_columns_and_order(folder):
    folder.write("far.csv", "text,label\nx,positive\ny,negative\n").write(
        "near.csv", "text,label\nz,positive\nw,negative\n"
    )
    suite = folder.load(SPEC + "out_of_distribution: {far: far.csv}\nin_distribution: {near: near.csv}\n")
    assert [(split.name, split.role) for split in suite.splits] == [
        ("train", "train"),
        ("dev", "dev"),
        ("near", "in_distribution"),
        ("far", "out_of_distribution"),
    ]
    assert list(suite.train.examples.columns) == ["example_id", "text", "text_pair", "label", "group"]
    assert suite.train.examples["example_id"].tolist() == ["0", "1", "2", "3"]
    assert suite.labels == ("negative", "positive")
    assert not suite.is_pair
    assert len(suite.split("far")) == 2
    with pytest.raises(NotFoundError, match=r"There is no split 'fair' .*Did you mean 'far'\?"):
        suite.split("fair")


def test_the_spec_orders_the_labels_and_one_never_trained_is_warned_of(folder):
    suite = folder.load(SPEC + "labels: [positive, neutral, negative]\n")
    assert suite.labels == ("positive", "neutral", "negative")
    assert "The label 'neutral' is listed, but no training example has it." in suite.warnings


def test_problems_of_all_files_are_told_together(folder):
    folder.write("train.csv", "id,text,label\na,,positive\nb,x,negative\na,y,\n")
    folder.write("dev.csv", "id,text\n1,z\n").write("far.csv", "id,text,label\n1,z,other\n")
    with pytest.raises(SuiteError, match="The suite 'small' has 6 problems") as caught:
        folder.load(TEST_SPEC + "id: id\nlabels: [positive, negative]\nin_distribution: {near: none.csv}\n")
    assert [problem.split(". ")[0] for problem in caught.value.problems] == [
        "dev.csv: There is no column 'label' (known: id, text).",
        f"none.csv: the file does not exist in '{folder.path}'",
        "train.csv, row 2 (line 4), column 'label': the label is empty; received ''.",
        "train.csv, row 2 (line 4), column 'id': the id 'a' stands in row 0 already; ids are unique in a split.",
        "train.csv, row 0 (line 2), column 'text': the text is empty; received ''.",
        "far.csv, row 0 (line 2), column 'label': the label 'other' is none of the suite's labels "
        "(positive, negative).",
    ]


def test_ids_may_repeat_between_splits(folder):
    folder.write("train.csv", "id,text,label\n7,a,x\n07,b,y\n").write("dev.csv", "id,text,label\n7,c,x\n8,d,y\n")
    suite = folder.load(SPEC + "id: id\n")
    assert suite.train.examples["example_id"].tolist() == ["7", "07"]


def test_one_label_is_a_problem_in_training_and_a_warning_in_a_test(folder):
    folder.write("far.csv", "text,label\nq,positive\n")
    suite = folder.load(TEST_SPEC)
    assert suite.warnings == ("Every example of 'far' has the label 'positive', so macro-F1 is of one label only.",)
    folder.write("dev.csv", "text,label\nq,positive\n")
    assert folder.problems() == ["dev.csv: every row has the label 'positive'; at least two labels are needed."]


def test_a_column_of_ids_is_not_taken_for_labels(folder):
    folder.write("train.csv", "text,label\n" + "".join(f"text {i},{i}\n" for i in range(30)))
    assert folder.problems(SPEC.replace("dev.csv", "{from: train}"))[0] == (
        "train.csv: column 'label' has 30 distinct labels in 30 rows; choose the column of the labels, or list them "
        "under 'labels'."
    )


NLI = "text: text\nlabel: label\nlabels: [e, n, c]\ntrain: train.csv\ndev: dev.csv\nout_of_distribution:\n  hans: "


@pytest.fixture
def nli(folder):
    rows = "text,label\none,e\ntwo,n\nthree,c\n"
    return folder.write("train.csv", rows).write("dev.csv", rows.replace("o", "0").replace("th", "t"))


def test_a_label_map_merges_labels_and_leaves_the_others(nli):
    nli.write("hans.csv", "text,label\na,other\nb,e\nd,c\n")
    hans = nli.load(NLI + "{file: hans.csv, label_map: {other: [n, c]}}\n").split("hans")
    assert hans.label_map == {"other": ("n", "c")}
    assert hans.examples["label"].tolist() == ["other", "e", "other"]  # c is merged, as its scores will be
    nli.write("hans.csv", "text,label\na,e\nb,e\n")
    assert "The label map of 'hans' has the label 'other', but no example has it." in nli.load().warnings


@pytest.mark.parametrize(
    ("label_map", "said"),
    [
        ("{other: [n, k]}", "split 'hans', label_map 'other': There is no label 'k' (known: e, n, c)."),
        ("{other: [n, c], more: [c]}", "the label 'c' is listed twice, under 'other' and 'more'"),
        ("{e: [n, c]}", "split 'hans', label_map: 'e' is a label of the suite and stands for itself; list it under"),
        ("{all: [e, n, c]}", "split 'hans', label_map: merges all labels into one; at least two must remain."),
        ("{other: []}", "it must hold at least 1 item."),
        ("{other: [n, c]}", "column 'label': the label 'x' is none of the suite's labels (e, other)."),
    ],
)
def test_a_wrong_label_map_is_told(nli, label_map, said):
    problems = nli.write("hans.csv", "text,label\na,x\nb,e\n").problems(
        f"{NLI}{{file: hans.csv, label_map: {label_map}}}\n"
    )
    assert any(said in problem for problem in problems), problems


def test_a_label_map_may_keep_a_label_under_its_own_name(nli):
    nli.write("hans.csv", "text,label\na,c\nb,e\n")
    assert nli.load(NLI + "{file: hans.csv, label_map: {e: [e, n]}}\n").split("hans").examples["label"].tolist() == [
        "c",
        "e",
    ]


def test_dev_set_aside_is_stratified_exact_seeded_and_keeps_ids(folder):
    rows = "".join(f"row-{i},text {i},{'x' if i % 4 else 'y'}\n" for i in range(40))
    folder.write("train.csv", "id,text,label\n" + rows)
    spec = "text: text\nlabel: label\nid: id\ntrain: train.csv\ndev: {from: train, fraction: 0.2, seed: 1}\n"
    suite = folder.load(spec)
    assert suite.dev.examples["label"].value_counts().to_dict() == {"x": 6, "y": 2}  # 30 and 10 of 40: 20 % of each
    assert len(suite.train) == 32
    ids = [*suite.train.examples["example_id"], *suite.dev.examples["example_id"]]
    assert sorted(ids) == sorted(f"row-{i}" for i in range(40))
    positions = [int(name.split("-")[1]) for name in suite.dev.examples["example_id"]]
    assert positions == sorted(positions)
    assert folder.load(spec).fingerprint == suite.fingerprint
    assert folder.load(spec.replace("seed: 1", "seed: 2")).fingerprint != suite.fingerprint


def test_shares_that_do_not_divide_go_by_largest_remainder():
    values = numpy.array(["a"] * 5 + ["b"] * 3 + ["c"] * 2)
    chosen = values[stratified_rows(values, ["a", "b", "c"], 0.25, 0)]  # 2 of 10: 1.0, 0.6, 0.4
    assert sorted(chosen) == ["a", "b"]
    assert stratified_rows(values, ["a", "b", "c"], 0.01, 0).sum() == 1
    assert stratified_rows(values, ["a", "b", "c"], 0.99, 0).sum() == 9


def test_texts_in_training_and_a_test_are_counted_and_can_be_dropped(folder):
    folder.write("far.csv", "text,label\ngood film,positive\ngood film ,negative\nGood film,negative\n")
    warnings = folder.load(TEST_SPEC).warnings
    assert warnings == (
        "2 of the 3 examples of 'far' stand in the training data letter for letter (white space aside), so its scores "
        "may be too high.",
    )
    dropped = folder.load(TEST_SPEC, drop_leaked=True)
    assert dropped.train.examples["example_id"].tolist() == ["1", "2", "3"]
    assert dropped.warnings == (
        "1 of the 4 training examples were left out, because their text also stands in another split.",
    )
    folder.write("far.csv", "text,label\ngood film,positive\nfine film,positive\n")
    with pytest.raises(SuiteError, match="split 'train': every row has the label 'negative'"):
        folder.load(TEST_SPEC, drop_leaked=True)


def test_a_pair_is_repeated_only_if_both_texts_are(folder):
    folder.write("train.csv", "a,b,label\np,q,x\np,r,y\np,q,y\n").write("dev.csv", "a,b,label\np,r,x\nq,p,y\n")
    suite = folder.load("text: [a, b]\nlabel: label\ntrain: train.csv\ndev: dev.csv\n")
    assert suite.is_pair
    assert suite.dev.examples["text_pair"].tolist() == ["r", "p"]
    assert suite.warnings[0].startswith("1 of the 2 examples of 'dev' stand in the training data")
    assert suite.warnings[1:] == (
        NO_TEST,
        "1 of the 3 training examples repeat the text of an earlier one.",
        "1 training text stands there with more than one label.",
    )


def test_imbalance_is_warned_of_above_four_fifths(folder):
    folder.write("train.csv", "text,label\n" + "".join(f"t{i},{'x' if i else 'y'}\n" for i in range(5)))
    folder.write("dev.csv", "text,label\na,x\nb,y\n")
    assert folder.load().warnings == (NO_TEST,)  # exactly 80 %
    folder.write("train.csv", "text,label\n" + "".join(f"t{i},{'x' if i else 'y'}\n" for i in range(6)))
    assert folder.load().warnings == (
        NO_TEST,
        "83.3% of the training examples have the label 'x' (more than 80%): look at macro-F1 beside accuracy.",
    )


def test_a_suite_of_frames_is_the_suite_of_the_files(folder):
    folder.write("far.csv", "text,label,kind\nx,positive,g\ny,negative,\n")
    expected = folder.load(SPEC + "out_of_distribution: {far: {file: far.csv, group: kind}}\n")
    frames = {name: pandas.read_csv(folder.path / f"{name}.csv") for name in ("train", "dev", "far")}
    suite = Suite.from_frames(
        "small", frames["train"], frames["dev"], out_of_distribution={"far": frames["far"]}, group="kind"
    )
    assert suite.fingerprint == expected.fingerprint
    assert suite.split("far").examples["group"].tolist() == ["g", None]


def test_problems_of_frames_are_told_with_their_rows():
    train = pandas.DataFrame({"text": ["a", None, "c"], "label": [1, 0, None]})
    dev = pandas.DataFrame({"txt": ["a"], "label": [1]})
    with pytest.raises(SuiteError) as caught:
        Suite.from_frames("small", train, dev, label_maps={"far": {"x": ["1"]}})
    assert caught.value.problems == [
        "label_maps: there is no test split 'far'.",
        "data frame 'dev': There is no column 'text' (known: txt, label). Did you mean 'txt'?",
        "data frame 'train', row 2, column 'label': the label is missing.",
        "data frame 'train', row 1, column 'text': the text is missing.",
    ]


def test_the_leak_of_the_hate_speech_data_is_found(shared_data):
    suite = load_suite("hate", shared_data("hate/spec.yaml"))
    assert any(warning.startswith("236 of the 2,970 examples of 'tweeteval' stand in") for warning in suite.warnings)
    assert len(suite.train) == 8_993
    assert suite.split("hatecheck").examples["group"].nunique() > 10


def test_the_language_inference_data_are_pairs_with_labels_in_order(shared_data):
    suite = load_suite("nli", shared_data("nli/spec.yaml"))
    assert suite.is_pair
    assert suite.labels == ("entailment", "neutral", "contradiction")
