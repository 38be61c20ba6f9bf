from __future__ import annotations

from pathlib import Path

import pytest

from ftft_core.config import parse
from ftft_core.errors import SuiteError
from ftft_core.suites import SuiteSpec, load_suite, read_spec
from ftft_core.suites.sample import SAMPLE_SPEC


def test_every_form_of_a_source_is_understood(folder):
    folder.write(
        "spec.yaml",
        """
text: [premise, hypothesis]
label: gold
labels: [yes, no, 2]
id: pair_id
train: a.csv
dev: {from: train, fraction: 0.25, seed: 3}
in_distribution: {matched: m.csv}
out_of_distribution:
  hans: {file: h.tsv, text: [s1, s2], id: null, group: kind, label_map: {other: [no, 2], yes: yes}}
""",
    )
    spec = read_spec(folder.path / "spec.yaml")
    assert spec.labels == ("yes", "no", "2")  # as written: no booleans, no numbers
    assert spec.train.file == "a.csv"
    assert (spec.dev.from_, spec.dev.fraction, spec.dev.seed) == ("train", 0.25, 3)
    hans = spec.out_of_distribution["hans"]
    assert hans.label_map == {"other": ("no", "2"), "yes": ("yes",)}
    assert hans.text == ("s1", "s2")
    assert hans.id is None
    assert "id" in hans.model_fields_set


def test_all_problems_of_a_spec_are_told_together(folder):
    problems = folder.problems("text: [a, b, c]\ntrain: t.csv\ndev: {from: train, fractoin: 0.1}\ncolour: red\n")
    assert any(problem.startswith("colour: unknown key. Known keys: text, label, labels") for problem in problems)
    assert "label: is required, but missing." in problems
    assert any(
        p.startswith("dev: unknown key 'fractoin' beside 'from'. Known keys: from, fraction, seed") for p in problems
    )
    assert any(
        problem.startswith("text: received ['a', 'b', 'c']; it must hold at most 2 items.") for problem in problems
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("dev: {from: train, fraction: 1.0}", "it must be below 1"),
        ("dev: {from: train, fraction: 0}", "it must be above 0"),
        ("dev: {from: test}", "dev.from: received 'test'; it must be 'train'."),
        ("dev: {fraction: 0.1}", "dev: needs a path, {file: path, ...} or {from: train, fraction: 0.1, seed: 0}"),
        ("labels: [a]", "labels: received ['a']; it must hold at least 2 items."),
        ("labels: [a, b, a]", "labels: every label is listed once; repeated: a"),
        ("in_distribution: {train: x.csv}", "The split name 'train' is reserved"),
        ("in_distribution: {Dev: x.csv}", "The split name 'dev' is reserved"),
        ("in_distribution: {a/b: x.csv}", "The split name 'a/b' cannot be used: a name has 1 to 100 letters"),
        ("in_distribution: {a: x.csv}\nout_of_distribution: {A: y.csv}", "The split name 'a' is given twice"),
        ("in_distribution: {a: x.csv, a: y.csv}", "the key 'a' is written twice"),
        (
            "out_of_distribution: {a: {file: x.csv, map: {}}}",
            "out_of_distribution.a.map: unknown key. Known keys: label_map, file",
        ),
        ("text: [a, a]\nlabel: b", "is written twice"),
        ("id: [1", "is not valid YAML"),
    ],
)
def test_a_wrong_line_is_told(folder, line, said):
    base = {"text": "text: text", "label": "label: label", "train": "train: train.csv", "dev": "dev: dev.csv"}
    key = line.split(":")[0]
    spec = "\n".join([*(value for name, value in base.items() if name != key), line])
    problems = folder.problems(spec)
    assert any(said in problem for problem in problems), problems


def test_a_column_has_one_part_to_play():
    with pytest.raises(SuiteError, match="Column 'a' has two parts to play"):
        parse(SuiteSpec, {"text": "a", "label": "a", "train": "t", "dev": "d"}, what="It", error=SuiteError)


def test_python_users_may_write_numbers_as_labels_but_not_booleans():
    values = {"text": "a", "label": "b", "train": "t", "dev": "d"}
    assert parse(SuiteSpec, {**values, "labels": [0, 1]}, what="It").labels == ("0", "1")
    with pytest.raises(SuiteError, match=r"labels\.0: received True; it must be text"):
        parse(SuiteSpec, {**values, "labels": [True, False]}, what="It", error=SuiteError)


def test_a_missing_spec_and_a_wrong_name_are_told(tmp_path: Path):
    with pytest.raises(SuiteError, match=r"nowhere\.yaml cannot be read: No such file"):
        load_suite("fine", tmp_path / "nowhere.yaml")
    with pytest.raises(SuiteError, match="The suite name 'a b' cannot be used"):
        load_suite("a b", tmp_path / "nowhere.yaml")
    with pytest.raises(SuiteError, match="a path holds no NUL character"):
        load_suite("fine", "a\0b")
    (tmp_path / "bytes.yaml").write_bytes(b"text: \xff")
    with pytest.raises(SuiteError, match="is not UTF-8 text"):
        load_suite("fine", tmp_path / "bytes.yaml")
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(SuiteError, match="must be a mapping of keys to values; received None"):
        load_suite("fine", tmp_path / "empty.yaml")


def test_the_sample_spec_of_the_repository_is_the_one_that_is_written():
    assert (Path(__file__).parents[2] / "data" / "sample" / "spec.yaml").read_text() == SAMPLE_SPEC
