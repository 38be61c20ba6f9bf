"""The parts of the suites page that are drawn in HTML: the table of splits, warnings, one example; and their style.

Owns escaping: every name, label and text from data goes through `html.escape` here.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ftft_core.figures import Theme, label_colours
from ftft_core.suites.validation import classes_of
from ftft_core.ui.subset_markup import cut, percent

CSS = """
.ftft-facts-line { color: var(--ftft-muted); overflow-wrap: anywhere; }
.ftft-facts-line code { font-size: 0.95em; }
.ftft-splits { max-height: 21rem; overflow: auto; }
.ftft-splits table { border-collapse: collapse; width: 100%; }
.ftft-splits th { text-align: left; font-weight: 400; color: var(--ftft-muted); padding: 0.15rem 1.2rem 0.25rem 0;
  border: none; border-bottom: 1px solid var(--ftft-line); white-space: nowrap; position: sticky; top: 0;
  background: var(--ftft-background); }
.ftft-splits td { padding: 0.34rem 1.2rem 0.34rem 0; border: none; border-bottom: 1px solid var(--ftft-line);
  vertical-align: middle; }
.ftft-splits .number { text-align: right; white-space: nowrap; }
.ftft-splits .name { font-weight: 600; overflow-wrap: anywhere; max-width: 18rem; }
.ftft-splits .role { white-space: nowrap; }
.ftft-splits .role i { display: inline-block; width: 0.55rem; height: 0.55rem; border-radius: 50%;
  margin-right: 0.45rem; border: 1.5px solid var(--ftft-muted); }
.ftft-splits .balance { width: 38%; min-width: 14rem; padding-right: 1.5rem; }
.ftft-splits .coarser { color: var(--ftft-muted); font-size: 0.9em; overflow-wrap: anywhere; max-height: 2.8em;
  overflow: auto; }
.ftft-splits .ftft-bar { margin: 0.1rem 0; }
.ftft-problems { margin: 0.2rem 0 0; padding-left: 1.1rem; max-height: 16rem; overflow: auto;
  overflow-wrap: anywhere; }
.ftft-one { max-height: 372px; overflow: auto; }
.ftft-one .ftft-detail { max-height: none; }
.st-key-suites-examples [data-testid="stElementToolbar"] { display: none; }
"""

ROLES = {
    "train": "training",
    "dev": "development",
    "in_distribution": "in distribution",
    "out_of_distribution": "out of distribution",
}
MAX_SHOWN_CHARACTERS = 50_000
SHORT_FINGERPRINT = 12


def facts_line(facts: Mapping[str, Any], num_examples: int) -> str:
    """Return labels, texts, age and fingerprint of a suite in a line."""
    fingerprint = str(facts["fingerprint"])
    num_labels, added = len(facts["labels"]), f"{facts['created_at']:%d %b %Y}".lstrip("0")
    said = [
        f"{num_examples:,} examples in {facts['num_splits']} splits",
        "pairs of texts" if facts["is_pair"] else "single texts",
        f"{num_labels} labels",
        f"added {added}",
    ]
    mark = f'fingerprint <code title="{html.escape(fingerprint)}">{html.escape(fingerprint[:SHORT_FINGERPRINT])}</code>'
    return f'<div class="ftft-facts-line">{" · ".join(map(html.escape, said))} · {mark}</div>'


def splits_table(splits: pd.DataFrame, labels: Sequence[str], theme: Theme) -> str:
    """Return the splits of a suite: role, examples, label balance, words and groups."""
    has_groups = bool(splits["has_groups"].any())
    words_title = "median of the words between white space; of large splits, over every so manieth example"
    heads = [
        *("<th>split</th>", "<th>role</th>", '<th class="number">examples</th>', "<th>labels</th>"),
        f'<th class="number" title="{words_title}">words</th>',
        *(['<th class="number">groups</th>'] if has_groups else []),
    ]
    rows = []
    for row in splits.to_dict("records"):
        groups = f'<td class="number">{_count(row["num_groups"])}</td>' if has_groups else ""
        rows.append(
            f'<tr><td class="name">{html.escape(str(row["split"]))}</td><td class="role">{_role(row["role"], theme)}'
            f'</td><td class="number">{int(row["num_examples"]):,}</td><td class="balance">'
            f"{split_bar(row['labels'], labels, row['label_map'], theme)}{_coarser(row['label_map'])}</td>"
            f'<td class="number">{_words(row)}</td>{groups}</tr>'
        )
    return (
        f'<div class="ftft-splits" tabindex="0" data-testid="splits"><table><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def split_bar(
    counts: Mapping[str, int], labels: Sequence[str], label_map: Mapping[str, Sequence[str]] | None, theme: Theme
) -> str:
    """Return a split's label balance as a thin bar; a coarser label has the colours of those that it merges."""
    total = sum(counts.values())
    colours = label_colours(labels, theme)
    parts: list[tuple[str, int, str]] = []
    for label in classes_of(labels, label_map):
        merged = list(dict.fromkeys(colours[member] for member in (label_map or {}).get(label, [label])))
        background, count = _striped(merged), counts.get(label, 0)
        if parts and parts[-1][2] == background == theme.other:  # all that share the colour of "other" are one part
            parts[-1] = ("other labels", parts[-1][1] + count, background)
        else:
            parts.append((label, count, background))
    shown = [part for part in parts if part[1]]
    said = "; ".join(f"{cut(label, 40)} {count:,}" for label, count, _ in shown)
    spans = "".join(
        f'<span style="flex: {count} 0 0; background: {background}" '
        f'title="{html.escape(label)}: {count:,} ({percent(count, total)})"></span>'
        for label, count, background in shown
    )
    return f'<div class="ftft-bar" role="img" aria-label="{html.escape(f"Labels: {said}")}">{spans}</div>'


