"""All that sets one selection apart, and the few sentences that a person would say about it.

The rule for a sentence: the difference is beyond noise, and large enough to be worth saying.

- Shares of a label, a group, or of examples predicted otherwise than labelled: a z-test of two proportions beyond
  three standard errors (Bonferroni-corrected for the number of labels), and 5 points apart or a factor of 2.
- Scores and lengths: a Mann-Whitney test beyond three standard errors, and a probability of being higher that is
  0.64 or more, or 0.36 or less (a medium effect, Cohen's d of 0.5); for lengths 0.6 and 0.4. Of scores that say much
  the same (how easy, how ambiguous, how unstable) only the most different one is named.
- Words: z of 5 or more (random selections of a million examples reach 4.3), the three largest.
- Probable label errors are told whenever there are any: they are something to do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist

import numpy as np
import pandas as pd

from ftft_core.dynamics import BoolArray, IntArray
from ftft_core.profile.composition import given_against_predicted, length_quantiles, same_codes, shares
from ftft_core.profile.curves import RunProbabilities, curve_quartiles
from ftft_core.profile.masks import checked_mask
from ftft_core.profile.scores import LENGTH, RankedScores, contrast, rank_scores, score_words
from ftft_core.profile.tokens import WordIndex
from ftft_core.profile.words import distinctive_words

MOST_SENTENCES = 5
NUM_STANDARD_ERRORS = 3.0
LEAST_POINTS = 0.05
LEAST_FACTOR = 2.0
LEAST_EFFECT = 0.14
LEAST_LENGTH_EFFECT = 0.1
LEAST_WORD_Z = 5.0

FAMILIES = {
    "easy": ("confidence", "correctness", "aum", "loss", "el2n", "label_quality"),
    "ambiguous": ("variability", "adjusted_variability", "aleatoric", "threshold_closeness", "entropy"),
    "unstable": ("forgetting_events", "prediction_flips", "first_learnt_epoch"),
}
"""Scores that say much the same."""


@dataclass(frozen=True, eq=False)
class ProfileSource:
    """What a selection of one map is described from; made once a map by `profile_source`, shared, never changed."""

    data_map: pd.DataFrame
    ranked: RankedScores
    words: WordIndex | None = None
    probabilities: RunProbabilities | None = None
    issues: pd.DataFrame | None = None

    @cached_property
    def is_misread(self) -> BoolArray:
        """(N,) predicted otherwise than labelled."""
        label = self.data_map["label"].astype("category")
        return np.asarray(label.cat.codes.to_numpy() != same_codes(self.data_map["predicted_label"], label))

    @property
    def positions(self) -> IntArray | None:
        """Rows of the training split behind the map's rows; None where they are all of them, in their order."""
        if "position" not in self.data_map or (
            self.words is not None and len(self.data_map) == self.words.num_examples
        ):
            return None
        return self.data_map["position"].to_numpy(dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Profile:
    """What a selection is like; see the function of each part for its columns."""

    num_selected: int
    num_rest: int
    labels: pd.DataFrame
    """`shares` of the given label."""
    groups: pd.DataFrame
    """`shares` of the group; no row where the suite has none."""
    confusion: pd.DataFrame
    """`given_against_predicted`."""
    share_misread: tuple[float, float]
    """Share predicted otherwise than labelled, in the selection and in the rest."""
    scores: pd.DataFrame
    """`contrast` of the scores (and of `num_words`), most different first."""
    lengths: pd.DataFrame | None
    """`length_quantiles`; None without texts."""
    words: pd.DataFrame | None
    """`distinctive_words`, those too that chance may have made (z nearer to 0 than `LEAST_Z`); None without texts."""
    curves: pd.DataFrame | None
    """`curve_quartiles` with the column `epoch`; None without probabilities."""
    num_issues: tuple[int, int] | None
    """Probable label errors in the selection and in the rest; None where they were not looked for."""
    sentences: list[str] = field(default_factory=list)
    """At most five, each true beyond noise; text from the data stands in them as it is."""


def profile_source(
    data_map: pd.DataFrame,
    *,
    words: WordIndex | None = None,
    probabilities: RunProbabilities | None = None,
    issues: pd.DataFrame | None = None,
) -> ProfileSource:
    """Prepare what describing any selection of a map needs; a second for a million examples.

    :param words: the suite's index; without it (or where it holds no words) nothing is said of words and lengths.
    :param issues: `label_issues` over the map's rows.
    """
    if words is not None and not words.vocabulary and not words.num_words.any():
        words = None
    source = ProfileSource(data_map, RankedScores(0, {}), words, probabilities, issues)
    lengths = None
    if words is not None:
        positions = source.positions
        lengths = words.num_words if positions is None else words.num_words[positions]
    return ProfileSource(data_map, rank_scores(data_map, num_words=lengths), words, probabilities, issues)


def describe(source: ProfileSource, mask: BoolArray, *, num_words: int = 10) -> Profile:
    """Describe a selection.

    :param mask: (N,) over the map's rows; empty, one, and all are fine.
    :param num_words: distinctive words in each direction, at most.
    """
    data_map = source.data_map
    mask = checked_mask(mask, len(data_map))
    is_misread = source.is_misread
    words, lengths, curves, num_issues = source.words, None, None, None
    if words is not None:
        positions = source.positions
        lengths = length_quantiles(words.num_words if positions is None else words.num_words[positions], mask)
    if source.probabilities is not None:
        curves = curve_quartiles(source.probabilities.gold, mask)
        curves.insert(0, "epoch", source.probabilities.epochs)
    if source.issues is not None:
        is_issue = source.issues["is_issue"].to_numpy(dtype=bool)
        inside = int((is_issue & mask).sum())
        num_issues = inside, int(is_issue.sum()) - inside
    group = data_map["group"] if "group" in data_map else pd.Series(np.full(len(data_map), None), dtype="category")
    profile = Profile(
        num_selected=int(mask.sum()),
        num_rest=int(len(mask) - mask.sum()),
        labels=shares(data_map["label"], mask),
        groups=shares(group, mask),
        confusion=given_against_predicted(data_map["label"], data_map["predicted_label"], mask),
        share_misread=(_mean(is_misread[mask]), _mean(is_misread[~mask])),
        scores=contrast(source.ranked, mask),
        lengths=lengths,
        words=distinctive_words(words, mask, positions=source.positions, limit=num_words, least_z=0) if words else None,
        curves=curves,
        num_issues=num_issues,
    )
    profile.sentences.extend(summary(profile))
    return profile


def summary(profile: Profile) -> list[str]:
    """Say what sets a selection apart, in at most five sentences; the module's header states the rule.

    The first says that nothing does, where nothing does.
    """
    if profile.num_selected == 0:
        return ["Nothing is selected."]
    found = [sentence for part in _PARTS for sentence in part(profile)] if profile.num_rest else []
    issues = _issue_sentence(profile)
    if not profile.num_rest:
        noun = "The only example is" if profile.num_selected == 1 else f"All {profile.num_selected:,} examples are"
        found = [f"{noun} selected: there is no rest to compare with."]
    elif not found:
        what = "this example" if profile.num_selected == 1 else f"these {profile.num_selected:,} examples"
        found = [f"Nothing sets {what} apart from the rest beyond chance."]
    return [*found[: MOST_SENTENCES - len(issues)], *issues]


def _label_sentences(profile: Profile) -> list[str]:
    return _share_sentence(profile.labels, "'{}'")


def _group_sentences(profile: Profile) -> list[str]:
    return _share_sentence(profile.groups, "in the group '{}'")


def _share_sentence(table: pd.DataFrame, words: str) -> list[str]:
    if len(table) < 2:
        return []
    selected, rest = table["num_selected"].to_numpy(), table["num_rest"].to_numpy()
    z = _proportions_z(selected, rest, int(selected.sum()), int(rest.sum()))
    normal = NormalDist()
    needed = max(NUM_STANDARD_ERRORS, -normal.inv_cdf(normal.cdf(-NUM_STANDARD_ERRORS) / len(table)))
    is_large = _is_large(table["share_selected"].to_numpy(), table["share_rest"].to_numpy())
    strength = np.where(is_large & (np.abs(z) > needed), np.abs(z), 0)
    if not strength.any():
        return []
    # Of two labels, what one has more of the other has less of: what there is more of is named.
    best = max(np.flatnonzero(strength >= strength.max() * (1 - 1e-9)), key=lambda row: z[row])
    row = table.iloc[int(best)]
    name = words.format(_cut(row["value"]))
    share, against = row["share_selected"], row["share_rest"]
    more = "None" if share == 0 and name.startswith("in ") else _more(share, against)
    return [f"{more} {name} {_than(share, against)} ({percent(share)} against {percent(against)})."]


def _score_sentences(profile: Profile) -> list[str]:
    said = []
    seen: set[str] = set()
    for row in profile.scores.to_dict("records"):
        family = next((name for name, members in FAMILIES.items() if row["score"] in members), None)
        effect = row["probability_higher"] - 0.5
        if family is None or family in seen or not _is_real(effect, row["z"], LEAST_EFFECT):
            continue
        seen.add(family)
        way, share = ("higher", 0.5 + effect) if effect > 0 else ("lower", 0.5 - effect)
        said.append(
            f"{score_words(row['score'])} {way} than in {_most(share)} of the rest "
            f"(median {_number(row['median_selected'])} against {_number(row['median_rest'])})."
        )
    return said[:2]


def _misread_sentences(profile: Profile) -> list[str]:
    inside, outside = profile.share_misread
    misread = np.array([round(inside * profile.num_selected)]), np.array([round(outside * profile.num_rest)])
    z = float(_proportions_z(*misread, profile.num_selected, profile.num_rest)[0])
    if abs(z) <= NUM_STANDARD_ERRORS or not _is_large(np.array([inside]), np.array([outside]))[0]:
        return []
    way = "More often" if inside > outside else "Less often"
    return [f"{way} predicted otherwise than labelled ({percent(inside)} against {percent(outside)})."]


def _length_sentences(profile: Profile) -> list[str]:
    rows = profile.scores[profile.scores["score"] == LENGTH]
    if rows.empty or profile.lengths is None:
        return []
    row = rows.iloc[0]
    effect = row["probability_higher"] - 0.5
    if not _is_real(effect, row["z"], LEAST_LENGTH_EFFECT):
        return []
    median, against = profile.lengths.loc["selected", "median"], profile.lengths.loc["rest", "median"]
    return [f"{'Longer' if effect > 0 else 'Shorter'}: median {median:,.0f} words against {against:,.0f}."]


def _word_sentences(profile: Profile) -> list[str]:
    if profile.words is None:
        return []
    words = profile.words.loc[profile.words["z"] >= LEAST_WORD_Z, "word"].head(3)
    if words.empty:
        return []
    quoted = ", ".join(f"'{word}'" for word in words)
    return [f"Marked by the word{'s' * (len(words) > 1)} {quoted}."]


_PARTS: tuple[Callable[[Profile], list[str]], ...] = (
    _label_sentences,
    _score_sentences,
    _misread_sentences,
    _length_sentences,
    _word_sentences,
    _group_sentences,
)


def _issue_sentence(profile: Profile) -> list[str]:
    if profile.num_issues is None or not profile.num_issues[0]:
        return []
    inside, outside = profile.num_issues
    verb = "is a probable label error" if inside == 1 else "are probable label errors"
    against = f" ({percent(outside / profile.num_rest) if outside else 'none'} of the rest)" if profile.num_rest else ""
    return [f"{inside:,} of {profile.num_selected:,} {verb}{against}."]


def _proportions_z(
    selected: IntArray, rest: IntArray, num_selected: int, num_rest: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Two-proportion z with the pooled variance; 0 where nothing varies, or a side has no example."""
    if not num_selected or not num_rest:
        return np.zeros(len(selected))
    pooled = (selected + rest) / (num_selected + num_rest)
    error = np.sqrt(pooled * (1 - pooled) * (1 / num_selected + 1 / num_rest))
    difference = selected / num_selected - rest / num_rest
    return np.divide(difference, error, out=np.zeros(len(selected)), where=error > 0)


def _is_large(
    share: np.ndarray[tuple[int], np.dtype[np.float64]], against: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> BoolArray:
    low, high = np.minimum(share, against), np.maximum(share, against)
    return (high - low >= LEAST_POINTS) | (high >= LEAST_FACTOR * low)


def _is_real(effect: float, z: float, least: float) -> bool:
    return bool(abs(effect) >= least and abs(z) > NUM_STANDARD_ERRORS)


def _more(share: float, against: float) -> str:
    if share == 1:
        return "Only"
    if share == 0:
        return "No"
    factor = share / against if against else np.inf
    if np.isinf(factor) or 1 <= factor < 1.8:
        return "More"
    if 0.45 < factor <= 0.55:
        return "Half as many"
    if factor < 1:
        return "Fewer"
    times = {2: "Twice", 3: "Three times", 4: "Four times", 5: "Five times"}
    return f"{times.get(round(factor), f'{factor:,.0f} times')} as many"


def _than(share: float, against: float) -> str:
    words = _more(share, against)
    return "here" if words in {"Only", "No"} else "as elsewhere" if "as many" in words else "than elsewhere"


def percent(share: float) -> str:
    """Word a share: whole percents, tenths below one percent, and "under 0.1 %" rather than 0 for something."""
    value = 100 * share
    if np.isnan(value):
        return "none"
    if 0 < value < 0.1:
        return "under 0.1 %"
    if 0 < value < 0.95:
        return f"{value:.1f} %"
    if 99.5 <= value < 100:
        return "over 99 %"
    return f"{value:.0f} %"


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 1 else f"{value:.2f}"


def _most(share: float) -> str:
    return "nearly all" if share >= 0.995 else percent(share)


def _cut(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _mean(values: BoolArray) -> float:
    return float(values.mean()) if len(values) else float("nan")
