"""What a selection is made of, against the rest: labels, groups, predictions, lengths."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ftft_core.dynamics import BoolArray
from ftft_core.profile.masks import checked_mask

MOST_LABELS = 12
"""Labels that the table of given against predicted labels shows; what remains is one more row and column."""

QUANTILES = {"p05": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}


def shares(values: pd.Series, mask: BoolArray) -> pd.DataFrame:
    """Share of each label (or group, or predicted label) in the selection and in the rest.

    :param values: (N,) best categorical: every category has a row, in their order, also where none is selected.
    :returns: columns `value`, `num_selected`, `num_rest`, `share_selected` and `share_rest` (of those that have a
        value, in [0, 1]; nan where there are none), `lift` (their ratio: 2 is twice as many as in the rest; inf where
        the rest has none). No row where all values are missing.
    """
    mask = checked_mask(mask, len(values))
    values = values if isinstance(values.dtype, pd.CategoricalDtype) else values.astype("category")
    codes = values.cat.codes.to_numpy()
    size = len(values.cat.categories)
    everything = _counts(codes, size)
    selected = _counts(codes.take(np.flatnonzero(mask)), size)
    if not everything.any():
        selected = everything = everything[:0]
    share_selected, share_rest = _share(selected), _share(everything - selected)
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = share_selected / share_rest
    return pd.DataFrame(
        {
            "value": [str(value) for value in values.cat.categories[: len(everything)]],
            "num_selected": selected,
            "num_rest": everything - selected,
            "share_selected": share_selected,
            "share_rest": share_rest,
            "lift": lift,
        }
    )


def given_against_predicted(
    label: pd.Series, predicted_label: pd.Series, mask: BoolArray, *, limit: int = MOST_LABELS
) -> pd.DataFrame:
    """Count selected examples by given (row) and predicted (column) label.

    :param label: (N,) categorical; `predicted_label` likewise, its categories among those of `label`.
    :param limit: the most frequent labels that keep a row of their own, in the labels' order; the others are added
        up in a last row and column named by their number, such as "138 others".
    :returns: square frame of counts; the index is named `label`, the columns `predicted_label`.
    """
    mask = checked_mask(mask, len(label))
    label = label if isinstance(label.dtype, pd.CategoricalDtype) else label.astype("category")
    names = [str(name) for name in label.cat.categories]
    size = len(names)
    rows = np.flatnonzero(mask)
    given = label.cat.codes.to_numpy().take(rows).astype(np.int64)
    predicted = same_codes(predicted_label, label).take(rows).astype(np.int64)
    is_known = (given >= 0) & (predicted >= 0)
    table = np.bincount(given[is_known] * size + predicted[is_known], minlength=size * size).reshape(size, size)
    if size > limit:
        frequent = np.argsort(-(table.sum(axis=0) + table.sum(axis=1)), kind="stable")[:limit]
        place = np.full(size, limit)
        place[np.sort(frequent)] = np.arange(limit)
        folded = np.zeros((limit + 1, limit + 1), dtype=np.int64)
        np.add.at(folded, (place[:, None], place[None, :]), table)
        table = folded
        names = [*(names[index] for index in np.sort(frequent)), f"{size - limit} others"]
    return pd.DataFrame(
        table, index=pd.Index(names, name="label"), columns=pd.Index(names, name="predicted_label"), dtype=np.int64
    )


def length_quantiles(num_words: npt.NDArray[np.integer], mask: BoolArray) -> pd.DataFrame:
    """Quantiles of the text length in words (both texts of a pair together).

    :returns: rows `selected` and `rest`; columns `num_examples`, `p05`, `p25`, `median`, `p75`, `p95` (nan where there
        is no example).
    """
    mask = checked_mask(mask, len(num_words))
    sides = {"selected": num_words.take(np.flatnonzero(mask)), "rest": num_words.take(np.flatnonzero(~mask))}
    return pd.DataFrame(
        {
            name: {"num_examples": len(some), **dict(zip(QUANTILES, _quantiles(some), strict=True))}
            for name, some in sides.items()
        }
    ).T.astype({"num_examples": np.int64})


def same_codes(values: pd.Series, like: pd.Series) -> npt.NDArray[np.integer]:
    """Give the codes of a column in the categories of another; -1 where there is none."""
    if isinstance(values.dtype, pd.CategoricalDtype) and values.cat.categories.equals(like.cat.categories):
        return np.asarray(values.cat.codes)
    return np.asarray(pd.Categorical(values.astype(object), categories=like.cat.categories).codes)


def _counts(codes: npt.NDArray[np.integer], size: int) -> npt.NDArray[np.int64]:
    # A missing value has the code -1.
    return np.bincount(codes.astype(np.int64) + 1, minlength=size + 1)[1:]


def _share(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    total = counts.sum()
    return counts / total if total else np.full(len(counts), np.nan)


def _quantiles(values: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    shares_ = list(QUANTILES.values())
    return np.quantile(values, shares_) if len(values) else np.full(len(shares_), np.nan)
