"""The parts of the subsets page that are drawn in HTML: bars of labels, miniatures, the comparison; and their style.

Owns escaping: every name and label from data goes through `html.escape` here.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence

import pandas as pd

from ftft_core.figures import Theme, label_colours, words
from ftft_core.figures.themes import MAX_LABEL_COLOURS, OTHER
from ftft_core.figures.thumbnails import HEIGHT, WIDTH
from ftft_core.workspace import SubsetComparison

CSS = f"""
[class*="st-key-subset-card-"] {{ padding: 0.85rem 1rem; }}
[class*="st-key-subset-card-"] .stVerticalBlock {{ gap: 0.3rem; }}
[class*="st-key-subset-card-"] > *, [class*="st-key-subset-body-"] {{ flex-grow: 1; }}
[class*="st-key-subset-card-"] [data-testid="stPageLink"] a {{ padding: 0.1rem 0.35rem; min-height: 0; }}
[class*="st-key-subset-users-"] {{ min-height: 1.5rem; }}
[class*="st-key-subset-users-"] [data-testid="stPageLink"] p {{ color: var(--ftft-accent); font-size: 1rem; }}
[data-testid="stLayoutWrapper"]:has(> [class*="st-key-subset-next-"]) {{ margin-top: auto; padding-top: 0.25rem; }}
[class*="st-key-subset-tune-"] button {{ min-height: 1.9rem; padding: 0.1rem 0.75rem; background: transparent;
  border: 1px solid var(--ftft-accent); color: var(--ftft-accent); }}
[class*="st-key-subset-tune-"] button:hover, [class*="st-key-subset-tune-"] button:focus-visible {{
  background: var(--ftft-accent); color: var(--ftft-on-accent); }}
[class*="st-key-subset-tools-"] button {{ min-height: 1.8rem; min-width: 1.9rem; padding: 0.1rem;
  color: var(--ftft-muted); }}
[class*="st-key-subset-tools-"] button:hover {{ color: var(--ftft-accent); }}
[class*="st-key-subset-tools-"] button [data-testid="stMarkdownContainer"] {{ position: absolute; width: 1px;
  height: 1px; overflow: hidden; clip-path: inset(50%); }}
[class*="st-key-subset-tools-"] button > div > [aria-hidden="true"] {{ display: none; }}
.ftft-mini {{ width: {WIDTH + 1}px; border: solid var(--ftft-line); border-width: 0 0 1px 1px; }}
.ftft-mini img {{ display: block; width: {WIDTH}px; height: {HEIGHT}px; }}
.ftft-mini p {{ height: {HEIGHT}px; margin: 0; padding: 0.5rem; display: flex; align-items: center;
  color: var(--ftft-muted); font-size: 0.85em; }}
.ftft-axis {{ color: var(--ftft-muted); font-size: 0.8rem; padding-top: 0.15rem; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; width: {WIDTH}px; }}
.ftft-subset-name {{ font-weight: 600; font-size: 1.05rem; line-height: 1.9rem; overflow-wrap: anywhere; }}
.ftft-recipe {{ color: var(--ftft-muted); display: -webkit-box; -webkit-line-clamp: 2; -webkit-box-orient: vertical;
  overflow: hidden; overflow-wrap: anywhere; line-height: 1.35; }}
.ftft-size {{ display: flex; justify-content: space-between; gap: 1rem; padding-top: 0.15rem; }}
.ftft-bar {{ display: flex; gap: 1px; height: 8px; border-radius: 4px; overflow: hidden; margin: 0.3rem 0 0.1rem; }}
.ftft-bar span {{ min-width: 2px; }}
.ftft-legend {{ display: flex; flex-wrap: wrap; gap: 0.1rem 0.9rem; color: var(--ftft-muted); }}
.ftft-legend i {{ display: inline-block; width: 0.6rem; height: 0.6rem; border-radius: 2px; margin-right: 0.35rem; }}
.ftft-overlap {{ display: flex; gap: 2px; height: 12px; border-radius: 4px; overflow: hidden; margin: 0.4rem 0; }}
.ftft-overlap span {{ min-width: 2px; }}
.ftft-compare td, .ftft-compare th {{ padding-top: 0.18rem !important; padding-bottom: 0.18rem !important; }}
"""

COMPARED_SCORES = ("confidence", "variability", "correctness", "forgetting_events", "aum", "label_quality")


def subset_style(theme: Theme) -> str:
    """Return the page's rules of style."""
    return f"<style>:root {{ --ftft-on-accent: {theme.background}; }}\n{CSS}</style>"


def shares(counts: Mapping[str, int], labels: Sequence[str], theme: Theme) -> list[tuple[str, int, str]]:
    """Return name, count and colour of what a bar shows: the first labels of the suite, then "other"."""
    colours = label_colours(labels, theme)
    shown = [(label, int(counts.get(label, 0)), colours[label]) for label in labels[:MAX_LABEL_COLOURS]]
    rest = sum(int(counts.get(label, 0)) for label in labels[MAX_LABEL_COLOURS:])
    return [*shown, (OTHER, rest, theme.other)] if len(labels) > MAX_LABEL_COLOURS else shown


