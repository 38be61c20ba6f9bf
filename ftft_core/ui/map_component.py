"""The data map in the browser: a component of our own around the Plotly.js of plotly's Python package.

Owns what is sent to the browser and what comes back: geometry in data coordinates, a clicked row, a label of the
legend, the part in view. It does not decide which examples are selected.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import plotly
import streamlit as st

from ftft_core.config import parse
from ftft_core.errors import WorkspaceError
from ftft_core.figures import Window
from ftft_core.selection import BoxCondition, PolygonCondition

STATIC_FOLDER = Path(__file__).resolve().parents[2] / "static"
"""Streamlit serves the folder `static` beside app.py."""

HTML = '<div class="ftft-map"><div class="ftft-map-tools" role="toolbar"></div><div class="ftft-map-plot"></div></div>'

CSS = """
.ftft-map { position: relative; width: 100%; }
.ftft-map-tools { display: flex; gap: 2px; height: 28px; margin-left: 46px; }
.ftft-map-tools button {
  all: unset; box-sizing: border-box; cursor: pointer; padding: 2px 10px; border-radius: 4px;
  font: 13px/22px var(--st-font); color: var(--st-text-color); opacity: 0.75;
}
.ftft-map-tools button:hover { background: var(--st-secondary-background-color); opacity: 1; }
.ftft-map-tools button:focus-visible { outline: 2px solid var(--st-primary-color); }
.ftft-map-tools button[aria-pressed="true"] {
  background: var(--st-secondary-background-color); color: var(--st-primary-color); opacity: 1; font-weight: 600;
}
.ftft-map-whole { margin-left: auto !important; }
.ftft-map-plot { width: 100%; overflow: hidden; }
"""


@dataclass(frozen=True)
class DrawnMap:
    """A map figure ready to be sent: made once for a view, sent as often as the selection changes."""

    figure_json: str
    rows: npt.NDArray[np.int64]
    """(drawn points,), row number of the data map of each."""
    x_edges: npt.NDArray[np.float64]
    y_edges: npt.NDArray[np.float64]

    @property
    def key(self) -> str:
        """Changes exactly when the figure does."""
        return hashlib.sha256(self.figure_json.encode()).hexdigest()[:16]


_component = st.components.v2.component(
    "ftft_data_map", html=HTML, css=CSS, js=Path(__file__).with_name("map_component.js").read_text("utf-8"),
    isolate_styles=False,
)  # fmt: skip


def show_map(
    drawn: DrawnMap,
    *,
    key: str,
    axes: tuple[str, str],
    selected: npt.NDArray[np.bool_] | None,
    marginals: tuple[Sequence[int], Sequence[int]] | None,
    clear_token: int,
    report_view: bool,
    height: int,
    on_click: Callable[[int], None],
    on_legend: Callable[[str], None],
) -> None:
    """Mount the map.

    :param axes: scores on x and y; they come back with an outline.
    :param selected: (examples,) membership over all examples; None when nothing is selected, so that nothing fades.
    :param marginals: selected counts of the histograms along x and y.
    :param clear_token: raising it takes the outline off the map and makes that of before count no more.
    :param report_view: send the zoomed window, for maps of which only a sample is drawn.
    :param on_click: called with the row number of a clicked point, before the page runs again.
    :param on_legend: called with a label clicked in the legend, before the page runs again.
    """
    indices = None if selected is None else np.flatnonzero(selected[drawn.rows]).astype("<i4")

    def clicked() -> None:
        row = st.session_state[key].get("clicked")
        if isinstance(row, int) and row in drawn.rows:
            on_click(row)

    def legend() -> None:
        label = st.session_state[key].get("legend")
        if isinstance(label, str):
            on_legend(label)

    _component(
        key=key,
        data={
            "plotly_url": plotly_url(),
            "figure": drawn.figure_json,
            "figure_key": drawn.key,
            "axes": {"x": axes[0], "y": axes[1]},
            "selected": None if indices is None else base64.b64encode(indices.tobytes()).decode("ascii"),
            "marginals": None if marginals is None else {"x": list(marginals[0]), "y": list(marginals[1])},
            "clear_token": clear_token,
            "report_view": report_view,
            "height": height,
        },
        on_selection_change=_nothing,
        on_view_change=_nothing,
        on_clicked_change=clicked,
        on_legend_change=legend,
    )


def outline_drawn(key: str, clear_token: int) -> PolygonCondition | BoxCondition | None:
    """Return the outline that the map under `key` reported last, or None if there is none or it was cleared since."""
    reported = (st.session_state.get(key) or {}).get("selection")
    if not isinstance(reported, Mapping) or reported.get("token") != clear_token:
        return None
    values = {name: value for name, value in reported.items() if name != "token"}
    if reported.get("kind") == "box":
        return parse(BoxCondition, values, what="The outline")
    return parse(PolygonCondition, values, what="The outline")


def window_in_view(key: str, axes: tuple[str, str]) -> Window | None:
    """Return the window that the map under `key` was zoomed to, None for the whole map or other axes."""
    view = (st.session_state.get(key) or {}).get("view")
    if not isinstance(view, Mapping) or (view.get("x"), view.get("y")) != axes:
        return None
    numbers = view.get("window")
    if not isinstance(numbers, list) or len(numbers) != 4 or not all(isinstance(n, int | float) for n in numbers):
        return None
    return (float(numbers[0]), float(numbers[1]), float(numbers[2]), float(numbers[3]))


@st.cache_resource(show_spinner=False)
def plotly_url() -> str:
    """Address of plotly.min.js, copied once from plotly's Python package to where Streamlit serves files.

    :raises WorkspaceError: if the app's folder cannot be written to.
    """
    source = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    target = STATIC_FOLDER / f"plotly-{importlib.metadata.version('plotly')}.min.js"
    if not target.exists() or target.stat().st_size != source.stat().st_size:
        try:
            STATIC_FOLDER.mkdir(exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=STATIC_FOLDER, suffix=".js", delete=False) as part:
                part.write(source.read_bytes())
            shutil.copymode(source, part.name)
            os.replace(part.name, target)
        except OSError as failure:
            raise WorkspaceError(
                f"The map needs a copy of plotly.min.js in {STATIC_FOLDER}, which cannot be written "
                f"({failure.strerror}). Copy {source} to {target}."
            ) from failure
    base = str(st.get_option("server.baseUrlPath")).strip("/")
    return f"{'/' + base if base else ''}/app/static/{target.name}"


def _nothing() -> None:
    """Streamlit asks for a callback for every value that a component may send."""
