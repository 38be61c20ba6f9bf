"""One example in the panel: its texts, how it was learnt, its neighbours, its marks, and the way to the next.

Owns what is shown of one example and the keys that move between examples; not which examples are selected.
"""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st

from ftft_core.errors import FTFTError
from ftft_core.figures import class_probability_figure, words
from ftft_core.ui import map_reads as reads
from ftft_core.ui.frame import as_text, chosen, redraw, show_error, theme
from ftft_core.ui.marking import draw_last_action, draw_marking, mark
from ftft_core.ui.subset_markup import percent
from ftft_core.ui.view import state

DETAIL_SCORES = ("confidence", "variability", "correctness", "forgetting_events", "aum", "el2n", "loss",
                 "label_quality")  # fmt: skip
MAX_SHOWN_CHARACTERS = 50_000
NUM_NEIGHBOURS = 5
QUIET_CHART = {"displayModeBar": False}


def draw_detail(row: int, data_map: pd.DataFrame, mask: npt.NDArray[np.bool_], labels: tuple[str, ...]) -> None:
    """Draw an example of the map.

    :param row: its row of the map.
    :param mask: (examples,) the selection; next and previous go through it, or through all if it is empty.
    """
    now = chosen()
    assert now.suite is not None
    assert now.run is not None
    facts = data_map.iloc[row]
    example_id, position = str(facts["example_id"]), int(facts["position"])
    _draw_moves(row, data_map, mask)
    try:
        example = now.workspace.examples(now.suite, "train", [example_id]).iloc[0]
        marks, history = now.workspace.example_marks(now.suite, example_id)
    except FTFTError as failure:
        show_error(failure)
        return
    texts = [str(example[name]) for name in ("text", "text_pair") if isinstance(example[name], str)]
    st.html("".join(f'<div class="ftft-detail" dir="auto">{html.escape(_shown(text))}</div>' for text in texts))
    _draw_labels(facts, marks, example)
    probabilities = now.workspace.class_probabilities(str(now.run["run_id"]), example_id)
    st.html('<div class="ftft-heading">Probability of each label by epoch</div>')
    st.plotly_chart(
        class_probability_figure(probabilities, list(labels), str(facts["label"]), theme()),
        config=QUIET_CHART, theme=None, key="detail.chart",
    )  # fmt: skip
    _draw_scores(facts, data_map)
    _draw_marks(position, marks, history, labels)
    _draw_neighbours(example_id)


def open_example(example_id: str | None) -> None:
    """Turn the panel into the detail of an example (for a click); None goes back to the selection."""
    state().example = example_id


def _draw_moves(row: int, data_map: pd.DataFrame, mask: npt.NDArray[np.bool_]) -> None:
    among = np.flatnonzero(mask) if mask.any() else np.arange(len(data_map))
    place = int(np.searchsorted(among, row))
    is_among = place < len(among) and among[place] == row
    before, after = place - 1, place + int(is_among)
    ids = data_map["example_id"]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="moves"):
        st.button("Back", icon=":material/arrow_back:", type="tertiary", key="detail.back",
                  help="Back to the selection", on_click=open_example, args=(None,),
                  shortcut="Alt+ArrowUp")  # fmt: skip
        st.space("stretch")
        said = f"{place + 1:,} of {len(among):,}" if is_among else "not selected"
        st.html(f'<span class="ftft-quiet">{said}</span>', width="content")
        st.button(":material/chevron_left:", type="tertiary", key="detail.previous",
                  help="Previous example", shortcut="Alt+ArrowLeft", disabled=before < 0, on_click=open_example,
                  args=(None if before < 0 else str(ids.iloc[among[before]]),))  # fmt: skip
        st.button(":material/chevron_right:", type="tertiary", key="detail.next", help="Next example",
                  shortcut="Alt+ArrowRight", disabled=after >= len(among), on_click=open_example,
                  args=(None if after >= len(among) else str(ids.iloc[among[after]]),))  # fmt: skip


def _draw_labels(facts: pd.Series, marks: dict[str, Any], example: pd.Series) -> None:
    said = [("label", facts["label"]), ("predicted", facts["predicted_label"])]
    if isinstance(example["group"], str):
        said.append(("group", example["group"]))
    if marks["proposed_label"]:
        said.append(("proposed", marks["proposed_label"]))
    said.append(("example", facts["example_id"]))
    parts = [f'<span class="ftft-quiet">{name}</span> {html.escape(str(value))}' for name, value in said]
    st.html('<div class="ftft-line">' + "".join(f"<span>{part}</span>" for part in parts) + "</div>")


