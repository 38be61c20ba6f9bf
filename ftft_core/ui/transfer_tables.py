"""The tables of the transfer page, in HTML with every word from data escaped.

Owns rounding and words for display; the numbers are `comparison`'s.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ftft_core.comparison import UNSURE, Candidate, to_records
from ftft_core.comparison.tables import MISSING
from ftft_core.planning import flops_words
from ftft_core.ui.frame import duration_words
from ftft_core.workspace import ProbeReport, TransferReport

MAX_SCORE_COLUMNS = 4

_STYLE = """
.ftft-verdict { font-size: 1.15rem; font-weight: 600; line-height: 1.4; max-width: 70rem; }
.ftft-transfer td, .ftft-transfer th { white-space: nowrap; }
.ftft-transfer td:first-child { white-space: normal; min-width: 9rem; }
.ftft-transfer th[title]:not([title=""]) { cursor: help; }
.ftft-transfer tr.chosen td { font-weight: 600; }
.ftft-transfer tr.chosen td:first-child { box-shadow: inset 3px 0 var(--ftft-accent); padding-left: 0.6rem; }
.ftft-transfer tr.quiet td { color: var(--ftft-muted); }
"""


def transfer_style() -> str:
    """Return the rules of style that these tables need."""
    return f"<style>{_STYLE}</style>"


def verdict(sentence: str, remarks: Sequence[str]) -> str:
    """Return the verdict in large type, and what qualifies it beneath."""
    below = " ".join(html.escape(remark) for remark in remarks if remark)
    return f'<div class="ftft-verdict">{html.escape(sentence)}</div><div class="ftft-quiet">{below}</div>'


def references_table(report: TransferReport) -> str:
    """Return what each reference would cost and how near it comes; the one that is good enough is marked."""
    by_name = {each.name: each for each in report.candidates}
    head = [
        ("reference", "", False),
        ("cost", "FLOPs of a run; as a share of a run of the main model", True),
        ("overlap", "of its set with the main model's, Jaccard; mean over pairs of different seeds", True),
        ("of ceiling", "the overlap between chance (0 %) and two seeds of the main model (100 %)", True),
        ("correlation", f"of {report.score}, Spearman; corrected for the noise of both: as it would be between maps "
                        f"averaged over ever more seeds; unsure where two seeds of one correlate by under {UNSURE:.2f}",
         True),
        ("found easy", "share of its set among as many examples that it is surest of; a third by chance, were the set "
                       "a random third", True),
        ("never learnt", "share of its set that it never predicted right", True),
        ("easy for main", "share of its set that the main model is surest of", True),
        ("good enough", "at least as near to the main model as the main model's own seeds are to each other", False),
    ]  # fmt: skip
    body = []
    for row in to_records(report.advice.references):
        marked = row["reference"] == report.advice.chosen
        star = "*" * bool(row["same_seed"])
        cells = [
            _named(by_name[row["reference"]]),
            _cost(row["cost"], row["cost_share"], by_name[row["reference"]].seconds),
            f"{_two(row['overlap'])}{star}",
            _percent(row["share_of_ceiling"]),
            _two(row["correlation"]) + _below(_corrected_words(row)),
            _percent(row["easy_share"]),
            _percent(row["never_learnt_share"]),
            _percent(row["easy_for_main"]),
            "no ceiling" if row["good_enough"] is None else "yes" if row["good_enough"] else "no",
        ]
        body.append(_row(cells, "chosen" if marked else ""))
    share = _percent(float(report.transfer.ambiguous_sets["easy_share_by_chance"].iloc[0]))
    never = _percent(float(report.transfer.ambiguous_sets["never_learnt_by_chance"].mean()))
    small = {"overlap": f"{report.chance:.2f} by chance", "found easy": f"{share} by chance",
             "easy for main": f"{share} by chance", "never learnt": f"{never} of all"}  # fmt: skip
    return _table(head, body, small)


def _corrected_words(row: Mapping[str, Any]) -> str:
    corrected = row["corrected_correlation"]
    unsure = ", unsure" if row["corrected_is_unsure"] else ""
    return MISSING if corrected is None else f"{_two(corrected)} corrected{unsure}"


def reliability_table(report: TransferReport) -> str:
    """Return how far each group's map can be trusted."""
    head = [
        ("map of", "", False),
        ("runs", "seeds", True),
        ("one run", f"mean rank correlation of {report.score} between two of its seeds", True),
        ("their average", "reliability of the mean of all its runs, by Spearman-Brown", True),
        ("runs for 0.80", "seeds to average for a reliability of 0.80, by Spearman-Brown", True),
    ]
    body = []
    for row in to_records(report.reliabilities):
        numbers = [_two(row["reliability_of_one"]), _two(row["reliability_of_average"])]
        needed = MISSING if row["runs_needed"] is None else f"{row['runs_needed']:,.0f}"
        body.append(_row([html.escape(row["group"]), f"{row['num_runs']}", *numbers, needed]))
    return _table(head, body)


