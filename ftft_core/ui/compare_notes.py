"""What to know about the numbers of a comparison: few seeds, what is missing or differs, how far intervals hold.

Owns these words on the page; the facts are `comparison`'s.
"""

from __future__ import annotations

import html

import streamlit as st

from ftft_core.comparison.baselines import PLAIN
from ftft_core.metrics import HIGHER_IS_BETTER
from ftft_core.ui.frame import theme
from ftft_core.ui.paper_table import ROOMY_COLUMNS
from ftft_core.workspace import ComparisonReport
from ftft_core.workspace.report import FEW_SEEDS

COVERAGE = (
    "How far to trust an interval: on simulated data whose truth is known, such 95 % intervals held the true "
    "difference in 96 to 100 of 100 cases with 2, 3 or 5 seeds (seeds paired or not, their noise small or large), in "
    "37 to 94 with one seed, which cannot show the noise of seeds. The price of few seeds is width: with noisy seeds "
    "40 points at 3, 21 at 5. Made again by benchmarks/interval_coverage.py."
)
"""Measured by that benchmark; its header has the table."""

SHOWN_NOTES = 3
"""Notes that stand on the page; more can be unfolded."""


def seeds_markup(report: ComparisonReport) -> str:
    """Return the warning about columns with too few seeds; empty where there are none."""
    few = report.few_seeds()
    if not few:
        return ""
    parts = []
    for count in sorted({column.num_seeds for column in few}):
        names = [column.name for column in few if column.num_seeds == count]
        verb = "has" if len(names) == 1 else "have"
        parts.append(f"{_listed(names)} {verb} {count} seed{'s' * (count != 1)}")
    words = (
        f"{'; '.join(parts)}. Under {FEW_SEEDS} seeds the spread over seeds is hardly known: read these columns as a "
        "first look."
    )
    colour = theme().correctness[0]
    return f'<div class="ftft-warn" data-testid="few-seeds" style="color: {colour}">{html.escape(words)}</div>'


def no_erm_markup(report: ComparisonReport) -> str:
    """Return what it means that no erm run has finished; empty where one has."""
    if any(column.title == PLAIN and column.runs for column in report.columns):
        return ""
    words = (
        f"There is no finished {PLAIN} run: what is shown is held against {report.comparison.baseline}, not against "
        "plain fine-tuning on all examples."
    )
    colour = theme().correctness[0]
    return f'<div class="ftft-warn" data-testid="no-erm" style="color: {colour}">{html.escape(words)}</div>'


def table_caption(report: ComparisonReport, metric: str) -> str:
    """Return what the marks and signs of the table mean."""
    better = "higher" if HIGHER_IS_BETTER[metric] else "lower"
    its_interval = "its 95 % interval" if len(report.columns) <= ROOMY_COLUMNS else "its 95 % interval on hover"
    words = (
        f"Percent, {better} is better; mean ± standard deviation over seeds. Beneath, the difference to "
        f"{report.comparison.baseline} in points with {its_interval} (test examples resampled, the spread over "
        "seeds by Student’s t). * where it is significant after Holm’s correction for all methods and single "
        f"splits, dev too, and for all averages. Every number says on hover which runs it is of. {report.together}"
    )
    return f'<div class="ftft-quiet" style="font-size: 0.88em">{html.escape(words)}</div>'


def draw_notes(report: ComparisonReport) -> None:
    """Draw what is missing, what differs, and how far intervals hold."""
    notes = [*report.notes]
    shown, rest = notes[:SHOWN_NOTES], [*notes[SHOWN_NOTES:], COVERAGE]
    if shown:
        st.html(_sentences(shown))
    with st.expander(f"{len(rest)} more to know about these numbers" if shown else "How far to trust an interval"):
        st.html(_sentences(rest))


def _sentences(notes: list[str]) -> str:
    lines = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return f'<ul class="ftft-sentences ftft-quiet" data-testid="comparison-notes">{lines}</ul>'


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