def _draw_scores(facts: pd.Series, data_map: pd.DataFrame) -> None:
    cells = []
    for score in DETAIL_SCORES:
        value = facts[score]
        below = "–" if pd.isna(value) else percent(int((data_map[score] < value).sum()), len(data_map))
        cells.append(
            f"<td>{html.escape(words(score))}</td><td>{number_words(value)}</td>"
            f'<td title="of the examples have a lower value">{below}</td>'
        )
    rows = "".join(f"<tr>{left}{right}</tr>" for left, right in zip(cells[::2], cells[1::2], strict=True))
    head = '<th>score</th><th>value</th><th title="share of the examples with a lower value">lower</th>' * 2
    st.html(
        '<div class="ftft-heading">Scores <span class="ftft-quiet">and how many of the examples have a lower value'
        f'</span></div><table class="ftft-small ftft-facts"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    )


def _draw_marks(position: int, marks: dict[str, Any], history: pd.DataFrame, labels: tuple[str, ...]) -> None:
    at = np.array([position], dtype=np.int64)
    st.html('<div class="ftft-heading">Marks</div>')
    said = [f"#{tag}" for tag in marks["tags"]] + (["excluded from training"] if marks["excluded"] else [])
    if said:
        st.markdown(" ".join(f":blue-badge[{as_text(each)}]" for each in said))
    for note in marks["notes"]:
        st.html(f'<div class="ftft-note">{html.escape(_shown(note))}</div>')
    with st.container(horizontal=True, gap="small", key="mark_buttons"):
        with st.popover("Tag, note, label", icon=":material/sell:", key="detail.mark"):
            draw_marking(at, labels, key="detail.marking")
        kind = "include" if marks["excluded"] else "exclude"
        if st.button("Include again" if marks["excluded"] else "Exclude", icon=":material/block:", key="detail.exclude",
                     help="Leave it out of subsets that are saved from now on; the data stay as they are",
                     shortcut="Alt+X") and mark(at, kind):  # fmt: skip
            redraw()
        if len(history):
            with st.popover("History", icon=":material/history:", key="detail.history"):
                for action in history.to_dict("records"):
                    st.html(_history_line(action))
    draw_last_action()


def _history_line(action: dict[str, Any]) -> str:
    said = str(action["kind"]).replace("_", " ") + (f" {action['value']}" if isinstance(action["value"], str) else "")
    who = f"{action['author']}, {action['created_at']:%Y-%m-%d %H:%M}"
    why = f": {action['reason']}" if isinstance(action["reason"], str) else ""
    undone = "" if pd.isna(action["undone_at"]) else " (undone)"
    return f"<div>{html.escape(_shown(said))}{undone} <span class='ftft-quiet'>{html.escape(who + why)}</span></div>"


def _draw_neighbours(example_id: str) -> None:
    now = chosen()
    assert now.suite is not None
    try:
        near = reads.neighbours(now.suite, example_id, NUM_NEIGHBOURS)
    except FTFTError as failure:
        show_error(failure)
        return
    if near is None:
        return
    st.html('<div class="ftft-heading">Nearest texts <span class="ftft-quiet">cosine, label</span></div>')
    texts = now.workspace.examples(now.suite, "train", list(near["example_id"]))
    for neighbour, text in zip(near.to_dict("records"), texts["text"], strict=True):
        said = f"{float(neighbour['cosine']):.2f}  {neighbour['label']}  {_one_line(str(text))}"
        st.button(as_text(said), key=f"near.{neighbour['example_id']}", type="tertiary", width="stretch",
                  on_click=open_example, args=(str(neighbour["example_id"]),))  # fmt: skip


def _shown(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[:MAX_SHOWN_CHARACTERS] + " …"


def _one_line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 60 else flat[:59] + "…"


def number_words(value: Any) -> str:
    """Word a score: counts as whole numbers, others with three decimals, nothing as a dash."""
    if pd.isna(value):
        return "–"
    return f"{int(value):,}" if isinstance(value, int | np.integer) else f"{float(value):.3f}"
