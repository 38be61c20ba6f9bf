"""A chart whose data change while it is looked at.

`st.plotly_chart` makes a chart anew whenever its data change: it blinks, and the old one stands beside the new one for
a moment. Here Plotly changes the one that is there. Owns how a figure gets to the browser, not what it shows.
"""

from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go
import streamlit as st

from ftft_core.errors import WorkspaceError
from ftft_core.ui.map_component import plotly_url

_component = st.components.v2.component(
    "ftft_live_chart",
    html='<div class="ftft-chart" role="img"></div>',
    css=".ftft-chart { width: 100%; overflow: hidden; }",
    js=Path(__file__).with_suffix(".js").read_text("utf-8"),
    isolate_styles=False,
)


def live_chart(figure: go.Figure, *, key: str, words: str) -> None:
    """Draw a figure that has a height of its own.

    :param key: stays the same as long as it is the same chart.
    :param words: what someone hears who does not see it.
    """
    try:
        url = plotly_url()
    except WorkspaceError:  # it blinks then, which is better than none
        st.plotly_chart(figure, config={"displayModeBar": False}, theme=None, key=key)
        return
    data = {"url": url, "figure": figure.to_json(), "height": figure.layout.height, "words": words}
    _component(data=data, key=key, height=figure.layout.height)
