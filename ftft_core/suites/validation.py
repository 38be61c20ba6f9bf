"""What makes splits a suite: labels that agree, label maps that cover, and the doubts that are told as warnings.

Owns the checks across rows and across splits. A single cell is `columns`' business; names and keys are `spec`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy
import pandas

from ftft_core.errors import one_of, unknown
from ftft_core.suites.problems import Problems, shown
from ftft_core.suites.reading import Table
from ftft_core.suites.suite import DEV, TRAIN, Split

IMBALANCE_SHARE = 0.8
"""Share of the training examples above which the largest label is warned of: predicting it alone scores as much."""

MAX_UNLISTED_LABELS_SHARE = 0.5
"""Distinct labels per training row above which an unlisted label column is taken for the wrong column."""

LabelMap = Mapping[str, Sequence[str]]


def training_labels(table: Table, column: str, values: list[str], problems: Problems) -> tuple[str, ...]:
    """Sorted distinct labels of the training file, for a spec that lists none."""
    labels = tuple(sorted({value for value in values if value.strip()}))
    if len(labels) > 20 and len(labels) > MAX_UNLISTED_LABELS_SHARE * table.num_rows:
        problems.add(
            f"{table.name}: column '{column}' has {len(labels):,} distinct labels in {table.num_rows:,} rows; "
            "choose the column of the labels, or list them under 'labels'."
        )
    return labels


def check_label_map(split: str, label_map: LabelMap, labels: Sequence[str], problems: Problems) -> None:
    """Check that a map merges labels of the suite, each into one coarser label, and leaves at least two."""
    owner: dict[str, str] = {}
    for coarse, members in label_map.items():
        for member in members:
            if member not in labels:
                problems.add(f"split '{split}', label_map '{coarse}': {unknown('label', member, labels)}")
            elif member in owner:
                problems.add(
                    f"split '{split}', label_map: the label '{member}' is listed twice, under '{owner[member]}' and "
                    f"'{coarse}'; a label is merged into one coarser label at most."
                )
            else:
                owner[member] = coarse
    for coarse in label_map:
        if coarse in labels and owner.get(coarse) != coarse:
            problems.add(
                f"split '{split}', label_map: '{coarse}' is a label of the suite and stands for itself; "
                f"list it under '{coarse}' too, or give the coarser label another name."
            )
    if len(classes_of(labels, label_map)) < 2:
        problems.add(f"split '{split}', label_map: merges all labels into one; at least two must remain.")


def classes_of(labels: Sequence[str], label_map: LabelMap | None) -> tuple[str, ...]:
    """Labels that a split can have: the map's coarser labels in place of what they merge, in the labels' order."""
    owner = {member: coarse for coarse, members in (label_map or {}).items() for member in members}
    return tuple(dict.fromkeys(owner.get(label, label) for label in labels))


def checked_labels(
    table: Table,
    column: str,
    values: list[str],
    labels: Sequence[str],
    label_map: LabelMap | None,
    problems: Problems,
) -> list[str]:
    """Labels as the split's own classes: with a label map, a label that it merges becomes the coarser one."""
    owner = {member: coarse for coarse, members in (label_map or {}).items() for member in members}
    allowed = {*labels, *(label_map or {})}
    strange = {value for value in set(values) - allowed if value.strip()}  # an empty cell is reported already
    if strange:
        rows = [row for row, value in enumerate(values) if value in strange]
        known = classes_of(labels, label_map)
        problems.add_rows(
            table.parts,
            rows,
            column,
            lambda row: f"the label {shown(values[row])} is none of the suite's labels ({one_of(known)}).",
        )
    return [owner.get(value, value) for value in values] if owner else values


def check_two_labels(name: str, values: Sequence[str], problems: Problems) -> None:
    """Check that a split to train on or to choose by has two labels at least."""
    present = sorted(set(values))
    if len(present) == 1:
        problems.add(f"{name}: every row has the label '{present[0]}'; at least two labels are needed.")


def text_keys(examples: pandas.DataFrame) -> pandas.Series:
    """One str per example that two examples share exactly if their texts have the same letters in the same words.

    Only white space is set aside, runs of it and at the ends: no model reads it, and files often differ in it.
    """
    keys = [" ".join(text.split()) for text in examples["text"]]
    if examples["text_pair"].notna().any():
        pairs = [" ".join(text.split()) for text in examples["text_pair"]]
        keys = [f"{text}\0{pair}" for text, pair in zip(keys, pairs, strict=True)]  # no text holds NUL
    return pandas.Series(keys, dtype=object)


def leaked_rows(keys: Mapping[str, pandas.Series]) -> numpy.ndarray:
    """Which training rows (bool, one per row) have a text that stands in any of the other splits.

    :param keys: `text_keys` of every split.
    """
    seen = {key for name, others in keys.items() if name != TRAIN for key in others}
    return numpy.asarray(keys[TRAIN].isin(seen), dtype=bool)


def leak_warnings(keys: Mapping[str, pandas.Series]) -> list[str]:
    """One sentence per split with texts that stand in the training data letter for letter.

    :param keys: `text_keys` of every split.
    """
    seen = set(keys[TRAIN])
    warnings = []
    for name, others in keys.items():
        num_leaked = int(others.isin(seen).sum()) if name != TRAIN else 0
        if num_leaked:
            warnings.append(
                f"{num_leaked:,} of the {len(others):,} examples of '{name}' stand in the training data letter for "
                "letter (white space aside), so its scores may be too high."
            )
    return warnings


def split_warnings(splits: Sequence[Split], labels: Sequence[str], train_keys: pandas.Series) -> list[str]:
    """Doubts about the splits: repeated and contradicting texts, labels that are missing or too frequent."""
    warnings: list[str] = []
    if all(split.name in (TRAIN, DEV) for split in splits):
        warnings.append("There is no test split: a comparison on this suite will have dev only.")
    for split in splits:
        counts = Counter(split.examples["label"])
        if split.name == TRAIN:
            warnings += _training_warnings(split.examples, counts, labels, train_keys)
            continue
        if len(counts) == 1:
            warnings.append(
                f"Every example of '{split.name}' has the label '{next(iter(counts))}', "
                "so macro-F1 is of one label only."
            )
        for coarse in split.label_map or {}:
            if coarse not in counts:
                warnings.append(f"The label map of '{split.name}' has the label '{coarse}', but no example has it.")
    return warnings


def _training_warnings(
    examples: pandas.DataFrame, counts: Counter[str], labels: Sequence[str], keys: pandas.Series
) -> list[str]:
    warnings = []
    num_examples = len(examples)
    repeated = keys.duplicated(keep=False)
    num_repeats = int(keys.duplicated().sum())
    if num_repeats:
        warnings.append(f"{num_repeats:,} of the {num_examples:,} training examples repeat the text of an earlier one.")
        repeats = pandas.DataFrame({"key": keys[repeated], "label": examples["label"][repeated]})
        num_labels = repeats.drop_duplicates().groupby("key", sort=False).size()
        num_conflicts = int((num_labels > 1).sum())
        if num_conflicts:
            said = "text stands" if num_conflicts == 1 else "texts stand"
            warnings.append(f"{num_conflicts:,} training {said} there with more than one label.")
    for label in labels:
        if label not in counts:
            warnings.append(f"The label '{label}' is listed, but no training example has it.")
    largest, count = counts.most_common(1)[0]
    if count > IMBALANCE_SHARE * num_examples:
        warnings.append(
            f"{count / num_examples:.1%} of the training examples have the label '{largest}' "
            f"(more than {IMBALANCE_SHARE:.0%}): look at macro-F1 beside accuracy."
        )
    return warnings
