"""The data map in the browser: a component of our own.

Owns what is sent to the browser and what comes back: outlines in data coordinates, a clicked row, a part of the
legend, an epoch, the part in view. It does not decide which examples are selected, and keeps none of it: the outlines
and the selection that are drawn are those that it is given.

The figure's numbers go to the browser once, as files; a new selection is one bit for each drawn point. All events
come back in one value, a list of numbered events that the browser repeats until their number is answered, so that
none is lost and none counts twice when Streamlit joins or repeats messages.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import plotly
import streamlit as st
from streamlit.runtime import get_instance
from streamlit.runtime.scriptrunner import get_script_run_ctx

from ftft_core.config import parse
from ftft_core.dynamics import BoolArray
from ftft_core.errors import FTFTError, InputError, WorkspaceError, unknown
from ftft_core.figures import LIGHT, DrawnMap, Window, theme_named, words
from ftft_core.selection import BoxCondition, Condition, PolygonCondition
from ftft_core.ui.frame import as_text
from ftft_core.ui.map_markup import CSS, HTML

SCRIPTS = ("data", "view", "points", "axes", "gestures", "legend", "foot", "saving", "component")
"""The JavaScript's parts, `map_*.js` beside this module, in the order in which they are joined."""

MODES = ("replace", "add", "subtract")
Mode = Literal["replace", "add", "subtract"]
Outline = PolygonCondition | BoxCondition


@dataclass(frozen=True)
class LegendClick:
    """What was chosen in a map's legend."""

    colour: str
    """The score or column that the map is coloured by."""
    values: tuple[str, ...] = ()
    """What the chip stands for, several for "other"; empty for a score."""
    low: float | None = None
    """Lowest value of the bars of a score's legend; None where they are open below."""
    high: float | None = None
    """Highest value of the bars; None where they are open above."""


_component = st.components.v2.component(
    "ftft_data_map",
    html=HTML,
    css=CSS,
    js="\n".join(Path(__file__).with_name(f"map_{name}.js").read_text("utf-8") for name in SCRIPTS),
    isolate_styles=False,
)


def show_map(
    drawn: DrawnMap,
    *,
    key: str,
    axes: tuple[str, str],
    selected: BoolArray | None,
    outlines: Sequence[Condition] = (),
    legend_active: Sequence[str] | tuple[float | None, float | None] | None = None,
    epochs: tuple[int, int] = (1, 1),
    focus_row: int | None = None,
    file_name: str = "data-map",
    report_view: bool = False,
    height: int = 620,
    around: int = 200,
    crossed: BoolArray | None = None,
    on_gesture: Callable[[Outline, Mode], None],
    on_click: Callable[[int, bool], None],
    on_legend: Callable[[LegendClick], None] | None = None,
    on_epochs: Callable[[int], None] | None = None,
    on_clear: Callable[[], None] | None = None,
    on_undo: Callable[[], None] | None = None,
    on_redo: Callable[[], None] | None = None,
) -> None:
    """Mount the map. The callbacks are called before the script (or the fragment around the map) runs again.

    :param axes: scores on x and y; they come back with an outline.
    :param selected: (examples,) membership over all examples; None when nothing is selected, so that nothing fades.
    :param outlines: conditions to draw; those that are no outlines on these axes are left out, and what a negated one
        takes away is dashed.
    :param legend_active: values of the chips that are pressed, or the range of the score that is chosen.
    :param epochs: counted epochs shown, and of how many; with one there is no slider.
    :param focus_row: row of the map to put a ring around.
    :param file_name: of a saved figure, without its ending.
    :param report_view: send the zoomed window, for maps of which only a sample is drawn.
    :param height: pixels of everything: tools, legend, map and foot.
    :param around: pixels of the page above and below that shall be on the first screen with the map.
    :param crossed: (examples,) those whose points are crossed out: excluded from training.
    :param on_gesture: called with an outline, and whether it replaces, adds or subtracts.
    :param on_click: called with the row of a clicked point, and whether Shift was held.
    """
    places, colours = drawn.places, drawn.colours

    def gesture(value: Any) -> None:
        on_gesture(*gesture_condition(value, axes))

    def clicked(value: Any) -> None:
        row = value["row"]
        if isinstance(row, int) and 0 <= row < len(places.x):
            on_click(row, bool(value.get("additive")))

    def legend(value: Any) -> None:
        if on_legend is not None:
            on_legend(_legend_click(value, drawn))

    def epoch(value: Any) -> None:
        if on_epochs is not None and isinstance(value, int) and 1 <= value <= epochs[1]:
            on_epochs(value)

    def call(callback: Callable[[], None] | None) -> Callable[[Any], None]:
        return lambda _: None if callback is None else callback()

    answers = {
        "gesture": gesture,
        "clicked": clicked,
        "legend": legend,
        "epochs": epoch,
        "cleared": call(on_clear),
        "undo": call(on_undo),
        "redo": call(on_redo),
        "lost": call(None),
    }
    theme = theme_named(st.context.theme.type)
    _component(
        key=key,
        data={
            "key": key,
            "places": _file_url(places.content, f"{key}.places"),
            "colours": _file_url(colours.content, f"{key}.colours"),
            "crossed": None if crossed is None or not crossed.any() else _bits(crossed[places.rows]),
            "selected": None if selected is None else _selected_message(drawn, selected),
            "outlines": [message for outline in outlines if (message := _outline_message(outline, axes))],
            "legend_active": None if legend_active is None else list(legend_active),
            "epochs": list(epochs),
            "focus": _place_of(drawn, focus_row),
            "window": window_in_view(key, axes) if report_view else None,
            "report_view": report_view,
            "height": height,
            "around": around,
            "file_name": file_name,
            "plotly": _plotly(),
            "theme": dataclasses.asdict(theme),
            "print_theme": dataclasses.asdict(LIGHT),
            "words": _words(drawn, axes, selected),
            "answered": st.session_state.get(f"{key}.answered", 0),
        },
        on_events_change=functools.partial(_answer, key, answers),
        on_view_change=lambda: None,  # Streamlit asks for a callback for every value that a component may send
    )


