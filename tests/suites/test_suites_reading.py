from __future__ import annotations

import gzip
import json

import pandas
import pytest

from ftft_core.errors import SuiteError
from ftft_core.suites import load_suite

from .conftest import DEV, SPEC, TRAIN

ROWS = [("good film", "positive"), ("bad film", "negative"), ("fine film", "positive"), ("poor film", "negative")]


def _frame() -> pandas.DataFrame:
    return pandas.DataFrame(ROWS, columns=["text", "label"])


def test_every_format_gives_the_same_content_and_fingerprint(folder):
    expected = folder.load()
    frame = _frame()
    lines = "\n".join(json.dumps({"label": label, "text": text}) for text, label in ROWS)
    folder.write("t.tsv", TRAIN.replace(",", "\t")).write("t.jsonl", lines).write(
        "t.csv.gz", gzip.compress(TRAIN.encode())
    )
    folder.write("t.json", json.dumps([{"text": text, "label": label} for text, label in ROWS]))
    folder.write("bom.csv", b"\xef\xbb\xbf" + TRAIN.replace("\n", "\r\n").encode())
    frame.to_parquet(folder.path / "t.parquet")
    for name in ("t.tsv", "t.jsonl", "t.csv.gz", "t.json", "bom.csv", "t.parquet"):
        suite = folder.load(SPEC.replace("train.csv", name))
        assert suite.train.examples["text"].tolist() == [text for text, _ in ROWS], name
        assert suite.fingerprint == expected.fingerprint, name


def test_a_csv_cell_is_text_as_written(folder):
    folder.write("train.csv", 'text,label\nNone,NA\n" NA ",null\nnull,NA\n"two\nlines",null\n01,NA\n')
    suite = folder.load(SPEC.replace("dev.csv", "{from: train, fraction: 0.4}"))
    both = pandas.concat([suite.train.examples, suite.dev.examples]).sort_values("example_id")
    assert both["text"].tolist() == ["None", " NA ", "null", "two\nlines", "01"]
    assert suite.labels == ("NA", "null")


def test_a_row_is_named_by_its_number_and_its_line(folder):
    folder.write("train.csv", 'text,label\n"a\nb",x\n\nfine,y\n"  ",x\nlast,\n')
    assert folder.problems() == [
        "train.csv, row 3 (line 7), column 'label': the label is empty; received ''.",
        "train.csv, row 2 (line 6), column 'text': the text is empty; received '  '.",
    ] + [
        f"dev.csv, row {row} (line {row + 2}), column 'label': the label '{word}' is none of the suite's labels (x, y)."
        for row, word in enumerate(["positive", "negative"])
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "train.csv: the file is empty"),
        (b"\xef\xbb\xbf \n", "train.csv: the file is empty"),
        (b"text,label\n", "train.csv: has a header but no rows."),
        (b"text,text,label\na,b,c\n", "train.csv: column names stand once each in the header; repeated: text."),
        (b"txt,label\na,b\n", "train.csv: There is no column 'text' (known: txt, label). Did you mean 'txt'?"),
        (b"text,label\na,x\nb\nc,y,z\n", "train.csv, row 1 (line 3): has 1 cells where the header has 2 columns."),
        (b"text,label\na,x\nb\nc,y,z\n", "train.csv, row 2 (line 4): has 3 cells where the header has 2 columns."),
        (b'text,label\na,x\n"b,y\nc,x\n', "train.csv, line 3: a quote is opened here and never closed."),
        (b'text,label\n"a"b,x\n', "train.csv, line 2: a quote ends inside its cell"),
        (
            b"text,label\na,x\ncaf\xe9,y\n",
            "train.csv, row 1 (line 3), column 'text': has bytes that are not UTF-8 (0xe9)",
        ),
        (b"\xff\xfet\x00", "train.csv: the file is UTF-16; save it as UTF-8."),
        (b"text,label\na\0b,x\nc,y\n", "train.csv, row 0 (line 2), column 'text': has a character that is no text"),
    ],
)
def test_a_broken_csv_file_is_told_with_its_place(folder, content, said):
    problems = folder.write("train.csv", content).problems()
    assert any(problem.startswith(said) for problem in problems), problems


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "t.jsonl: the file is empty"),
        ('{"text": "a", "label": 1}\n{"text": \n', "t.jsonl, row 1 (line 2): is not valid JSON"),
        ('{"text": "a", "label": 1}\n[1]\n', "t.jsonl, row 1 (line 2): is not a JSON object: [1]."),
        ('{"text": null, "label": 1}\n', "t.jsonl, row 0 (line 1), column 'text': the text is missing."),
        ('{"text": 5, "label": 1}\n', "t.jsonl, row 0 (line 1), column 'text': a text is needed; received 5."),
        ('{"text": "a", "label": [1]}\n', "t.jsonl, row 0 (line 1), column 'label': a label is a word; received [1]."),
        ('{"text": "a", "label": 0.5}\n', "t.jsonl, row 0 (line 1), column 'label': a label is a word; received 0.5."),
        ('{"text": "a", "label": null}\n', "t.jsonl, row 0 (line 1), column 'label': the label is missing."),
        (
            '{"text": "a\\ud800", "label": 1}\n',
            "t.jsonl, row 0 (line 1), column 'text': has a character that is no text",
        ),
        ('{"text": "a"}\n', "t.jsonl: There is no column 'label' (known: text)."),
        ('[{"text": "a"},]', "t.jsonl: is not valid JSON"),
    ],
)
def test_broken_json_lines_are_told_with_their_place(folder, content, said):
    problems = folder.write("t.jsonl", content).problems(SPEC.replace("train.csv", "t.jsonl"))
    assert any(problem.startswith(said) for problem in problems), problems


