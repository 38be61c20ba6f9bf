"""The map of the run, with a second one beside it if wanted, and the gestures on them.

Owns which maps are drawn and what a gesture on each does to the choice; drawing is `map_component`'s, choosing
`view`'s.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st

from ftft_core.cartography import SCORES
from ftft_core.errors import FTFTError
from ftft_core.figures import DrawnMap, MapColours, MapPlaces, Window, map_colours, map_places
from ftft_core.figures.sampling import MAX_DRAWN_POINTS
from ftft_core.figures.themes import MAX_LABEL_COLOURS
from ftft_core.run_folder import ENDED
from ftft_core.selection import (
    BoxCondition,
    LabelCondition,
    PolygonCondition,
    SetCondition,
    TaggedCondition,
    ThresholdCondition,
)
from ftft_core.ui import map_reads, reads
from ftft_core.ui.frame import chosen, num_counted_epochs, say, show_error, theme
from ftft_core.ui.gestures import (
    with_clicked,
    with_membership,
    with_outline,
    with_range,
    with_value,
    without_drawn,
)
from ftft_core.ui.map_component import LegendClick, show_map, window_in_view
from ftft_core.ui.map_controls import shown_axes
from ftft_core.ui.selecting import Selection, current_selection
from ftft_core.ui.view import (
    COLUMN_COLOURS,
    NO_RUN,
    SUBSET_COLOUR,
    TAG_COLOUR,
    Choice,
    choose,
    history,
    redo,
    state,
    undo,
)

MAP_HEIGHT = 632
AROUND = 200
"""Pixels of the page over a map."""

NAME_LINE, AGREEMENT, SENTENCE, DOUBT = 28, 52, 32, 60
"""Pixels of what stands around maps in pairs, and of a sentence or a doubt above any."""


@dataclass(frozen=True)
class Seen:
    """What is on the map, for the panel and the table."""

    run: dict[str, Any]
    data_map: pd.DataFrame
    epochs: int | None
    """Epochs counted; None for all."""
    labels: tuple[str, ...]
    selection: Selection


def draw_maps() -> Seen:
    """Draw the map, or both, and return what they show; a failure is shown and ends the page."""
    now, run = state(), chosen().run
    assert run is not None
    run_id = str(run["run_id"])
    num_epochs = num_counted_epochs(run)
    asked = now.epochs.get(run_id)
    if asked is not None and not 1 <= asked < num_epochs:
        now.epochs.pop(run_id)
        if asked > num_epochs:
            st.warning(f"The link shows {asked} epochs; this run has {num_epochs}, and all of them are shown.")
        asked = None
    try:
        data_map = map_reads.map_frame(run, epochs=asked)
        labels = reads.suite_labels(str(run["suite"]))
    except FTFTError as failure:
        show_error(failure)
        st.stop()
    selection = current_selection(run, data_map, asked, history(run_id).now)
    other = _other_run()
    _draw_doubts(run)
    if other is None:
        _draw_map(run, run, data_map, asked, selection.mask, selection, f"map.{run_id}")
    else:
        left, right = st.columns(2, gap="small")
        with left:
            _draw_map(run, run, data_map, asked, selection.mask, selection, f"map.{run_id}.beside")
        with right:
            other_map = map_reads.map_frame(other, epochs=None)
            mask = _carried_over(selection.mask, data_map, other_map)
            _draw_map(other, run, other_map, None, mask, selection, f"map.{run_id}.{other['run_id']}")
        _draw_agreement(run, other)
    return Seen(run, data_map, asked, labels, selection)


def _doubts(run: dict[str, Any]) -> tuple[str, ...]:
    """Return why the whole map of a run that has ended tells little; early epochs do, and that is no fault."""
    if run["status"] not in ENDED:
        return ()
    data_map = map_reads.map_frame(run, epochs=None)
    if "adjusted_variability" in (state().x, state().y):
        # Who looks at it need not be told to.
        data_map = data_map.drop(columns="adjusted_variability")
    return map_reads.doubts(run, data_map)


def _draw_doubts(run: dict[str, Any]) -> None:
    if found := _doubts(run):
        colour, said = theme().correctness[0], html.escape(" ".join(found)).replace(" %", "&nbsp;%")
        st.html(f'<div class="ftft-warn ftft-doubt" data-testid="doubt" style="color: {colour}">{said}</div>')


def _draw_map(
    shown: dict[str, Any],
    run: dict[str, Any],
    data_map: pd.DataFrame,
    epochs: int | None,
    mask: npt.NDArray[np.bool_],
    selection: Selection,
    key: str,
) -> None:
    """Draw the map of a run.

    :param shown: the run whose map this is.
    :param run: the run whose choice the gestures change: the same, or the one that `shown` stands beside.
    """
    now = state()
    axes = shown_axes(run)
    run_id, num_epochs = str(run["run_id"]), num_counted_epochs(shown)
    is_other = shown["run_id"] != run["run_id"]
    is_sampled = len(data_map) > MAX_DRAWN_POINTS
    window = window_in_view(key, axes) if is_sampled else None
    first = _first_coloured(selection.choice, now.colour, data_map)
    drawn = _drawn(shown, data_map, epochs, axes, now.colour, window, first)
    name = str(shown["name"])

    def gesture(condition: PolygonCondition | BoxCondition, mode: str) -> None:
        outline = condition.model_copy(update={"run": str(shown["run_id"])}) if is_other else condition
        choose(run_id, with_outline(history(run_id).now, outline, mode))

    def click(row: int, additive: bool) -> None:
        example_id = str(data_map["example_id"].iloc[row])
        if additive:
            choose(run_id, with_clicked(history(run_id).now, example_id))
        else:
            state().example = example_id

    def legend(clicked: LegendClick) -> None:
        choose(run_id, _with_legend(history(run_id).now, clicked, str(run["suite"])))

    def set_epochs(count: int) -> None:
        now.epochs[run_id] = count

    focus = np.flatnonzero(data_map["example_id"].eq(now.example or ""))
    around = AROUND + SENTENCE * (axes != (now.x, now.y)) + DOUBT * bool(_doubts(run))
    if now.beside != NO_RUN:
        around += NAME_LINE + AGREEMENT
        st.html(
            f'<div class="ftft-name ftft-map-name">{html.escape(name)}{_part_words(is_other, mask, selection)}</div>'
        )
    excluded = map_reads.excluded_mask(str(shown["suite"]), data_map)
    own = [item for item in selection.choice.conditions if item.kind in ("polygon", "box")]
    outlines = [item for item in own if item.run == (str(shown["run_id"]) if is_other else None)]
    show_map(
        drawn,
        key=key,
        axes=axes,
        selected=mask if selection.is_made else None,
        outlines=outlines,
        legend_active=_active(selection.choice, now.colour),
        epochs=(epochs or num_epochs, num_epochs) if not is_other else (1, 1),
        focus_row=int(focus[0]) if len(focus) else None,
        file_name=f"{name}-{axes[0]}-{axes[1]}",
        report_view=is_sampled,
        height=MAP_HEIGHT,
        around=around,
        crossed=excluded,
        on_gesture=gesture,
        on_click=click,
        on_legend=legend,
        on_epochs=set_epochs,
        on_clear=lambda: choose(run_id, without_drawn(history(run_id).now)),
        on_undo=lambda: undo(run_id),
        on_redo=lambda: redo(run_id),
    )


def _part_words(is_other: bool, mask: npt.NDArray[np.bool_], selection: Selection) -> str:
    """Say in markup how much of the selection the second map has, or of the examples where nothing is selected."""
    if not is_other:
        return ""
    if not selection.is_made:
        return f' <span class="ftft-quiet">{len(mask):,} of {len(selection.mask):,} examples</span>'
    here = int(np.count_nonzero(mask))
    return f' <span class="ftft-quiet">{here:,} of the {selection.count:,} selected are on this map</span>'


def _drawn(
    shown: dict[str, Any],
    data_map: pd.DataFrame,
    epochs: int | None,
    axes: tuple[str, str],
    colour: str,
    window: Window | None,
    first: tuple[str, ...],
) -> DrawnMap:
    """Return the drawn map; at an early epoch the same points in the same frame as at the last, so that they glide."""
    final = data_map if epochs is None else map_reads.map_frame(shown, epochs=None)
    last = _places(shown, None, axes, window, final, None)
    places = last if epochs is None else _places(shown, epochs, axes, window, data_map, last)
    values, marks = _colour_values(shown, colour, data_map)
    last_colours = None
    if epochs is not None and (colour in SCORES or colour in COLUMN_COLOURS):
        last_colours = _colours(shown, None, axes, window, colour, "", final, last, colour, None, first)
    return DrawnMap(
        places, _colours(shown, epochs, axes, window, colour, marks, data_map, places, values, last_colours, first)
    )


def _first_coloured(choice: Choice, colour: str, data_map: pd.DataFrame) -> tuple[str, ...]:
    """Return the values that were chosen of the column that colours the map, if not all of them can have a colour."""
    if colour not in COLUMN_COLOURS or len(data_map[colour].cat.categories) <= MAX_LABEL_COLOURS:
        return ()
    chosen_values = [
        label
        for item in choice.conditions
        if isinstance(item, LabelCondition) and item.column == colour and not item.negated
        for label in item.labels
    ]
    return tuple(sorted(set(chosen_values)))


def _places(
    shown: dict[str, Any], epochs: int | None, axes: tuple[str, str], window: Window | None, data_map: pd.DataFrame,
    last: MapPlaces | None,
) -> MapPlaces:  # fmt: skip
    return _kept_places(
        str(shown["run_id"]),
        str(shown["counted_epochs"]),
        epochs,
        axes,
        window,
        data_map,
        num_counted_epochs(shown),
        last,
    )


@st.cache_resource(show_spinner=False, max_entries=24)
def _kept_places(
    run_id: str, counted: str, epochs: int | None, axes: tuple[str, str], window: Window | None,
    _data_map: pd.DataFrame, _num_epochs: int, _last: MapPlaces | None,
) -> MapPlaces:  # fmt: skip
    return map_places(_data_map, x=axes[0], y=axes[1], num_epochs=_num_epochs, window=window, like=_last)


def _colours(
    shown: dict[str, Any], epochs: int | None, axes: tuple[str, str], window: Window | None, colour: str, marks: str,
    data_map: pd.DataFrame, places: MapPlaces, values: str | pd.Series, last: MapColours | None,
    first: tuple[str, ...],
) -> MapColours:  # fmt: skip
    labels = reads.suite_labels(str(shown["suite"]))
    return _kept_colours(
        str(shown["run_id"]), str(shown["counted_epochs"]), epochs, axes, window, colour, marks, data_map, places,
        values, last, labels, first,
    )  # fmt: skip


@st.cache_resource(show_spinner=False, max_entries=24)
def _kept_colours(
    run_id: str, counted: str, epochs: int | None, axes: tuple[str, str], window: Window | None, colour: str,
    marks: str, _data_map: pd.DataFrame, _places: MapPlaces, _values: str | pd.Series, _last: MapColours | None,
    _labels: tuple[str, ...], first: tuple[str, ...],
) -> MapColours:  # fmt: skip
    if colour.startswith(SUBSET_COLOUR) and isinstance(_values, pd.Series):
        return map_colours(_data_map, _places, _values, quiet=_values.cat.categories[:1], title="subset")
    return map_colours(_data_map, _places, _values, labels=_labels, first=first, like=_last)


def _colour_values(shown: dict[str, Any], colour: str, data_map: pd.DataFrame) -> tuple[str | pd.Series, str]:
    """Return what the points are coloured by, and a text that changes whenever it does."""
    suite = str(shown["suite"])
    if colour.startswith(SUBSET_COLOUR):
        subset = colour.removeprefix(SUBSET_COLOUR)
        name = map_reads.subset_names(suite).get(subset, subset)
        inside = map_reads.subset_mask(suite, subset, data_map)
        values = pd.Categorical.from_codes(inside.astype(np.int8), [f"not in {name}", f"in {name}"])
        return pd.Series(values, name=colour), reads.database_state()
    if colour == TAG_COLOUR:
        return pd.Series(map_reads.tag_of_each(suite, data_map), name=colour), reads.database_state()
    return colour, ""


def _with_legend(choice: Choice, clicked: LegendClick, suite: str) -> Choice:
    """Return the choice after a click in the legend."""
    if clicked.colour in SCORES:
        return with_range(choice, clicked.colour, clicked.low, clicked.high)
    if clicked.colour in ("label", "predicted_label", "group"):
        for value in clicked.values:
            choice = with_value(choice, clicked.colour, value)
        return choice
    for value in clicked.values:
        if clicked.colour == TAG_COLOUR and value.startswith("#"):
            choice = with_membership(choice, TaggedCondition(tag=value.removeprefix("#")))
        elif clicked.colour.startswith(SUBSET_COLOUR):
            subset = clicked.colour.removeprefix(SUBSET_COLOUR)
            name = map_reads.subset_names(suite).get(subset, subset)
            inside = SetCondition(expression=name, operands={name: subset}, negated=value.startswith("not "))
            choice = with_membership(choice, inside)
    return choice


def _active(choice: Choice, colour: str) -> tuple[str, ...] | tuple[float | None, float | None] | None:
    for condition in choice.conditions:
        if isinstance(condition, LabelCondition) and condition.column == colour and not condition.negated:
            return tuple(condition.labels)
        if isinstance(condition, ThresholdCondition) and condition.score == colour and condition.run is None:
            return (condition.low, condition.high)
    return None


def _other_run() -> dict[str, Any] | None:
    now, run = state(), chosen().run
    if now.beside == NO_RUN or run is None:
        return None
    listed = reads.runs(str(run["suite"]))
    found = listed[listed["run_id"] == now.beside].to_dict("records")
    return {str(name): value for name, value in found[0].items()} if found else None


def _carried_over(
    mask: npt.NDArray[np.bool_], data_map: pd.DataFrame, other_map: pd.DataFrame
) -> npt.NDArray[np.bool_]:
    """Return the same examples in another run's map: runs of one suite name examples by the same positions."""
    here, there = data_map["position"].to_numpy(), other_map["position"].to_numpy()
    selected = np.zeros(max(int(here.max(initial=-1)), int(there.max(initial=-1))) + 1, dtype=bool)
    selected[here] = mask
    return selected[there]


def _draw_agreement(run: dict[str, Any], other: dict[str, Any]) -> None:
    """Say how alike the two maps are."""
    try:
        said = map_reads.agreement(run, other, tuple(dict.fromkeys(shown_axes(run))))
    except FTFTError as failure:
        show_error(failure)
        return
    say(said)
