"""Probable label errors, by confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning").

The threshold of a label is the mean probability that examples given this label get for it. An example counts as
confidently of another label when its probability for that one reaches that one's threshold: the off-diagonal of the
confident joint (equations 1 and 2; the paper's method 2, cleanlab's `filter_by="confident_learning"`, with which this
agrees). In these few lines rather than from cleanlab, which brings scikit-learn and takes seconds to import.

The paper wants probabilities of a model that did not train on the example. These are in-sample: the means over the
epochs of a model that was learning these very labels, wrong ones included. So it errs by missing errors that were
learnt early, and what it names is to be looked at, not believed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ftft_core.cartography import ROWS_AT_ONCE
from ftft_core.dynamics import IntArray
from ftft_core.errors import InputError

IN_SAMPLE = (
    "Confident learning (Northcutt et al. 2021) on the mean probabilities of this run. The model was learning these "
    "labels, so errors that it learnt early are missed, and hard examples may be named: look before you act."
)
"""What a page says beside these numbers."""


def label_issues(
    mean_probabilities: npt.NDArray[np.float32], labels: IntArray, label_names: Sequence[str]
) -> pd.DataFrame:
    """Find the examples whose given label is probably wrong.

    :param mean_probabilities: (N, C) mean class probabilities; in-sample ones miss errors that were learnt.
    :param labels: (N,) place of the given label among the names.
    :returns: one row an example: `is_issue` (bool); `quality` (probability of the given label less the largest of the
        others, in [-1, 1]: high is a likely right label, as the score `label_quality`); `suggested_label`
        (categorical; null where there is no issue).
    :raises InputError: when the shapes do not go together.
    """
    shape = mean_probabilities.shape
    if len(shape) != 2 or shape[1] != len(label_names) or len(labels) != shape[0]:
        raise InputError(
            f"Label issues need one row an example and one column a label; received probabilities of shape {shape}, "
            f"{len(labels)} labels and {len(label_names)} names."
        )
    num_examples, num_classes = shape
    given = mean_probabilities[np.arange(num_examples), labels].astype(np.float64)
    counts = np.bincount(labels, minlength=num_classes)
    # A label that no example has gets no threshold: nothing is confidently of it.
    thresholds = np.full(num_classes, np.inf)
    has_examples = counts > 0
    thresholds[has_examples] = np.bincount(labels, given, minlength=num_classes)[has_examples] / counts[has_examples]
    is_issue = np.empty(num_examples, dtype=bool)
    quality = np.empty(num_examples)
    suggested = np.empty(num_examples, dtype=np.int64)
    for start in range(0, num_examples, ROWS_AT_ONCE):
        rows = slice(start, min(start + ROWS_AT_ONCE, num_examples))
        p = mean_probabilities[rows].T.astype(np.float64, order="C")  # (classes, rows)
        places = labels[rows], np.arange(p.shape[1])
        # Means of float32 numbers: a value that equals its threshold must not miss it by rounding.
        confident = np.where(p >= thresholds[:, None] - 1e-6, p, -1.0)
        suggested[rows] = confident.argmax(axis=0)
        is_wrong = (p.argmax(axis=0) != labels[rows]) & (suggested[rows] != labels[rows])
        is_issue[rows] = (confident.max(axis=0) >= 0) & is_wrong
        p[places] = -np.inf
        quality[rows] = given[rows] - p.max(axis=0)
    codes = np.where(is_issue, suggested, -1)
    return pd.DataFrame(
        {
            "is_issue": is_issue,
            "quality": quality,
            "suggested_label": pd.Categorical.from_codes(codes, categories=list(label_names)),
        }
    )
