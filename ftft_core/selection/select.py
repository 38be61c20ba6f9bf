"""`select`: exactly the asked number of examples, by a strategy, as ids in file order or as a mask."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ftft_core.dynamics import BoolArray, IdArray, IntArray
from ftft_core.errors import InputError, one_of, unknown
from ftft_core.selection.filters import filter_mask
from ftft_core.selection.strategies import Strategy, columns_used, score_used, score_values, strategy_named

BALANCES = ("class",)

NEEDS_TWO_EPOCHS = ("variability", "adjusted_variability", "forgetting_events", "prediction_flips")
"""Scores that are 0 for every example after one epoch."""


def select(
    data_map: pd.DataFrame,
    strategy: str,
    fraction: float | None = None,
    *,
    balance: str | None = None,
    quotas: Mapping[str, int] | None = None,
    seed: int = 0,
    where: str | None = None,
    num_epochs: int | None = None,
) -> IdArray:
    """Choose examples of a data map.

    With a `fraction` the size is exactly `round(fraction * N)` (half to even), at least 1, where N is the number of
    examples that `where` leaves. With `balance="class"` every label gives the same share of its examples, so label
    proportions stay; shares are made whole by largest remainder, equal remainders by the label that comes first in
    the file. With `quotas` each named label gives exactly that many, and other labels none.

    :param strategy: a name out of `STRATEGIES`, or `top:SCORE`, `bottom:SCORE`, `stratified:SCORE`, `moderate:SCORE`.
    :param fraction: in (0, 1]; left out where `quotas` are given.
    :param seed: of the strategies that draw (`random`, `stratified`).
    :param where: a filter (see `filter_mask`), applied first.
    :param num_epochs: number of counted epochs behind the map; else read from `data_map.attrs`, where it is.
    :returns: (size,) example ids in file order; ties in a ranking go by file order.
    :raises InputError: for anything out of range, a filter that leaves nothing, or a score that cannot rank because
        the map rests on a single epoch (`ambiguous` then: all examples tie).
    """
    among = None if where is None else filter_mask(data_map, where)
    if among is not None and not among.any():
        raise InputError(
            f'The filter "{where}" leaves none of {len(data_map)} examples. There is nothing to select from.'
        )
    mask = select_mask(
        data_map, strategy, fraction, balance=balance, quotas=quotas, seed=seed, among=among, num_epochs=num_epochs
    )
    return np.asarray(data_map["example_id"].array[mask], dtype=object)


def select_mask(
    data_map: pd.DataFrame,
    strategy: str,
    fraction: float | None = None,
    *,
    balance: str | None = None,
    quotas: Mapping[str, int] | None = None,
    seed: int = 0,
    among: BoolArray | None = None,
    num_epochs: int | None = None,
) -> BoolArray:
    """(N,) the examples that `select` chooses, as a mask over the rows of the map.

    :param among: (N,) choose from these examples alone, and count the fraction of them; of all when left out.
    :raises InputError: as `select` does.
    """
    choose = strategy_named(strategy)
    if balance is not None and balance not in BALANCES:
        raise InputError(unknown("balance", balance, BALANCES))
    if (fraction is None) == (quotas is None):
        raise InputError(
            "A selection needs either a fraction or quotas; received " + ("none." if quotas is None else "both.")
        )
    if quotas is not None and balance is not None:
        raise InputError("Quotas already say how many each label gives; leave balance out.")
    _check_seed(seed)
    _check_can_rank(data_map, strategy, num_epochs)
    rows = None if among is None or among.all() else np.flatnonzero(among)
    num_rows = len(data_map) if rows is None else len(rows)
    if num_rows == 0:
        raise InputError("The data map is empty. There is nothing to select from.")
    # Only what the strategy looks at: taking rows of every column of a large map takes longer than choosing.
    used = [*columns_used(strategy), *(["label"] if quotas is not None or balance is not None else [])]
    for column in used:
        if column not in data_map.columns:
            raise InputError(unknown("column", column, data_map.columns))
    remaining = data_map[used] if rows is None else data_map[used].take(rows)
    generator = np.random.default_rng(seed)
    if quotas is None and balance is None:
        assert fraction is not None
        chosen = choose(remaining, resolve_size(fraction, num_rows), generator)
    else:
        chosen = _per_label(remaining, choose, generator, fraction=fraction, quotas=quotas)
    mask = np.zeros(len(data_map), dtype=bool)
    mask[chosen if rows is None else rows[chosen]] = True
    return mask


def resolve_size(fraction: float, num_examples: int) -> int:
    """Give the exact size of a selection: `round(fraction * num_examples)`, half to even, at least 1.

    :raises InputError: unless the fraction is a number in (0, 1].
    """
    if isinstance(fraction, bool) or not isinstance(fraction, (int, float, np.floating, np.integer)):
        raise InputError(f"fraction is {fraction!r}; it must be a number above 0 and at most 1.")
    if not (math.isfinite(fraction) and 0 < fraction <= 1):
        raise InputError(f"fraction is {fraction}; it must be above 0 and at most 1 (0.33 is a third).")
    return max(1, round(float(fraction) * num_examples))


def with_weights(example_ids: Sequence[str] | IdArray, weights: Sequence[float] | None = None) -> pd.DataFrame:
    """Lay ids out as the members of a subset: columns `example_id` and `weight` (1.0 when left out).

    :raises InputError: if the weights are not as many as the ids, or any is negative or not finite.
    """
    values = np.ones(len(example_ids)) if weights is None else np.asarray(weights, dtype=np.float64)
    if values.shape != (len(example_ids),):
        raise InputError(f"{values.size} weights were given for {len(example_ids)} examples; one each is needed.")
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise InputError("Weights must be finite and not negative (0 leaves an example out of the loss).")
    return pd.DataFrame({"example_id": pd.array(np.asarray(example_ids, dtype=object), dtype="str"), "weight": values})


def _check_seed(seed: int) -> None:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"seed is {seed!r}; it must be a whole number from 0 on.")


def _check_can_rank(data_map: pd.DataFrame, strategy: str, num_epochs: int | None) -> None:
    """Refuse a score that is 0 for every example because one epoch counted, or that is not known."""
    score = score_used(strategy)
    if score == "adjusted_variability" and bool(np.isnan(score_values(data_map, score)).all()):
        raise InputError(
            f"'{strategy}' needs to know in which batch each example was seen, which the dynamics of this run do not "
            "say: they were imported, averaged, or recorded by an older version. Train the reference again, or select "
            "by variability ('ambiguous')."
        )
    if score not in NEEDS_TWO_EPOCHS:
        return
    known = num_epochs if num_epochs is not None else len(data_map.attrs.get("counted_epochs", ())) or None
    # A map that does not say how many epochs it rests on (read back from a file) shows it by its zeros.
    ties = known == 1 or (known is None and bool((score_values(data_map, score) == 0).all()))
    if ties:
        raise InputError(
            f"'{strategy}' needs at least 2 counted epochs: with one, {score} is 0 for every example and all tie. "
            "Train the reference longer, or select by confidence ('hard', 'easy')."
        )


def _per_label(
    remaining: pd.DataFrame,
    choose: Strategy,
    generator: np.random.Generator,
    *,
    fraction: float | None,
    quotas: Mapping[str, int] | None,
) -> IntArray:
    """Positions in `remaining`, chosen label by label in the order in which the labels first occur."""
    codes, labels = _label_codes(remaining["label"])
    counts = np.bincount(codes, minlength=len(labels))
    if quotas is not None:
        sizes = _quota_sizes(quotas, dict(zip(labels, counts.tolist(), strict=True)))
    else:
        assert fraction is not None
        sizes = dict(zip(labels, largest_remainder(resolve_size(fraction, len(codes)), counts), strict=True))
    chosen = []
    for code, label in enumerate(labels):
        if sizes.get(label, 0) > 0:
            members = np.flatnonzero(codes == code)
            chosen.append(members[choose(remaining.iloc[members], sizes[label], generator)])
    return np.concatenate(chosen).astype(np.int64)


def _label_codes(column: pd.Series) -> tuple[IntArray, list[str]]:
    """(N,) the number of each example's label, and the labels in the order in which they first occur."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, found = pd.factorize(column.cat.codes.to_numpy())
        return codes, [str(label) for label in column.cat.categories[found]]
    codes, labels = pd.factorize(column)
    return codes, [str(label) for label in labels]


def largest_remainder(size: int, counts: IntArray) -> list[int]:
    """Share `size` out in proportion to `counts`, whole and summing to it."""
    total = int(counts.sum())
    # In whole numbers: remainders that are equal must compare equal.
    shares, remainders = np.divmod(counts.astype(np.int64) * size, total)
    for position in np.argsort(-remainders, kind="stable")[: size - int(shares.sum())]:
        shares[position] += 1
    return [int(share) for share in shares]


def _quota_sizes(quotas: Mapping[str, int], available: Mapping[str, int]) -> dict[str, int]:
    problems = []
    for label, count in quotas.items():
        if label not in available:
            problems.append(unknown("label", label, available))
        elif isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 0:
            problems.append(f"The quota of '{label}' is {count!r}; it must be a whole number from 0 on.")
        elif count > available[label]:
            problems.append(f"The quota of '{label}' is {count}, but only {available[label]} such examples remain.")
    if not problems and not sum(quotas.values()):
        problems.append(f"They ask for no example at all; give a count to one of: {one_of(available)}.")
    if problems:
        raise InputError("These quotas cannot be met.", problems)
    return {label: int(count) for label, count in quotas.items()}
