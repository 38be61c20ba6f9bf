"""What is in a region: what sets a selection (a mask over a map) apart from the rest.

    composition   shares of labels and groups, given against predicted labels, lengths
    scores        medians, and how often a selected example is higher than another
    words         the most distinctive words
    tokens        texts to words, and the index that counts them fast
    curves        probabilities by epoch, and their quartiles
    label_issues  probable label errors
    summary       all of it for one selection, and the sentences that a person would say

Pure: arrays and frames in, frames out; nothing is read from a workspace here. A mask is (N,) bool in the order of the
map's rows. An empty selection, or one without a rest, is no error: what has no value is nan.
"""

from ftft_core.profile.composition import given_against_predicted, length_quantiles, shares
from ftft_core.profile.curves import RunProbabilities, curve_quartiles, run_probabilities
from ftft_core.profile.label_issues import IN_SAMPLE, label_issues
from ftft_core.profile.scores import RankedScores, contrast, percentiles, rank_scores, score_words
from ftft_core.profile.summary import Profile, ProfileSource, describe, percent, profile_source
from ftft_core.profile.tokens import WordIndex, build_word_index, read_word_index, write_word_index
from ftft_core.profile.words import LEAST_Z, distinctive_words

__all__ = [
    "IN_SAMPLE",
    "LEAST_Z",
    "Profile",
    "ProfileSource",
    "RankedScores",
    "RunProbabilities",
    "WordIndex",
    "build_word_index",
    "contrast",
    "curve_quartiles",
    "describe",
    "distinctive_words",
    "given_against_predicted",
    "label_issues",
    "length_quantiles",
    "percent",
    "percentiles",
    "profile_source",
    "rank_scores",
    "read_word_index",
    "run_probabilities",
    "score_words",
    "shares",
    "write_word_index",
]
