"""The examples that one of two methods gets right and the other wrong: paged in SQL, texts shown as they are.

Owns the list and its filters; which example is won or lost is `comparison.pairs`'.
"""

from __future__ import annotations

import html
from contextlib import suppress
from typing import Any, TypeAlias
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from ftft_core.comparison.pairs import OUTCOMES, RULES, Pair
from ftft_core.errors import FTFTError
from ftft_core.figures.themes import side_colours
from ftft_core.ui import compare_state, reads
from ftft_core.ui.frame import as_text, chosen, say, show_error, theme
from ftft_core.ui.hints import draw_embedding
from ftft_core.workspace import ComparisonReport

PAGE_ROWS = 20
SHOWN_LETTERS = 1200
"""Of a text; the rest is on the data map and in the file."""

NO_PLACE = (
    "A data map is of training examples, and none of these texts is one. Once the texts are embedded, which goes on in "
    "the background, each of them leads to the training example nearest to it."
)

NO_TEXTS = "No texts are kept of these examples; the suite came without them."

ALL = ""
"""No filter."""

Nearest: TypeAlias = dict[str, tuple[str, float]]
"""Test example -> the training example nearest to it, and their cosine."""


@st.fragment
def draw_examples(report: ComparisonReport, pair: Pair, names: tuple[str, str]) -> None:
    """Draw the examples of one outcome."""
    problems: list[str] = []
    rule = compare_state.asked("rule", RULES, "most", problems)
    counts = pair.counts(rule)
    outcomes = outcome_words(counts, names)
    outcome = compare_state.asked("outcome", outcomes, "won", problems)
    with st.container(key="compare.examples"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.html('<div class="ftft-heading">Examples</div>', width="content")
            compare_state.pick(
                "Outcome", "outcome", outcomes, outcome, "won", draw=st.segmented_control, label_visibility="collapsed"
            )
            if max(len(pair.first.seeds), len(pair.second.seeds)) > 1:
                compare_state.pick("Counted", "rule", RULES, rule, "most", label_visibility="collapsed", width=150)
            st.space("stretch")
            filters = _draw_filters(report, pair)
        compare_state.tell(problems)
        _draw_page(report, pair, names, outcome, {"rule": rule, **filters})


def outcome_words(counts: dict[str, int], names: tuple[str, str]) -> dict[str, str]:
    """Word the outcomes with their numbers, for their buttons, which take Markdown."""
    titles = (f"only {names[0]} right", f"only {names[1]} right", "both wrong", "both right")
    return {outcome: f"{as_text(title)}  {counts[outcome]:,}" for outcome, title in zip(OUTCOMES, titles, strict=True)}


def _draw_filters(report: ComparisonReport, pair: Pair) -> dict[str, Any]:
    gold = st.selectbox(
        "Gold label", [ALL, *pair.labels], format_func=lambda label: label or "any label", width=150,
        key="compare.examples.gold", label_visibility="collapsed",
    )  # fmt: skip
    groups = sorted(set(pair.groups["group"]))
    group = ALL
    if groups:
        group = st.selectbox(
            "Group", [ALL, *groups], format_func=lambda name: name or "any group", width=190,
            key="compare.examples.group", label_visibility="collapsed",
        )  # fmt: skip
    search = st.text_input(
        "Search", key="compare.examples.search", placeholder="search the texts", width=180,
        label_visibility="collapsed",
    )  # fmt: skip
    return {"gold": gold or None, "group": group or None, "search": str(search).strip() or None}


def _draw_page(
    report: ComparisonReport, pair: Pair, names: tuple[str, str], outcome: str, query: dict[str, Any]
) -> None:
    signature = repr((pair.split, pair.first.id, pair.second.id, outcome, sorted(query.items(), key=str)))
    if st.session_state.get("compare.examples.of") != signature:  # another list begins at its first page
        st.session_state["compare.examples.of"] = signature
        st.session_state["compare.examples.page"] = 1
    page = int(st.session_state.get("compare.examples.page", 1))
    try:
        total, rows = chosen().workspace.pair_examples(
            report, pair, outcome, **query, offset=(page - 1) * PAGE_ROWS, limit=PAGE_ROWS
        )
    except FTFTError as failure:
        show_error(failure)
        return
    if rows.empty:
        st.html('<div class="ftft-quiet">No example is so.</div>')
        return
    nearest, run = _nearest(report.suite, pair.split, rows), run_with_map(report.suite)
    st.html(examples_markup(rows, names, report.suite, run, nearest))
    if rows["text"].isna().all():
        say(NO_TEXTS)
    elif not nearest and rows["training_id"].isna().all() and run is not None:
        with suppress(FTFTError):  # The texts that it takes are gone.
            draw_embedding(report.suite, reads.open_workspace().embedding_state(report.suite), NO_PLACE)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        first = (page - 1) * PAGE_ROWS
        said = f"{first + 1:,} to {first + len(rows):,} of {total:,}, where the two differ most first"
        st.html(f'<span class="ftft-quiet">{said}</span>', width="content")
        st.space("stretch")
        num_pages = -(-total // PAGE_ROWS)
        if num_pages > 1:
            st.number_input("Page", 1, num_pages, key="compare.examples.page", width=120, label_visibility="collapsed")
            st.html(f'<span class="ftft-quiet">of {num_pages:,} pages</span>', width="content")


def _nearest(suite: str, split: str, rows: pd.DataFrame) -> Nearest:
    """Return the training example nearest to each of these; none where the texts are not embedded."""
    try:
        found = reads.open_workspace().nearest_training(suite, split, [str(each) for each in rows["example_id"]])
    except FTFTError:  # There are no texts, or nobody embedded them.
        return {}
    return {row["for_example_id"]: (row["example_id"], row["cosine"]) for row in found.to_dict("records")}


def examples_markup(
    rows: pd.DataFrame, names: tuple[str, str], suite: str, run: str | None = None, nearest: Nearest | None = None
) -> str:
    """Return the examples as a table; every text as it is.

    :param run: the run on whose map the training examples are that they lead to; without one, none is a link.
    :param nearest: the training examples that some of them lead to.
    """
    a, b = side_colours(theme())
    has_groups = rows["group"].notna().any()
    head = ["", "text", "gold", *(["group"] if has_groups else [])]
    heads = "".join(f"<th>{name}</th>" for name in head)
    heads += f'<th style="color: {a}">{html.escape(names[0])}</th><th style="color: {b}">{html.escape(names[1])}</th>'
    lines = []
    for row in rows.to_dict("records"):
        cells = f'<td class="id">{html.escape(str(row["example_id"]))}</td>'
        cells += (
            f"<td>{_text_cell(row, suite, run, nearest or {})}</td><td><bdi>{html.escape(str(row['label']))}</bdi></td>"
        )
        if has_groups:
            cells += f"<td><bdi>{html.escape(str(row['group'] or ''))}</bdi></td>"
        cells += _prediction_cell(row, "first", a) + _prediction_cell(row, "second", b)
        lines.append(f"<tr>{cells}</tr>")
    return (
        f'<div class="ftft-examples" data-testid="pair-examples"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _text_cell(row: dict[str, Any], suite: str, run: str | None, nearest: Nearest) -> str:
    texts = [row["text"], row["text_pair"]]
    shown = "".join(
        f'<div class="text"><bdi>{html.escape(_cut(str(text)))}</bdi></div>' for text in texts if isinstance(text, str)
    )
    training_id, said = row["training_id"], "the same text is a training example: see it on the map"
    if not isinstance(training_id, str):
        training_id, cosine = nearest.get(str(row["example_id"]), (None, 0.0))
        said = f"the nearest training example on the map (cosine {cosine:.2f})"
    if training_id is None or run is None:
        return shown
    address = urlencode({"suite": suite, "run": run, "example": training_id})
    return f'{shown}<a href="./?{html.escape(address)}" target="_self">{said}</a>'


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_LETTERS else text[:SHOWN_LETTERS] + "…"


def _prediction_cell(row: dict[str, Any], side: str, colour: str) -> str:
    """Return a method's most frequent prediction and how sure it is of the gold label."""
    probability, right = float(row[f"{side}_probability"]), float(row[f"{side}_right"])
    told = (
        f"probability of the gold label {probability:.3f}, mean over seeds; right in {100 * right:.0f} % of the seeds"
    )
    return (
        f'<td title="{told}"><bdi>{html.escape(str(row[f"{side}_predicted"]))}</bdi>'
        f'<span class="bar"><i style="width: {100 * probability:.0f}%; background: {colour}"></i></span>'
        f'<span class="ftft-quiet">{probability:.2f}</span></td>'
    )


def run_with_map(suite: str) -> str | None:
    """Return the run on whose map an example is shown: the picked one if it has a map, else the first with one.

    A map of all examples goes before one of a part, on which the example may not be.
    """
    picked = chosen().run
    listed = reads.runs(suite)
    listed = listed[listed["counted_epochs"] > 0]
    is_whole = listed["fraction"] == 1
    with_map = list(listed.loc[is_whole if is_whole.any() else listed.index, "run_id"])
    if picked is not None and picked["run_id"] in with_map:
        return str(picked["run_id"])
    return str(with_map[0]) if with_map else None


EXAMPLES_CSS = """<style>
.ftft-part { font-size: 1.15rem; }
.ftft-summary { font-size: 1.02rem; line-height: 1.5; max-width: 76rem; }
.ftft-sub { min-height: 1.6rem; }
.ftft-examples { overflow-x: auto; }
.ftft-examples table { border-collapse: collapse; width: 100%; table-layout: auto; }
.ftft-examples th { text-align: left; font-weight: 600; padding: 0.25rem 0.7rem 0.25rem 0; border: none;
  border-bottom: 1px solid var(--ftft-line); white-space: nowrap; }
.ftft-examples td { vertical-align: top; padding: 0.45rem 0.7rem 0.45rem 0; border: none;
  border-bottom: 1px solid var(--ftft-line); }
.ftft-examples td:nth-child(2) { width: 55%; }
.ftft-examples .text { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.5; max-height: 7.5em;
  overflow: auto; }
.ftft-examples .text + .text { margin-top: 0.25rem; padding-top: 0.25rem; border-top: 1px dotted var(--ftft-line); }
.ftft-examples .id { font-size: 0.85em; color: var(--ftft-muted); max-width: 7rem; overflow-wrap: anywhere; }
.ftft-examples a { font-size: 0.85em; color: var(--ftft-accent); }
.ftft-examples .bar { display: inline-block; width: 4.2rem; height: 0.4rem; margin: 0 0.45rem 0.06rem 0.6rem;
  background: var(--ftft-line); border-radius: 2px; vertical-align: middle; overflow: hidden; }
.ftft-examples .bar i { display: block; height: 100%; }
</style>"""
"""Rules of this section and the sentences around it."""