def test_bytes_that_are_not_utf8_in_json_lines_are_told(folder):
    folder.write("t.jsonl", b'{"text": "a", "label": 1}\n{"text": "\xe9", "label": 1}')
    assert folder.problems(SPEC.replace("train.csv", "t.jsonl"))[0].startswith(
        "t.jsonl, line 2: has bytes that are not"
    )


def test_labels_ids_and_groups_become_text(folder):
    frame = pandas.DataFrame(
        {"id": [7, 8, 9, 10], "text": list("abcd"), "label": [1.0, 0.0, 1.0, 0.0], "group": ["g", None, "", "h"]}
    )
    frame.to_parquet(folder.path / "t.parquet")
    lines = ['{"id": 1, "text": "x", "label": 0}', '{"id": "2", "text": "y", "label": 1, "group": 3}']
    folder.write("d.jsonl", "\n".join(lines))
    suite = folder.load("text: text\nlabel: label\nid: id\ngroup: group\ntrain: t.parquet\ndev: d.jsonl\n")
    assert suite.labels == ("0", "1")
    assert suite.train.examples["example_id"].tolist() == ["7", "8", "9", "10"]
    assert suite.train.examples["group"].tolist() == ["g", None, None, "h"]
    assert suite.dev.examples["group"].tolist() == [None, "3"]
    assert suite.dev.examples["text_pair"].tolist() == [None, None]


def test_a_corrupt_parquet_file_and_an_unknown_ending_are_told(folder):
    folder.write("t.parquet", b"PAR1 nothing").write("d.xlsx", b"")
    problems = folder.problems("text: text\nlabel: label\ntrain: t.parquet\ndev: d.xlsx\n")
    assert problems[0].startswith("t.parquet: is not a readable Parquet file: ")
    assert problems[1].startswith("d.xlsx: unknown kind of file; known endings: .csv, .tsv, .jsonl")


def test_a_missing_file_is_told_with_the_nearest(folder):
    problem = folder.problems(SPEC.replace("train.csv", "trian.csv"))[0]
    assert problem.startswith("trian.csv: the file does not exist in '")
    assert problem.endswith("Did you mean 'train.csv'?")


def test_a_file_that_may_not_be_read_is_told(folder, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    assert folder.problems()[0] == "train.csv: the file cannot be read: Permission denied."


def test_a_damaged_gzip_file_is_told(folder):
    folder.write("t.csv.gz", gzip.compress(TRAIN.encode())[:-12])
    assert folder.problems(SPEC.replace("train.csv", "t.csv.gz"))[0].startswith("t.csv.gz: the file cannot be read: ")


def test_a_glob_joins_files_in_sorted_order_and_names_the_file(folder):
    folder.write("parts/b.csv", "text,label\nthree,x\nfour,y\n").write("parts/a.csv", "text,label\none,x\ntwo,y\n")
    spec = "text: text\nlabel: label\ntrain: parts/*.csv\ndev: {from: train, fraction: 0.5}\n"
    suite = folder.load(spec)
    both = pandas.concat([suite.train.examples, suite.dev.examples]).sort_values("example_id")
    assert both["text"].tolist() == ["one", "two", "three", "four"]
    assert both["example_id"].tolist() == ["0", "1", "2", "3"]
    folder.write("parts/b.csv", "text,label\nthree,x\n,y\n")
    assert folder.problems(spec)[0].startswith("parts/b.csv, row 1 (line 3), column 'text': the text is empty")
    assert folder.problems(spec.replace("*.csv", "*.txt"))[0].startswith("parts/*.txt: no file matches this pattern")


def test_more_than_twenty_problems_of_a_kind_are_counted(folder):
    folder.write("train.csv", "text,label\n" + " ,positive\n" * 400 + "a,negative\n")
    problems = folder.problems()
    assert len(problems) == 21
    assert problems[-1] == "train.csv: ... and 380 more of this kind"


def test_a_tsv_file_without_quoting_keeps_its_quotes(folder):
    folder.write("t.tsv", 'text\tlabel\n"Hi" he said\tpositive\n"open\tnegative\nfine\tpositive\nclose"\tnegative\n')
    suite = folder.load(SPEC.replace("train.csv", "t.tsv"))
    assert suite.train.examples["text"].tolist() == ['"Hi" he said', '"open', "fine", 'close"']
    folder.write("t.tsv", 'text\tlabel\n"say ""hi"""\tpositive\n"a\nb"\tnegative\n')
    assert folder.load().train.examples["text"].tolist() == ['say "hi"', "a\nb"]


@pytest.fixture
def saved(folder, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder.path / "cache"))
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    values = {"text": ["a", "b", "c", "d"], "label": [1, 0, 1, 0]}
    return datasets, datasets.Dataset.from_dict(values, features=features)


