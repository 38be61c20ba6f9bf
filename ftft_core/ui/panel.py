"""The panel beside the map: the selection in numbers, or one example in detail.

Owns what is shown of a selection and the way from it to a saved subset; not how the selection came about.
"""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from ftft_core.errors import FTFTError
from ftft_core.figures import lengths_figure, quartile_figure, scores_figure, shares_figure, words_figure
from ftft_core.profile import LEAST_Z, Profile
from ftft_core.selection import IdsCondition
from ftft_core.ui import map_reads as reads
from ftft_core.ui.chips import draw_chips, draw_filter, draw_tools, take_share
from ftft_core.ui.condition_forms import Facts
from ftft_core.ui.detail import draw_detail
from ftft_core.ui.frame import as_text, chosen, num_counted_epochs, say, show_error, theme
from ftft_core.ui.hints import draw_hints
from ftft_core.ui.maps import Seen
from ftft_core.ui.marking import draw_last_action, draw_marking, last_action
from ftft_core.ui.selecting import check_condition
from ftft_core.ui.subset_markup import percent
from ftft_core.ui.view import choose, fits_address, history, state

SAVED = "map.saved"
"""(choice as text, id, name, what was marked last by then) of the subset saved last."""

BODY_HEIGHT = 372
DETAIL_HEIGHT = 700
QUIET_CHART = {"displayModeBar": False}
NO_AMBIGUOUS = "Ambiguous are examples of high variability; that needs two epochs, and this map has one"
PARTS = ("Summary", "Words", "Scores", "Hints")


def draw_panel(seen: Seen) -> None:
    """Draw the panel."""
    with st.container(key="panel"):
        row = _open_row(seen)
        if row is not None:
            with st.container(height=DETAIL_HEIGHT, border=False, key="detail"):
                draw_detail(row, seen.data_map, seen.selection.mask, seen.labels)
        else:
            _draw_selection(seen)


def _open_row(seen: Seen) -> int | None:
    """Return the map's row of the example whose detail is open."""
    example_id = state().example
    if example_id is None:
        return None
    rows = np.flatnonzero(seen.data_map["example_id"].eq(example_id))
    if not len(rows):
        state().example = None
        st.warning(as_text(f"Example '{example_id[:100]}' is not on this map."))
        return None
    return int(rows[0])


def _draw_selection(seen: Seen) -> None:
    selection, everything = seen.selection, len(seen.data_map)
    run_id = str(seen.run["run_id"])
    count = selection.count
    shown = f"{count:,}" if selection.is_made else "None"
    share = f" ({percent(count, everything)})" if selection.is_made else ""
    facts = _facts(seen)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="panel_head"):
        st.html(f'<div class="ftft-quiet ftft-name">Selection{_head_words(seen)}</div>')
        draw_tools(run_id, facts)
    st.html(
        f'<div class="ftft-count" data-testid="selection-count">{shown} '
        f'<span class="ftft-quiet">of {everything:,}{share}</span></div>'
    )
    draw_chips(run_id, facts)
    draw_filter(run_id, facts.check)
    if selection.failure is not None:
        show_error(selection.failure)
        return
    if not selection.is_made:
        _draw_invitation(run_id, seen.epochs or num_counted_epochs(seen.run))
        return
    _draw_next_steps(seen)
    part = st.segmented_control("Part", PARTS, default=PARTS[0], key="panel.part", label_visibility="collapsed",
                                required=True, width="stretch")  # fmt: skip
    with st.container(height=BODY_HEIGHT, border=False, key="panel_body"):
        _DRAWN[str(part)](seen)


def _head_words(seen: Seen) -> str:
    """Say in markup what else there is to know of a selection; in the head's line, so that nothing below moves."""
    if not seen.selection.leaves_out_excluded:
        return _link_words(seen)
    number = reads.num_excluded(str(seen.run["suite"]))
    noun, verb = ("example", "is") if number == 1 else ("examples", "are")
    said = f"{number:,} {noun} that {verb} excluded from training {verb} left out; add the condition Excluded for them"
    return f'<span title="{said}">, without {number:,} excluded</span>' + _link_words(seen)