def gesture_condition(value: Any, axes: tuple[str, str]) -> tuple[Outline, Mode]:
    """Return the outline that the browser sent, and how it joins those before it.

    :raises InputError: if it is none on these axes, such as a polygon with two corners.
    """
    if not isinstance(value, Mapping):
        raise InputError(f"An outline must be an object; received {type(value).__name__}.")
    fields = dict(value)
    mode = fields.pop("mode", "replace")
    if mode not in MODES:
        raise InputError(unknown("way to join an outline", mode, MODES))
    if (fields.get("x"), fields.get("y")) != axes:
        raise InputError(f"The outline is not on the axes {axes[0]} and {axes[1]}; draw it again.")
    kind: type[Outline] = BoxCondition if fields.get("kind") == "box" else PolygonCondition
    outline: Outline = parse(kind, fields, what="The outline")
    return outline, mode


def window_in_view(key: str, axes: tuple[str, str]) -> Window | None:
    """Return the window that the map under `key` was zoomed to, None for the whole map or other axes."""
    view = (st.session_state.get(key) or {}).get("view")
    if not isinstance(view, Mapping) or (view.get("x"), view.get("y")) != axes:
        return None
    numbers = view.get("window")
    if not isinstance(numbers, list) or len(numbers) != 4 or not all(isinstance(n, int | float) for n in numbers):
        return None
    low_x, high_x, low_y, high_y = (float(number) for number in numbers)
    return (low_x, high_x, low_y, high_y) if low_x < high_x and low_y < high_y else None


def _answer(key: str, answers: Mapping[str, Callable[[Any], None]]) -> None:
    """Call the callbacks of all events that were not answered before, in their order."""
    events = (st.session_state.get(key) or {}).get("events")
    for event in events if isinstance(events, list) else ():
        number, name = event.get("number"), event.get("event")
        if not isinstance(number, int) or number <= st.session_state.get(f"{key}.answered", 0) or name not in answers:
            continue
        st.session_state[f"{key}.answered"] = number
        try:
            answers[name](event.get("value"))
        except FTFTError as failure:
            st.toast(as_text(" ".join([failure.message, *failure.problems])), icon=":material/error:")


