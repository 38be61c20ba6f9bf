"""A page with nothing but the map, for the tests of its gestures; what comes back stands below it as JSON.

The address says what is shown: `n` examples, `colour`, `two` maps, `pile` (nearly all examples at one place).
"""

import json

import numpy as np
import pandas as pd
import streamlit as st

from ftft_core.figures import DrawnMap, data_map_figure
from ftft_core.selection.regions import box_mask, polygon_mask
from ftft_core.ui.map_component import show_map, window_in_view

NUM_EPOCHS = 4
AXES = ("variability", "confidence")
LABELS = ["no", "yes", "<b>may & be</b>"]


@st.cache_resource
def frame(size: int, epochs: int, piled: bool) -> pd.DataFrame:
    random = np.random.default_rng(5)
    ease = random.normal(1.2, 1.2, size)
    margins = ease * np.arange(1, NUM_EPOCHS + 1)[:, None] / 2 + random.normal(0, 0.8, (NUM_EPOCHS, size))
    gold = 1 / (1 + np.exp(-margins[:epochs]))
    if piled:
        gold[:, : size * 5 // 6] = 0.99
    confidence = gold.mean(axis=0)
    confidence[1] = np.nan
    return pd.DataFrame(
        {
            "confidence": confidence,
            "variability": gold.std(axis=0),
            "correctness": (gold > 0.5).mean(axis=0),
            "loss": -np.log(gold[-1]),
            "label": pd.Categorical.from_codes(np.arange(size) % 3, LABELS),
        }
    )


@st.cache_resource
def drawn(size: int, epochs: int, piled: bool, colour: str, window: tuple[float, ...] | None) -> DrawnMap:
    final = None if epochs == NUM_EPOCHS else drawn(size, NUM_EPOCHS, piled, colour, window)
    return data_map_figure(frame(size, epochs, piled), colour=colour, num_epochs=epochs, window=window, like=final)


asked = st.query_params
size, colour, piled = int(asked.get("n", "400")), asked.get("colour", "correctness"), "pile" in asked
state = st.session_state
for name, start in {"log": [], "drawn": [], "epochs": NUM_EPOCHS, "legend": None, "focus": None}.items():
    state.setdefault(name, start)


def log(*what):
    state.log.append(what)


def gesture(outline, mode):
    log("gesture", mode, outline.model_dump(mode="json"))
    kept = [] if mode == "replace" else state.drawn
    state.drawn = [*kept, (outline, mode)]


def clicked(row, additive):
    log("clicked", row, additive)
    state.focus = row


def legend(click):
    log("legend", click.colour, list(click.values), click.low, click.high)
    state.legend = list(click.values) or (click.low, click.high)


def epochs(number):
    log("epochs", number)
    state.epochs = number


def clear():
    log("cleared")
    state.drawn, state.legend, state.focus = [], None, None


def undo():
    log("undo")
    state.drawn = state.drawn[:-1]


shown = frame(size, state.epochs, piled)
selected = None
for outline, mode in state.drawn:
    places = shown[outline.x], shown[outline.y]
    inside = (
        polygon_mask(*places, outline.points)
        if outline.kind == "polygon"
        else box_mask(*places, outline.x_range, outline.y_range)
    )
    selected = inside if selected is None else selected | inside if mode == "add" else selected & ~inside
for number, column in enumerate(st.columns(2) if "two" in asked else [st.container()]):
    with column:
        show_map(
            drawn(size, state.epochs, piled, colour, window_in_view(f"map{number}", AXES)),
            key=f"map{number}",
            axes=AXES,
            selected=selected,
            outlines=[outline for outline, _ in state.drawn],
            legend_active=state.legend,
            epochs=(state.epochs, NUM_EPOCHS),
            focus_row=state.focus,
            file_name=f"run-{number}",
            report_view=size > 30_000,
            height=560,
            on_gesture=gesture,
            on_click=clicked,
            on_legend=legend,
            on_epochs=epochs,
            on_clear=clear,
            on_undo=undo,
            on_redo=lambda: log("redo"),
        )
st.text_input("Typing", key="typing")
told = {"log": state.log, "count": 0 if selected is None else int(selected.sum()), "typed": state.typing}
st.code(json.dumps(told), language="json")
