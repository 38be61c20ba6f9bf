"""A spec or data frames to a suite: read every source, check everything, report all problems together.

Owns the order of the steps. Reading is `reading`, cells are `columns`, checks across rows are `validation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pandas

from ftft_core.config import parse
from ftft_core.errors import SuiteError
from ftft_core.suites import columns, fingerprints, validation
from ftft_core.suites.problems import Problems
from ftft_core.suites.reading import Table, read_source, table_of_frame
from ftft_core.suites.spec import DevSpec, SourceSpec, SpecText, SuiteSpec, TestSourceSpec, read_spec
from ftft_core.suites.suite import COLUMNS, DEV, IN_DISTRIBUTION, OUT_OF_DISTRIBUTION, TRAIN, Split, Suite, name_problem


@dataclass(frozen=True)
class _Raw:
    """A split that is read but not yet checked."""

    name: str
    role: str
    table: Table | None
    texts: tuple[str, ...]
    label: str
    id: str | None
    group: str | None
    label_map: dict[str, tuple[str, ...]] | None


def load_suite(
    name: str,
    spec: str | Path | SpecText,
    *,
    drop_leaked: bool = False,
    on_step: Callable[[str], None] | None = None,
) -> Suite:
    """Read a suite from its spec.

    :param name: under which the workspace will know it.
    :param spec: a YAML file, the paths in which are relative to its folder; or the text of one.
    :param drop_leaked: take texts that also stand in another split out of training; a warning says how many.
    :param on_step: is told in words what is done next.
    :raises SuiteError: with every problem of the spec, or else with every problem of all files.
    """
    given = spec if isinstance(spec, SpecText) else Path(spec)
    tell = on_step or _tell_nobody
    problems = Problems()
    _check_name(name, problems)
    try:
        read = read_spec(given)
    except SuiteError as failure:
        if problems:
            raise SuiteError(failure.message, [*problems.sentences, *failure.problems]) from None
        raise
    folder = given.folder if isinstance(given, SpecText) else given.parent
    sources = _sources(read)
    raws = []
    for number, (split, role, source) in enumerate(sources, start=1):
        tell(f"Reading {source.file} ({number} of {len(sources)})")
        raws.append(_read(read, split, role, source, folder, problems))
    tell(f"Checking {sum(raw.table.num_rows for raw in raws if raw.table is not None):,} examples")
    return _assemble(name, raws, read.dev, read.labels, problems, drop_leaked=drop_leaked)


def _tell_nobody(step: str) -> None:
    """Let a step pass in silence."""


def suite_from_frames(
    name: str,
    training: Mapping[str, pandas.DataFrame],
    in_distribution: Mapping[str, pandas.DataFrame],
    out_of_distribution: Mapping[str, pandas.DataFrame],
    *,
    columns: Mapping[str, Any],
    labels: Sequence[str] | None,
    label_maps: Mapping[str, Mapping[str, Sequence[str]]],
    drop_leaked: bool,
) -> Suite:
    """Build what `Suite.from_frames` documents."""
    problems = Problems()
    _check_name(name, problems)

    def described(frames: Mapping[str, pandas.DataFrame]) -> dict[str, dict[str, Any]]:
        sources: dict[str, dict[str, Any]] = {}
        for split, frame in frames.items():
            source: dict[str, Any] = {"file": f"data frame '{split}'"}
            if columns["group"] is not None and columns["group"] not in frame.columns:
                source["group"] = None
            if split in label_maps:
                source["label_map"] = {key: list(members) for key, members in label_maps[split].items()}
            sources[split] = source
        return sources

    for split in label_maps:
        if split not in in_distribution and split not in out_of_distribution:
            problems.add(f"label_maps: there is no test split '{split}'.")
    values = {
        **{key: value if key != "text" or isinstance(value, str) else list(value) for key, value in columns.items()},
        "labels": None if labels is None else list(labels),
        **described(training),
        IN_DISTRIBUTION: described(in_distribution),
        OUT_OF_DISTRIBUTION: described(out_of_distribution),
    }
    spec = parse(SuiteSpec, values, what=f"The suite '{name}'", error=SuiteError)
    frames = {**training, **in_distribution, **out_of_distribution}
    raws = []
    for split, role, source in _sources(spec):
        texts, label, id_column, group = _columns_of(spec, source)
        wanted = [column for column in (*texts, label, id_column, group) if column is not None]
        table = table_of_frame(f"data frame '{split}'", frames[split], wanted, problems)
        raws.append(_Raw(split, role, table, texts, label, id_column, group, getattr(source, "label_map", None)))
    return _assemble(name, raws, spec.dev, spec.labels, problems, drop_leaked=drop_leaked)


def _check_name(name: str, problems: Problems) -> None:
    problem = name_problem("suite", name)
    if problem:
        problems.add(problem)


def sources_of(spec: SuiteSpec) -> list[str]:
    """Give the files, globs, folders and hub names that a suite is read from, each once, as the spec writes them."""
    return list(dict.fromkeys(str(source.file) for _, _, source in _sources(spec)))


def _sources(spec: SuiteSpec) -> list[tuple[str, str, SourceSpec]]:
    """Name, role and source of every split that is read; a dev split cut from the training rows is not."""
    tests: list[tuple[str, str, TestSourceSpec]] = [
        *((name, IN_DISTRIBUTION, source) for name, source in spec.in_distribution.items()),
        *((name, OUT_OF_DISTRIBUTION, source) for name, source in spec.out_of_distribution.items()),
    ]
    own_dev = [(DEV, DEV, spec.dev)] if spec.dev.file is not None else []
    return [(TRAIN, TRAIN, spec.train), *own_dev, *tests]


def _columns_of(spec: SuiteSpec, source: SourceSpec) -> tuple[tuple[str, ...], str, str | None, str | None]:
    """Columns of a source: its own, else the suite's; a written null means none."""
    given = source.model_fields_set
    return (
        source.text or spec.text,
        source.label or spec.label,
        source.id if "id" in given else spec.id,
        source.group if "group" in given else spec.group,
    )