def sentences(lines: Sequence[str], *, style: str = "ftft-sentences ftft-quiet") -> str:
    """Return sentences as a list."""
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<ul class="{style}">{items}</ul>'


def example_markup(row: Mapping[str, Any], texts: Sequence[str]) -> str:
    """Return one example: its texts as they are, label, group and id."""
    boxes = "".join(f'<div class="ftft-detail" dir="auto">{html.escape(_shown(text))}</div>' for text in texts)
    said = [("label", row["label"]), ("group", row["group"]), ("example", row["example_id"])]
    parts = "".join(
        f'<span><span class="ftft-quiet">{name}</span> <bdi>{html.escape(str(value))}</bdi></span>'
        for name, value in said
        if isinstance(value, str)
    )
    boxes = boxes or '<div class="ftft-quiet">It came with imported dynamics, without its text.</div>'
    return f'<div class="ftft-one" tabindex="0" data-testid="example">{boxes}<div class="ftft-line">{parts}</div></div>'


def _role(role: str, theme: Theme) -> str:
    known = {"in_distribution": theme.in_distribution, "out_of_distribution": theme.out_of_distribution}
    style = f' style="background: {known[role]}; border-color: {known[role]}"' if role in known else ""
    return f"<i{style}></i>{ROLES.get(role, html.escape(role))}"


def _coarser(label_map: Mapping[str, Sequence[str]] | None) -> str:
    if not label_map:
        return ""
    said = "; ".join(f"{coarse} is {' or '.join(merged)}" for coarse, merged in label_map.items())
    return f'<div class="coarser">{html.escape(said)}</div>'


def _words(row: Mapping[str, Any]) -> str:
    found = [row["median_words"], row["median_words_pair"]]
    return " + ".join(f"{value:,.0f}" for value in found if not pd.isna(value)) or "–"


def _count(value: Any) -> str:
    return "–" if pd.isna(value) or not value else f"{int(value):,}"


def _striped(colours: Sequence[str]) -> str:
    if len(colours) == 1:
        return colours[0]
    stops = ", ".join(f"{colour} {4 * place}px {4 * place + 4}px" for place, colour in enumerate(colours))
    return f"repeating-linear-gradient(90deg, {stops})"


def _shown(text: str) -> str:
    left = len(text) - MAX_SHOWN_CHARACTERS
    return text if left <= 0 else f"{text[:MAX_SHOWN_CHARACTERS]} … and {left:,} characters more"
