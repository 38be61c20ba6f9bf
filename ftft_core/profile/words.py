"""The words that set a selection apart: log-odds ratios with an informative Dirichlet prior.

Monroe, Colaresi and Quinn 2008, "Fightin' Words", equations 16 and 22: the log-odds of a word in the selection less
those in the rest, both drawn towards the word's share of everything, divided by their standard deviation. Counts are
document frequencies (in how many examples a word is), so that one example that repeats a word counts once.

The prior's weight is the paper's alpha_0, spread over the words by their share of everything. The paper sets it to
500 words, about a speech; a selection here may have three examples or 900,000. So it is as large as the smaller side,
and at least 1 % of everything: then neither side drowns in it, and random selections of a million examples have no
word beyond 4.3.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ftft_core.dynamics import BoolArray, IntArray
from ftft_core.errors import InputError
from ftft_core.profile.masks import checked_mask
from ftft_core.profile.tokens import WordIndex

LEAST_PRIOR_SHARE = 0.01

LEAST_Z = 3.0
"""With thousands of words, chance alone makes some that are nearer to 0 than this."""

COLUMNS = ["word", "num_selected", "num_rest", "share_selected", "share_rest", "log_odds", "z"]


def distinctive_words(
    index: WordIndex,
    mask: BoolArray,
    *,
    positions: IntArray | None = None,
    limit: int | None = 10,
    prior: float | None = None,
    least_z: float = LEAST_Z,
) -> pd.DataFrame:
    """Words that are more, and less, common in the selection than in the rest.

    :param mask: (M,) over the rows of a map.
    :param positions: (M,) their rows in the training split; left out where the map has all of its examples.
    :param limit: at most this many words in each direction; all when null.
    :param prior: weight of the prior in word occurrences; see above when null.
    :param least_z: words whose z is nearer to 0 are left out.
    :returns: columns `word`, `num_selected`, `num_rest` (examples that hold it), `share_selected`, `share_rest` (of
        the examples, in [0, 1]), `log_odds` (delta, equation 16: above 0 is more common in the selection), `z`
        (equation 22), by falling z: first the words of the selection, last those that it lacks. Empty where there is
        no selection or no rest.
    :raises InputError: for a prior that is not positive, or positions that do not go with the mask.
    """
    if prior is not None and not prior > 0:
        raise InputError(f"prior: received {prior}; the weight of the prior must be above 0.")
    mask = checked_mask(mask, index.num_examples if positions is None else len(positions))
    selected, everything = _word_counts(index, mask, positions)
    rest = everything - selected
    in_selection, in_rest = int(selected.sum()), int(rest.sum())
    if not in_selection or not in_rest:
        return pd.DataFrame({name: pd.Series(dtype=object if name == "word" else np.float64) for name in COLUMNS})
    total = in_selection + in_rest
    weight = prior if prior is not None else max(min(in_selection, in_rest), LEAST_PRIOR_SHARE * total)
    present = np.flatnonzero(everything)
    y_selected, y_rest = selected[present], rest[present]
    alpha = weight * everything[present] / total
    log_odds = np.log((y_selected + alpha) / (in_selection + weight - y_selected - alpha)) - np.log(
        (y_rest + alpha) / (in_rest + weight - y_rest - alpha)
    )
    z = log_odds / np.sqrt(1 / (y_selected + alpha) + 1 / (y_rest + alpha))
    chosen = _ends(z, limit, least_z)
    num_selected = int(mask.sum())
    return pd.DataFrame(
        {
            "word": [index.vocabulary[place] for place in present[chosen]],
            "num_selected": y_selected[chosen],
            "num_rest": y_rest[chosen],
            "share_selected": y_selected[chosen] / num_selected,
            "share_rest": y_rest[chosen] / (len(mask) - num_selected),
            "log_odds": log_odds[chosen],
            "z": z[chosen],
        }
    )


def _word_counts(index: WordIndex, mask: BoolArray, positions: IntArray | None) -> tuple[IntArray, IntArray]:
    """Count each word among the selected examples, and among all examples of the map."""
    if positions is None:
        return index.counts(mask), index.total
    on_map = np.zeros(index.num_examples, dtype=bool)
    on_map[positions] = True
    selected = np.zeros(index.num_examples, dtype=bool)
    selected[positions[mask]] = True
    return index.counts(selected), index.counts(on_map)


def _ends(z: np.ndarray[tuple[int], np.dtype[np.float64]], limit: int | None, least_z: float) -> IntArray:
    """Give the places of the largest and of the smallest z, by falling z; equal ones in the vocabulary's order."""
    order = np.argsort(-z, kind="stable")
    above, below = order[z[order] >= least_z], order[z[order] <= -least_z]
    if limit is not None:
        above, below = above[:limit], below[max(len(below) - limit, 0) :]
    return np.concatenate([above, below]).astype(np.int64)