def test_a_folder_of_datasets_is_read_with_the_names_of_its_classes(folder, saved):
    datasets, data = saved
    data.save_to_disk(str(folder.path / "one"))
    datasets.DatasetDict({"train": data, "validation": data.select([0, 1])}).save_to_disk(str(folder.path / "two"))
    data.to_parquet(str(folder.path / "p.parquet"))
    expected = folder.load("text: text\nlabel: label\ntrain: one\ndev: two?split=validation\n")
    assert expected.labels == ("neg", "pos")
    assert expected.train.examples["label"].tolist() == ["pos", "neg", "pos", "neg"]
    assert folder.load("text: text\nlabel: label\ntrain: p.parquet\ndev: two?split=validation\n").fingerprint == (
        expected.fingerprint
    )
    problems = folder.problems("text: text\nlabel: label\ntrain: two\ndev: two?split=valid\n")
    assert problems[0] == "two: has several splits (train, validation); add ?split=NAME."
    assert problems[1].startswith("two?split=valid: There is no split 'valid'")
    assert folder.problems("text: text\nlabel: label\ntrain: one?part=x\ndev: one\n")[0] == (
        "one?part=x: unknown option 'part'; known options: split, config, revision."
    )


def test_a_folder_with_the_layout_of_the_hub_is_read(folder, saved):
    folder.write("hub/train.csv", TRAIN).write("hub/validation.csv", DEV)
    suite = folder.load("text: text\nlabel: label\ntrain: hub?split=train\ndev: hub?split=validation\n")
    assert suite.fingerprint == folder.load(SPEC).fingerprint


def test_a_hub_that_cannot_be_reached_is_one_sentence(folder, saved, monkeypatch):
    def fail(path, **options):
        assert (path, options) == ("owner/data", {"name": "c", "split": "train", "revision": None})
        raise ConnectionError("Couldn't reach 'owner/data' on the Hub\nRetrying")

    monkeypatch.setattr(saved[0], "load_dataset", fail)
    assert folder.problems(SPEC.replace("train.csv", "hf://owner/data?split=train&config=c")) == [
        "hf://owner/data?split=train&config=c: cannot be loaded from the hub: Couldn't reach 'owner/data' on the Hub."
    ]


def test_an_ill_formed_name_on_the_hub_is_told(folder):
    for source in ("hf://", "hf://a/b/c", "hf://a b?split=train"):
        assert folder.problems(SPEC.replace("train.csv", f"'{source}'")) == [
            f"{source}: a data set on the hub is written hf://owner/name?split=train."
        ]


def test_the_folder_is_named_where_the_spec_lies_in_the_current_one(folder, monkeypatch):
    monkeypatch.chdir(folder.path)
    folder.write("spec.yaml", SPEC.replace("train.csv", "none.csv"))
    with pytest.raises(SuiteError) as caught:
        load_suite("small", "spec.yaml")
    assert caught.value.problems[0].startswith(f"none.csv: the file does not exist in '{folder.path.resolve()}'.")


def test_a_path_that_cannot_be_one_is_told(folder):
    (problem,) = folder.problems(SPEC.replace("train.csv", '"a\\0b"'))
    assert problem == "'a\\x00b': a path holds no NUL character."
    (problem,) = folder.problems(SPEC.replace("train.csv", "~no-such-user/a.csv"))
    assert problem.startswith("~no-such-user/a.csv: ")