def _link_words(seen: Seen) -> str:
    """Say in markup if an address can't hold the selection."""
    if fits_address(seen.selection.choice):
        return ""
    said = "It is too long for an address: it stays in this tab, and goes with a reload. Save it as a subset to keep it"
    return f'<span title="{said}">, not in the link</span>'


def _draw_invitation(run_id: str, num_epochs: int) -> None:
    say("Draw around points of the map, type a filter, add conditions, or start with a third of the examples:")
    with st.container(horizontal=True, gap="small"):
        for strategy in ("ambiguous", "hard", "easy", "random"):
            is_missing = strategy == "ambiguous" and num_epochs < 2
            st.button(strategy.capitalize(), key=f"take.{strategy}", on_click=take_share, args=(run_id, strategy),
                      disabled=is_missing, help=NO_AMBIGUOUS if is_missing else None)  # fmt: skip
    say("Shift adds to what is drawn, Alt cuts out of it; a click on a point shows its text.")


def _draw_summary(seen: Seen) -> None:
    profile = _profile(seen)
    if profile is None:
        return
    st.html('<div class="ftft-heading">Labels <span class="ftft-quiet">tick: the rest</span></div>')
    st.plotly_chart(shares_figure(profile.labels, theme()), config=QUIET_CHART, theme=None, key="panel.balance")
    if profile.curves is not None:
        st.html(
            '<div class="ftft-heading">Gold probability by epoch '
            '<span class="ftft-quiet">median, quartiles</span></div>'
        )
        st.plotly_chart(quartile_figure(profile.curves, theme()), config=QUIET_CHART, theme=None, key="panel.curve")
    st.html('<div class="ftft-heading">What sets it apart</div>')
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in profile.sentences)
    st.html(f'<ul class="ftft-sentences">{items}</ul>')


def _draw_words(seen: Seen) -> None:
    profile = _profile(seen)
    if profile is None:
        return
    if profile.words is None or profile.words.empty:
        say("There are no words to compare.")
        return
    is_marked = (profile.words["z"].abs() >= LEAST_Z).any()
    st.html(
        '<div class="ftft-heading">Words that set it apart <span class="ftft-quiet" title="Log-odds ratio with an '
        f'informative Dirichlet prior, Monroe et al. 2008; faint: nearer to 0 than {LEAST_Z:g}, as chance makes them">'
        f"z-scores{'' if is_marked else '; none is beyond chance'}</span></div>"
    )
    st.plotly_chart(words_figure(profile.words, theme()), config=QUIET_CHART, theme=None, key="panel.words")
    if profile.lengths is not None:
        st.html(
            '<div class="ftft-heading">Length in words <span class="ftft-quiet">median, middle half, 90 %</span></div>'
        )
        st.plotly_chart(lengths_figure(profile.lengths, theme()), config=QUIET_CHART, theme=None, key="panel.lengths")


def _draw_scores(seen: Seen) -> None:
    profile = _profile(seen)
    if profile is None:
        return
    st.html(
        '<div class="ftft-heading">Scores <span class="ftft-quiet" title="Probability that a selected example has the '
        'higher value than one of the rest; the middle is no difference">higher or lower than the rest</span></div>'
    )
    st.plotly_chart(scores_figure(profile.scores, theme()), config=QUIET_CHART, theme=None, key="panel.scores")
    _draw_confusion(profile.confusion)
    if len(profile.groups):
        st.html('<div class="ftft-heading">Groups <span class="ftft-quiet">tick: the rest</span></div>')
        groups = shares_figure(profile.groups, theme(), in_colours=False)
        st.plotly_chart(groups, config=QUIET_CHART, theme=None, key="panel.groups")


