"""Suites: loading to canonical columns, validation, fingerprints, tokenising.

    suite         what a suite is: Split, Suite, roles, names
    spec          the YAML that describes one
    loading       spec or data frames to a suite
    reading       a source (file, glob, folder, hub) to raw cells
    formats       the bytes of one file to rows
    columns       what a text, a label, an id and a group may be
    problems      problems with their places, all reported together
    validation    labels, label maps, warnings
    fingerprints  what tells one content from another
    canonical     the folder that a training process reads
    origins       the files that a suite was added from, and whether they changed
    tokenising    texts to token ids
    sample        the sample suite, from installed packages
    sampling      what is looked at of a test split while a run trains

Owns no training and no database: a suite is data, checked.
"""

from ftft_core.suites.canonical import count_examples, iterate_texts, read_suite, split_names, write_suite
from ftft_core.suites.loading import load_suite
from ftft_core.suites.origins import Origin, look_again, origin_of
from ftft_core.suites.sample import build_sample_suite
from ftft_core.suites.spec import SpecText, SuiteSpec, read_spec
from ftft_core.suites.suite import COLUMNS, DEV, IN_DISTRIBUTION, OUT_OF_DISTRIBUTION, ROLES, TRAIN, Split, Suite
from ftft_core.suites.tokenising import TokenisedSplit, tokenise

__all__ = [
    "COLUMNS",
    "DEV",
    "IN_DISTRIBUTION",
    "OUT_OF_DISTRIBUTION",
    "ROLES",
    "TRAIN",
    "Origin",
    "SpecText",
    "Split",
    "Suite",
    "SuiteSpec",
    "TokenisedSplit",
    "build_sample_suite",
    "count_examples",
    "iterate_texts",
    "load_suite",
    "look_again",
    "origin_of",
    "read_spec",
    "read_suite",
    "split_names",
    "tokenise",
    "write_suite",
]