def scores_table(report: TransferReport) -> str:
    """Return how far maps agree with the main model's by every score, the score that transfers best first.

    At most `MAX_SCORE_COLUMNS` references stand in it, the cheapest.
    """
    wide = report.scores.pivot(index="score", columns="group", values="correlation")
    starred = report.scores.pivot(index="score", columns="group", values="same_seed")
    names = list(report.advice.references["reference"])[:MAX_SCORE_COLUMNS]
    order = wide[names].max(axis=1).sort_values(ascending=False, kind="stable", na_position="last").index
    head = [
        ("score", "", False),
        (f"two seeds of {report.main.name}", "the ceiling: mean rank correlation of two seeds of the main model", True),
        *((name, "mean rank correlation with the main model's runs", True) for name in names),
    ]
    body = []
    for score in order:
        cells = [_two(wide.loc[score, name]) + "*" * bool(starred.loc[score, name]) for name in names]
        words = [html.escape(str(score).replace("_", " ")), _two(wide.loc[score, report.main.name])]
        body.append(_row([*words, *cells], "chosen" if score == report.score else ""))
    return _table(head, body)


def averages_table(report: TransferReport) -> str:
    """Return which averages come nearest to the main model, best first."""
    head = [
        ("average of", "", False),
        ("runs", "", True),
        ("cost", "share of a run of the main model", True),
        ("overlap", "with single runs of the main model, of other seeds where there are some", True),
        ("correlation", f"of {report.score}, Spearman", True),
    ]
    body = []
    for row in to_records(report.averages):
        name = html.escape(row["average"]) + ("*" if row["same_seed"] else "")
        ways = f"mean of {row['num_ways']} way{'s' * (row['num_ways'] != 1)} to pick the runs"
        cells = [name, f"{row['num_runs']}", _percent(row["cost_share"]),
                 f'<span title="{ways}">{_two(row["overlap"])}</span>', _two(row["correlation"])]  # fmt: skip
        body.append(_row(cells, "quiet" if row["kind"] == "main" else ""))
    return _table(head, body)


def estimates_table(report: ProbeReport) -> str:
    """Return what a probe says of each reference."""
    head = [
        ("reference", "", False),
        ("overlap with the probe", "of its set with the examples that the probe is least sure of, Jaccard", True),
        ("its own first epoch", "the same with the reference's own first epoch, of another seed where there is one: "
                                "the bar", True),
        ("by chance", "", True),
        ("correlation", "of its score with the probe's threshold closeness, Spearman", True),
        ("examples", "that both saw", True),
        ("expected", "", False),
    ]  # fmt: skip
    body = []
    for row in to_records(report.estimate.references):
        said = (
            "can't tell" if row["good_enough"] is None else "good enough" if row["good_enough"] else "not good enough"
        )
        bar = _two(row["expected"]) + "*" * bool(row["same_run"])
        cells = [html.escape(row["reference"]), _two(row["overlap"]), bar,
                 _two(row["chance"]), _two(row["correlation"]), f"{row['num_examples']:,}", said]  # fmt: skip
        body.append(_row(cells, "chosen" if row["reference"] == report.estimate.chosen else ""))
    return _table(head, body)


def _table(head: Sequence[tuple[str, str, bool]], body: Sequence[str], small: Mapping[str, str] | None = None) -> str:
    small = small or {}
    cells = "".join(
        f'<th class="{"" if is_number else "word"}" title="{html.escape(help_, quote=True)}">{html.escape(name)}'
        f"{_below(small[name]) if name in small else ''}</th>"
        for name, help_, is_number in head
    )
    return (
        f'<div class="ftft-paper ftft-transfer"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _row(cells: Sequence[str], kind: str = "") -> str:
    return f'<tr class="{kind}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _named(candidate: Candidate) -> str:
    seeds = len(candidate.runs)
    title = html.escape(", ".join(candidate.runs), quote=True)
    words = "1 seed" if seeds == 1 else f"{seeds} seeds"
    return f'<span title="{title}">{html.escape(candidate.name)}</span>{_below(words)}'


def _cost(flops: float | None, share: float | None, seconds: float | None) -> str:
    if flops is None:
        return MISSING
    title = f"{flops_words(flops)}{', ' + duration_words(seconds) if seconds else ''} a run"
    shown = flops_words(flops) if share is None else _percent(share)
    return f'<span title="{title}">{shown}</span>' + (_below(flops_words(flops)) if share is not None else "")


def _below(words: str) -> str:
    return f'<span class="delta">{html.escape(words)}</span>'


def _two(number: float | None) -> str:
    return MISSING if number is None or pd.isna(number) else f"{number:.2f}".replace("-", "−")


def _percent(share: float | None) -> str:
    return MISSING if share is None or pd.isna(share) else f"{100 * share:.0f} %".replace("-", "−")


def report_csv(report: TransferReport) -> str:
    """Return the references, the matrix, the reliabilities and the averages as CSV, one kind of row after the other."""
    facts: Mapping[str, Any] = {"suite": report.suite, "score": report.score, "fraction": report.fraction,
                                "main": report.main.name}  # fmt: skip
    tables = {
        "reference": report.advice.references,
        "pair": report.grid.rename(columns={"group_a": "reference", "group_b": "other"}),
        "reliability": report.reliabilities.rename(columns={"group": "reference"}),
        "score": report.scores.drop(columns="score")
        .rename(columns={"group": "reference"})
        .assign(by=report.scores["score"]),
        "average": report.averages.rename(columns={"average": "reference"}).assign(
            runs=report.averages["runs"].map(" ".join)
        ),
    }
    frames = [table.assign(row=kind, **facts) for kind, table in tables.items() if len(table)]
    every = pd.concat([frame.astype(object) for frame in frames], ignore_index=True)
    leading = ["row", *facts, "reference", "other"]
    return every[[*leading, *(name for name in every.columns if name not in leading)]].to_csv(index=False)