def _draw_confusion(confusion: pd.DataFrame) -> None:
    """Draw how many of each given label were predicted as what."""
    head = "".join(f"<th>{html.escape(_short(name))}</th>" for name in confusion.columns)
    rows = "".join(
        f"<tr><td>{html.escape(_short(given))}</td>" + "".join(f"<td>{int(count):,}</td>" for count in counts) + "</tr>"
        for given, counts in zip(confusion.index, confusion.to_numpy(), strict=True)
    )
    st.html(
        '<div class="ftft-heading">Given label (rows) and predicted</div>'
        '<div class="ftft-wide"><table class="ftft-small">'
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _draw_hints(seen: Seen) -> None:
    draw_hints(seen, lambda ids: _narrow(seen, ids))


def _narrow(seen: Seen, example_ids: tuple[str, ...]) -> None:
    """Keep only these examples; a strategy took them already, and shall not take a share of them again."""
    run_id = str(seen.run["run_id"])
    now = history(run_id).now.model_copy(update={"strategy": None, "fraction": None, "balance": False})
    choose(run_id, now.added(IdsCondition(example_ids=example_ids)))


_DRAWN = {"Summary": _draw_summary, "Words": _draw_words, "Scores": _draw_scores, "Hints": _draw_hints}


def _profile(seen: Seen) -> Profile | None:
    try:
        return reads.profile(seen.run, seen.epochs, seen.data_map, seen.selection.mask)
    except FTFTError as failure:
        show_error(failure)
        return None


def _draw_next_steps(seen: Seen) -> None:
    """Draw what can be done with the selection: save it, its random twin, mark its examples."""
    selection = seen.selection
    assert selection.recipe is not None
    text = selection.recipe.model_dump_json()
    count = selection.count
    noun = "example" if count == 1 else "examples"
    saved = st.session_state.get(SAVED)
    name_column, save_column = st.columns([1, 1.25], gap="small")
    name = name_column.text_input("Name", key="map.name", placeholder="name (optional)", label_visibility="collapsed")
    if save_column.button(
        f"Save {count:,} {noun} as subset", type="primary", width="stretch", key="map.save", disabled=count == 0
    ):
        try:
            record = chosen().workspace.save_subset(selection.recipe, name=name.strip() or None)
        except FTFTError as failure:
            show_error(failure)
            return
        saved = (text, record.subset, record.name, last_action())
        st.session_state[SAVED] = saved
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if st.button("Save a random twin", key="map.twin", type="tertiary",
                     help="As many examples, drawn at random: the honest baseline for this subset"):  # fmt: skip
            _save_twin(seen)
        with st.popover("Mark them", type="tertiary", key="map.mark"):
            positions = seen.data_map["position"].to_numpy()[selection.mask]
            draw_marking(positions, seen.labels, key="marking")
    if saved and saved[0] == text and saved[3] == last_action():
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key="just_saved"):
            said = html.escape(str(saved[2]))
            st.html(f'<div class="ftft-name" title="{said}">Saved as {said}</div>')
            if st.button("Fine-tune on this", key="map.fine_tune", type="tertiary"):
                st.session_state["fine_tune.subset"] = saved[1]
                st.switch_page("pages/fine_tune.py")
    else:
        draw_last_action()


def _save_twin(seen: Seen) -> None:
    """Save a twin of the selection; where it was just saved, the twin knows the subset that it is a twin of."""
    assert seen.selection.recipe is not None
    saved = st.session_state.get(SAVED)
    of: Any = seen.data_map["position"].to_numpy()[seen.selection.mask]
    names = reads.subset_names(str(seen.run["suite"]))
    if saved and saved[1] in names and saved[0] == seen.selection.recipe.model_dump_json():
        of = saved[1]
    try:
        record = chosen().workspace.random_twin(of, suite=str(seen.run["suite"]))
    except FTFTError as failure:
        show_error(failure)
    else:
        st.toast(f"Saved {as_text(record.name)}: {record.size:,} examples, drawn at random.", icon=":material/casino:")


def _facts(seen: Seen) -> Facts:
    suite = str(seen.run["suite"])
    group = seen.data_map["group"]
    groups = tuple(str(name) for name in group.cat.categories) if group.notna().any() else ()
    return Facts(
        seen.data_map, seen.labels, groups, reads.is_pair(suite), reads.subset_names(suite), reads.tag_names(suite),
        check=lambda condition: check_condition(seen.run, seen.data_map, seen.epochs, condition),
    )  # fmt: skip


def _short(text: object, limit: int = 14) -> str:
    said = str(text)
    return said if len(said) <= limit else said[: limit - 1] + "…"