def _legend_click(value: Any, drawn: DrawnMap) -> LegendClick:
    """Return the click that the browser sent, if it is on this map's legend.

    :raises InputError: if it is not.
    """
    colours = drawn.colours
    if colours.limits is None:
        for chip in colours.chips:
            if chip.values and list(chip.values) == value.get("values"):
                return LegendClick(colours.name, values=chip.values)
    else:
        first, last = value.get("first"), value.get("last")
        if isinstance(first, int) and isinstance(last, int) and 0 <= first <= last < len(colours.bars):
            is_whole_range = colours.bars[0][0] < colours.bars[0][1]
            return LegendClick(
                colours.name,
                low=None if first == 0 and is_whole_range else colours.bars[first][0],
                high=None if last == len(colours.bars) - 1 and is_whole_range else colours.bars[last][1],
            )
    raise InputError("The legend has changed; choose in it again.")


def _selected_message(drawn: DrawnMap, selected: BoolArray) -> dict[str, Any]:
    x, y, correctness = drawn.places.bar_counts(selected)
    return {
        "points": _bits(selected[drawn.places.rows]),
        "x": x,
        "y": y,
        "correctness": correctness,
    }


def _bits(marked: BoolArray) -> str:
    """One bit a point, the lowest bit first."""
    return base64.b64encode(np.packbits(marked, bitorder="little").tobytes()).decode("ascii")


def _outline_message(outline: Condition, axes: tuple[str, str]) -> dict[str, Any] | None:
    if not isinstance(outline, PolygonCondition | BoxCondition) or (outline.x, outline.y) not in (axes, axes[::-1]):
        return None
    is_turned = (outline.x, outline.y) != axes
    common = {"kind": outline.kind, "dashed": bool(getattr(outline, "negated", False))}
    if isinstance(outline, BoxCondition):
        ranges = [sorted(outline.x_range), sorted(outline.y_range)]
        x_range, y_range = ranges[::-1] if is_turned else ranges
        return {**common, "x_range": x_range, "y_range": y_range}
    return {**common, "points": [point[::-1] if is_turned else point for point in outline.points]}


def _place_of(drawn: DrawnMap, row: int | None) -> list[float] | None:
    if row is None or not 0 <= row < len(drawn.places.x):
        return None
    place = [float(drawn.places.x[row]), float(drawn.places.y[row])]
    return place if np.isfinite(place).all() else None


def _words(drawn: DrawnMap, axes: tuple[str, str], selected: BoolArray | None) -> str:
    """What someone hears who does not see the map."""
    chosen = "nothing selected" if selected is None else f"{int(selected.sum()):,} selected"
    return (
        f"Data map of {words(axes[0])} against {words(axes[1])}, coloured by {words(drawn.colours.name)}: "
        f"{len(drawn.places.x):,} examples, {chosen}"
    )


def _plotly() -> dict[str, str]:
    """Address of Plotly.js, or why there is none: a map can be looked at without it."""
    try:
        return {"url": plotly_url()}
    except WorkspaceError as failure:
        return {"problem": failure.message}


def _file_url(content: bytes, name: str) -> str:
    """Address of bytes that this tab's map needs; kept as long as the page that named them is the newest."""
    return _based(get_instance().media_file_mgr.add(content, "application/octet-stream", f"ftft.{name}"))


def _based(path: str) -> str:
    base = str(st.get_option("server.baseUrlPath")).strip("/")
    return f"{'/' + base if base else ''}{path}"


@st.cache_resource(show_spinner=False)
def plotly_url() -> str:
    """Address of plotly.min.js, copied once from plotly's Python package to where Streamlit serves files.

    That is the folder `static` beside the app's script.

    :raises WorkspaceError: if the app's folder cannot be written to.
    """
    context = get_script_run_ctx()
    assert context is not None
    folder = Path(context.main_script_path).parent / "static"
    source = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    target = folder / f"plotly-{importlib.metadata.version('plotly')}.min.js"
    if not target.exists() or target.stat().st_size != source.stat().st_size:
        try:
            folder.mkdir(exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, suffix=".js", delete=False) as part:
                part.write(source.read_bytes())
            shutil.copymode(source, part.name)
            os.replace(part.name, target)
        except OSError as failure:
            raise WorkspaceError(
                f"Saving figures needs a copy of plotly.min.js in {folder}, which cannot be written "
                f"({failure.strerror}). Copy {source} to {target}."
            ) from failure
    return _based(f"/app/static/{target.name}")
