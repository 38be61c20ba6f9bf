"""Balancing labels: how many examples of each label to draw from a subset.

Each way takes the counts of the subset and of the whole training split, both for all labels of the suite in its
order, and gives the quotas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ftft_core.errors import InputError, one_of
from ftft_core.selection.select import largest_remainder


def equal(counts: Mapping[str, int], _: Mapping[str, int]) -> dict[str, int]:
    """As many of each label that is there as of the rarest.

    :raises InputError: when there is only one label.
    """
    present = {label: count for label, count in counts.items() if count}
    if len(present) < 2:
        raise InputError(
            f"All examples of this subset are labelled '{next(iter(present))}'; there is nothing to balance."
        )
    return dict.fromkeys(present, min(present.values()))


def like_suite(counts: Mapping[str, int], everything: Mapping[str, int]) -> dict[str, int]:
    """The shares of the whole training split, of as many examples as the scarcest label allows.

    The size is the largest whose every share is there, `size * everything[label] / N <= counts[label]`; shares are
    made whole by largest remainder, equal remainders by the suite's order of labels.

    :raises InputError: when a label of the training split is missing.
    """
    missing = [label for label, count in everything.items() if count and not counts[label]]
    if missing:
        raise InputError(
            f"This subset can't have the suite's shares: it has no example labelled {one_of(map(repr, missing))}. "
            "Balance it to equal shares, or start from a larger subset."
        )
    total = sum(everything.values())
    # In whole numbers: the largest size of which every label's share is there.
    size = min(counts[label] * total // count for label, count in everything.items() if count)
    shares = largest_remainder(size, np.array(list(everything.values()), dtype=np.int64))
    return dict(zip(everything, shares, strict=True))


BALANCE_WAYS: Mapping[str, Callable[[Mapping[str, int], Mapping[str, int]], dict[str, int]]] = {
    "equal": equal,
    "like-suite": like_suite,
}
"""Ways to balance labels: counts of the subset and of the training split in, how many of each label out."""
