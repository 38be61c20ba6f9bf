from __future__ import annotations

import json

import pandas
import pytest

from ftft_core.errors import FingerprintError, NotFoundError, SuiteError
from ftft_core.suites import Suite, read_suite, write_suite
from ftft_core.suites.fingerprints import split_fingerprint
from ftft_core.suites.suite import COLUMNS

from .conftest import SPEC

FAR = SPEC + "out_of_distribution: {far: {file: far.csv, group: kind, label_map: {some: [positive, neutral]}}}\n"
FAR += "labels: [positive, neutral, negative]\n"


@pytest.fixture
def suite(folder) -> Suite:
    folder.write("far.csv", "text,label,kind\né\U0001f600,some,g\ny,negative,\n")
    return folder.load(FAR)


def _examples(**changes: list[str | None]) -> pandas.DataFrame:
    values = {"example_id": ["0", "1"], "text": ["ab", "c"], "text_pair": [None, None], "label": ["x", "y"]}
    return pandas.DataFrame({"group": [None, None], **values, **changes}, dtype=object)[list(COLUMNS)]


def test_any_change_of_the_content_changes_the_fingerprint():
    contents = [
        split_fingerprint("t", "train", None, _examples()),
        split_fingerprint("u", "train", None, _examples()),
        split_fingerprint("t", "dev", None, _examples()),
        split_fingerprint("t", "train", {"z": ("x", "y")}, _examples()),
        split_fingerprint("t", "train", None, _examples(text=["a", "bc"])),
        split_fingerprint("t", "train", None, _examples(example_id=["1", "0"])),
        split_fingerprint("t", "train", None, _examples(label=["y", "x"])),
        split_fingerprint("t", "train", None, _examples(group=["", None])),
        split_fingerprint("t", "train", None, _examples(text_pair=["g", None])),
        split_fingerprint("t", "train", None, _examples(group=["g", None])),
        split_fingerprint("t", "train", None, _examples().iloc[::-1]),
    ]
    assert len(set(contents)) == len(contents)
    assert all(len(content) == 64 for content in contents)


def test_a_new_test_split_leaves_the_training_fingerprint(folder, suite):
    alone = folder.load(SPEC + "labels: [positive, neutral, negative]\n")
    assert alone.fingerprint != suite.fingerprint
    assert alone.training_fingerprint == suite.training_fingerprint
    reordered = folder.load(SPEC + "labels: [negative, neutral, positive]\n")
    assert reordered.training_fingerprint != alone.training_fingerprint


def test_what_is_written_is_read_back(suite, tmp_path):
    target = write_suite(suite, tmp_path / "deep" / "canonical")
    again = read_suite(target)
    assert (again.name, again.labels, again.warnings) == (suite.name, suite.labels, suite.warnings)
    assert (again.fingerprint, again.training_fingerprint) == (suite.fingerprint, suite.training_fingerprint)
    for split in suite.splits:
        pandas.testing.assert_frame_equal(again.split(split.name).examples, split.examples)
        assert again.split(split.name).label_map == split.label_map
    assert sorted(path.name for path in target.parent.iterdir()) == ["canonical"]  # nothing temporary is left
    assert write_suite(suite, target) == target


def test_some_splits_can_be_read_alone(suite, tmp_path):
    target = write_suite(suite, tmp_path / "canonical")
    (target / "far.parquet").unlink()
    part = read_suite(target, splits=["dev", "train"])
    assert [split.name for split in part.splits] == ["train", "dev"]
    assert part.fingerprint == suite.fingerprint
    with pytest.raises(NotFoundError, match="There is no split 'near'"):
        read_suite(target, splits=["near"])
    with pytest.raises(FingerprintError, match=r"is damaged: far\.parquet cannot be read"):
        read_suite(target)
    with pytest.raises(SuiteError, match="read without its train split cannot be written"):
        write_suite(read_suite(target, splits=["dev"]), tmp_path / "other")


def test_changed_data_are_refused(suite, tmp_path):
    target = write_suite(suite, tmp_path / "canonical")
    frame = pandas.read_parquet(target / "dev.parquet")
    frame.assign(label=frame["label"].iloc[::-1].to_numpy()).to_parquet(target / "dev.parquet")
    with pytest.raises(FingerprintError, match=r"The split 'dev' in .* differs from what was recorded"):
        read_suite(target)
    header = json.loads((target / "suite.json").read_text())
    (target / "suite.json").write_text(json.dumps({**header, "labels": header["labels"][::-1]}))
    with pytest.raises(FingerprintError, match=r"suite\.json does not match its own fingerprint"):
        read_suite(target)
    (target / "suite.json").write_text(json.dumps({**header, "format": 9}))
    with pytest.raises(FingerprintError, match="has the format 9; this version reads format 1"):
        read_suite(target)
    (target / "suite.json").write_text("{")
    with pytest.raises(FingerprintError, match=r"is damaged: suite\.json cannot be read"):
        read_suite(target)


def test_a_folder_that_is_missing_or_taken_is_told(suite, folder, tmp_path):
    with pytest.raises(NotFoundError, match=r"There is no suite in .*: suite\.json is missing"):
        read_suite(tmp_path / "nowhere")
    target = write_suite(suite, tmp_path / "canonical")
    with pytest.raises(SuiteError, match="exists and holds something else"):
        write_suite(folder.load(SPEC), target)
    assert read_suite(target).fingerprint == suite.fingerprint
    with pytest.raises(SuiteError, match="cannot be written to"):
        write_suite(suite, tmp_path / "train.csv" / "canonical")