def _read(spec: SuiteSpec, name: str, role: str, source: SourceSpec, folder: Path, problems: Problems) -> _Raw:
    texts, label, id_column, group = _columns_of(spec, source)
    if len(texts) != len(spec.text):
        problems.add(
            f"split '{name}': has {len(texts)} text column{'s' * (len(texts) > 1)} "
            f"where the suite has {len(spec.text)}."
        )
    wanted = [column for column in (*texts, label, id_column, group) if column is not None]
    table = read_source(str(source.file), folder, wanted, problems)
    return _Raw(name, role, table, texts, label, id_column, group, getattr(source, "label_map", None))


def _assemble(
    name: str,
    raws: Sequence[_Raw],
    dev: DevSpec,
    labels: tuple[str, ...] | None,
    problems: Problems,
    *,
    drop_leaked: bool,
) -> Suite:
    """Check the raw splits against each other and make the suite."""
    label_words = {
        raw.name: columns.label_values(raw.table, raw.label, problems) for raw in raws if raw.table is not None
    }
    if labels is None and raws[0].table is not None:
        labels = validation.training_labels(raws[0].table, raws[0].label, label_words[TRAIN], problems)
    frames: dict[str, pandas.DataFrame] = {}
    for raw in raws:
        if raw.label_map and labels is not None:
            validation.check_label_map(raw.name, raw.label_map, labels, problems)
        if raw.table is not None:
            frames[raw.name] = _examples(raw, raw.table, label_words[raw.name], labels, problems)
    for raw in raws:
        if raw.name in (TRAIN, DEV) and raw.table is not None:
            validation.check_two_labels(raw.table.name, label_words[raw.name], problems)
    _raise_if_any(name, problems)
    assert labels is not None
    if dev.file is None:
        frames = _with_dev_set_aside(frames, dev, labels)
    warnings: list[str] = []
    keys = {split: validation.text_keys(examples) for split, examples in frames.items()}
    if drop_leaked:
        leaked = validation.leaked_rows(keys)
        if leaked.any():
            warnings.append(
                f"{int(leaked.sum()):,} of the {len(leaked):,} training examples were left out, because their text "
                "also stands in another split."
            )
            frames[TRAIN] = frames[TRAIN][~leaked].reset_index(drop=True)
            keys[TRAIN] = keys[TRAIN][~leaked].reset_index(drop=True)
    for split in (TRAIN, DEV):
        if len(frames[split]) == 0:
            problems.add(f"split '{split}': no example is left.")
        else:
            validation.check_two_labels(f"split '{split}'", frames[split]["label"], problems)
    _raise_if_any(name, problems)
    warnings += validation.leak_warnings(keys)
    described = {raw.name: raw for raw in raws}
    splits = []
    for split, examples in frames.items():
        role, label_map = (described[split].role, described[split].label_map) if split in described else (DEV, None)
        fingerprint = fingerprints.split_fingerprint(split, role, label_map, examples)
        splits.append(Split(split, role, examples, label_map, fingerprint))
    warnings += validation.split_warnings(splits, labels, keys[TRAIN])
    by_name = {split.name: split.fingerprint for split in splits}
    return Suite(
        name=name,
        labels=labels,
        splits=tuple(splits),
        fingerprint=fingerprints.suite_fingerprint(labels, by_name),
        training_fingerprint=fingerprints.training_fingerprint(labels, by_name),
        warnings=tuple(warnings),
    )