def balance_bar(counts: Mapping[str, int], labels: Sequence[str], theme: Theme) -> str:
    """Return the label balance as a thin bar; each part says its count under the pointer."""
    parts = [part for part in shares(counts, labels, theme) if part[1]]
    total = sum(count for _, count, _ in parts)
    said = "; ".join(f"{label} {count:,}" for label, count, _ in parts)
    spans = "".join(
        f'<span style="flex: {count} 0 0; background: {colour}" '
        f'title="{html.escape(label)}: {count:,} ({percent(count, total)})"></span>'
        for label, count, colour in parts
    )
    return f'<div class="ftft-bar" role="img" aria-label="{html.escape(f"Labels: {said}")}">{spans}</div>'


def legend(counts: Mapping[str, int], labels: Sequence[str], theme: Theme) -> str:
    """Return the labels' names beside their colours, with their shares."""
    parts = shares(counts, labels, theme)
    total = sum(count for _, count, _ in parts)
    items = "".join(
        f'<span title="{count:,} of {total:,}"><i style="background: {colour}"></i>'
        f"{html.escape(cut(label, 24))} {percent(count, total)}</span>"
        for label, count, colour in parts
    )
    return f'<div class="ftft-legend">{items}</div>'


def miniature(picture: bytes | None, *, map_words: str | None, title: str) -> str:
    """Return a miniature of a map, or the reason why there is none."""
    if picture is None or map_words is None:
        return '<div class="ftft-mini"><p>A miniature comes with the first data map of this suite.</p></div>'
    source = base64.b64encode(picture).decode()
    said = html.escape(f"{title}, on the map of {map_words}: variability across, confidence up")
    return (
        f'<div class="ftft-mini" title="{said}"><img alt="{said}" src="data:image/png;base64,{source}"></div>'
        f'<div class="ftft-axis">{html.escape(map_words)}</div>'
    )


def description(recipe: str, size: int, share: str, saved: str, bar: str) -> str:
    """Return recipe, size and label balance of a card."""
    noun = "example" if size == 1 else "examples"
    said = html.escape(recipe[:1].upper() + recipe[1:])
    return (
        f'<div class="ftft-recipe" title="{said}">{said}</div>'
        f'<div class="ftft-size"><span>{size:,} {noun} <span class="ftft-quiet">{html.escape(share)} of the training '
        f'split</span></span><span class="ftft-quiet">{html.escape(saved)}</span></div>{bar}'
    )


def overlap_bar(found: SubsetComparison, theme: Theme) -> str:
    """Return what two subsets share as a bar: only in the first, in both, only in the second."""
    a, b = html.escape(found.a.name), html.escape(found.b.name)
    parts = (
        (found.num_only_a, theme.fill, f"only in {a}"),
        (found.num_shared, theme.accent, "in both"),
        (found.num_only_b, theme.other, f"only in {b}"),
    )
    spans = "".join(
        f'<span style="flex: {count} 0 0; background: {colour}" title="{count:,} {said}"></span>'
        for count, colour, said in parts
        if count
    )
    items = "".join(
        f'<span><i style="background: {colour}"></i>{count:,} {said}</span>' for count, colour, said in parts
    )
    return f'<div class="ftft-overlap">{spans}</div><div class="ftft-legend">{items}</div>'


def comparison_markup(found: SubsetComparison, theme: Theme, run_name: str | None) -> str:
    """Return two subsets side by side with the training split: sizes, labels, medians of scores."""
    labels = [str(label) for label in found.labels["label"]]
    columns = ("a", "b", "everything")
    sizes = {"a": found.a.size, "b": found.b.size, "everything": found.num_train}
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("", found.a.name, found.b.name, "training split"))
    body = [_row("examples", [f"{sizes[name]:,}" for name in columns])]
    body.append(_row("of the training split", [percent(sizes[name], found.num_train) for name in columns]))
    body.append(_section("Labels"))
    counts = {name: dict(zip(labels, found.labels[name], strict=True)) for name in columns}
    listed = {name: shares(counts[name], labels, theme) for name in columns}
    for row, (label, _, colour) in enumerate(listed["a"]):
        cells = [
            f'<span title="{listed[name][row][1]:,}">{percent(listed[name][row][1], sizes[name])}</span>'
            for name in columns
        ]
        said = f'<i style="background: {colour}"></i>{html.escape(cut(label, 40))}'
        swatch = f'<span class="ftft-legend"><span>{said}</span></span>'
        body.append(_row(swatch, cells, is_markup=True))
    if found.medians is not None:
        body.append(_section(f"Medians on the map of {run_name}"))
        medians = found.medians.set_index("score")
        for score in COMPARED_SCORES:
            body.append(_row(words(score), [_number(medians.at[score, name]) for name in columns]))
    return (
        f'<div class="ftft-paper ftft-compare"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def percent(count: int, total: int) -> str:
    """Word a share in whole percents; "under 1 %" where there is something, "over 99 %" where something is missing."""
    share = 100 * count / total if total else 0.0
    if 0 < share <= 0.5:  # a half is rounded to the even number, which is 0
        return "under 1 %"
    if 99.5 <= share < 100:
        return "over 99 %"
    return f"{share:.0f} %"


def cut(text: str, limit: int) -> str:
    """Cut a text to so many characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _number(value: object) -> str:
    return "–" if pd.isna(value) else f"{float(str(value)):.3g}".replace("-", "−")


def _row(name: str, cells: Sequence[str], *, is_markup: bool = False) -> str:
    first = name if is_markup else html.escape(name)
    return f"<tr><td>{first}</td>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _section(title: str) -> str:
    return f'<tr class="section"><td colspan="4">{html.escape(title)}</td></tr>'