def _raise_if_any(name: str, problems: Problems) -> None:
    if problems:
        count = len(problems.sentences)
        raise SuiteError(f"The suite '{name}' has {count} problem{'s' * (count != 1)}.", problems.sentences)


def _examples(
    raw: _Raw, table: Table, label_words: list[str], labels: Sequence[str] | None, problems: Problems
) -> pandas.DataFrame:
    """Canonical columns of one split; what is wrong with it goes into `problems`."""
    values: dict[str, list[Any]] = {
        "example_id": columns.id_values(table, raw.id, problems),
        "text": columns.text_values(table, raw.texts[0], problems),
        "text_pair": [None] * table.num_rows,
        "label": label_words,
        "group": columns.group_values(table, raw.group, problems),
    }
    if len(raw.texts) == 2:
        values["text_pair"] = columns.text_values(table, raw.texts[1], problems)
    if labels is not None:
        values["label"] = validation.checked_labels(table, raw.label, label_words, labels, raw.label_map, problems)
    return pandas.DataFrame({name: pandas.Series(values[name], dtype=object) for name in COLUMNS})


def _with_dev_set_aside(
    frames: dict[str, pandas.DataFrame], dev: DevSpec, labels: Sequence[str]
) -> dict[str, pandas.DataFrame]:
    """Move a stratified share of the training rows to `dev`; both keep the file's order and ids."""
    train = frames[TRAIN]
    is_dev = stratified_rows(train["label"].to_numpy(), labels, dev.fraction, dev.seed)
    tests = {name: examples for name, examples in frames.items() if name != TRAIN}
    return {
        TRAIN: train[~is_dev].reset_index(drop=True),
        DEV: train[is_dev].reset_index(drop=True),
        **tests,
    }


def stratified_rows(values: numpy.ndarray, labels: Sequence[str], fraction: float, seed: int) -> numpy.ndarray:
    """Choose rows (bool, one per row) so that every label has nearly the same share of them.

    Exactly `round(fraction * N)` rows (half to even), but at least 1 and at most N - 1; what a label's share leaves
    over goes by largest remainder, ties to the label that stands first in `labels`.
    """
    num_rows = len(values)
    num_chosen = min(max(round(fraction * num_rows), 1), num_rows - 1)
    rows_of = [numpy.flatnonzero(values == label) for label in labels]
    exact = numpy.array([num_chosen * len(rows) / num_rows for rows in rows_of])
    quotas = numpy.floor(exact).astype(int)
    by_remainder = numpy.argsort(quotas - exact, kind="stable")
    quotas[by_remainder[: num_chosen - int(quotas.sum())]] += 1
    random = numpy.random.default_rng(seed)
    chosen = numpy.zeros(num_rows, dtype=bool)
    for rows, quota in zip(rows_of, quotas, strict=True):
        chosen[random.permutation(rows)[:quota]] = True
    return chosen
