"""The form of an experiment: which models, which methods, how much; or the same as the YAML of a recipe.

Owns the widgets and going from one view to the other. What they mean is `experiment_words`', what it costs and whether
it can work is the core's.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from ftft_core.config import PRECISIONS
from ftft_core.errors import FTFTError, InputError
from ftft_core.experiments import mapping_of, recipe_of, values_of, yaml_of
from ftft_core.methods import METHODS
from ftft_core.modeling.checkpoints import count_layers
from ftft_core.ui import experiment_words as words
from ftft_core.ui import reads
from ftft_core.ui.experiment_foot import draw_foot, draw_methods
from ftft_core.ui.experiment_state import state
from ftft_core.ui.frame import as_text
from ftft_core.ui.run_markup import model_words

KEY = "ex_"
"""What the keys of the form's widgets begin with; then comes the field, as `words.DEFAULTS` names it."""

REFERENCES = "ex.references"
"""In the session: a number for each reference's widgets, and what its recipe said that the form does not show."""

REST, TEXT, TOLD = "ex.rest", "ex_yaml", "ex.told"
FORM, YAML = "Form", "YAML"
MAX_REFERENCES = 8
MAX_CHARACTERS = 20_000
UNITS = {"epochs": "epochs", "max_steps": "optimizer steps"}
SEEDS_HELP = "How many, such as 3: seeds 0 to 2. Or which: 0-4, or 0, 2, 7, or seed 7. Every method is run with each."


@st.fragment
def draw_form(suite: str) -> None:
    """Draw the questions, or the recipe's text, and the foot."""
    _begin()
    with st.container(key="ex-head"):
        st.segmented_control("Shown as", [FORM, YAML], key="ex_mode", label_visibility="collapsed", width="stretch",
                             required=True, on_change=_change_mode, args=(suite,))  # fmt: skip
    if told := st.session_state.pop(TOLD, None):
        st.html(f'<div class="ftft-wrong">{html.escape(told)}</div>')
    if st.session_state["ex_mode"] == YAML:
        values, misread = _draw_text()
    else:
        _draw_models()
        _draw_methods()
        _draw_amount()
        with st.expander("More: learning rates, batch, length, precision"):
            _draw_more()
        if said := words.hidden_words(_references(), st.session_state[REST]):
            st.html(f'<div class="ftft-quiet">{html.escape(said)} It stands in the YAML.</div>')
        values, misread = _read(suite)
    draw_foot(values, misread, suite=suite)
    draw_methods(values)


def _begin() -> None:
    """Give every field that has none yet its value, and take over a recipe that is to be shown."""
    held = st.session_state
    held.setdefault("ex_mode", FORM)
    held.setdefault(REST, {})
    for field, value in words.DEFAULTS.items():
        held.setdefault(KEY + field, value)
    if held[KEY + "model"] is None and (known := reads.known_models()):
        held[KEY + "model"] = known[0]
    if REFERENCES not in held:
        held[REFERENCES] = {}
        _add_reference(_usual_reference())
    if (recipe := state().to_fill) is not None:
        state().to_fill = None
        _fill(recipe)
        held["ex_mode"] = FORM


def _usual_reference() -> dict[str, Any]:
    """The reference that was trained last, else the first half of the main model's layers."""
    runs = reads.runs()
    runs = runs[(runs["method"] == "reference") & (runs["config"] != "{}")] if len(runs) else runs
    if len(runs):
        return {"model": str(runs.iloc[-1]["model"]), "layers": json.loads(runs.iloc[-1]["config"]).get("layers")}
    model = st.session_state[KEY + "model"]
    try:
        return {"model": model, "layers": max(1, count_layers(str(model), None) // 2)}
    except FTFTError:
        return {"model": model, "layers": None}


def _add_reference(said: Mapping[str, Any] | None = None) -> None:
    held = st.session_state
    number = max(held[REFERENCES], default=-1) + 1
    said = {**words.REFERENCE_DEFAULTS, **(said or {"model": held[KEY + "model"]})}
    held[REFERENCES][number] = said.pop("rest", {})
    for field, value in said.items():
        held[f"{KEY}ref_{field}_{number}"] = value


def _drop_reference(number: int) -> None:
    st.session_state[REFERENCES].pop(number, None)


def _references() -> list[dict[str, Any]]:
    held = st.session_state
    return [
        {**{field: held.get(f"{KEY}ref_{field}_{number}", value) for field, value in
            words.REFERENCE_DEFAULTS.items()}, "rest": rest}
        for number, rest in held[REFERENCES].items()
    ]  # fmt: skip


def _fill(recipe: Mapping[str, Any]) -> None:
    """Put a recipe into the form."""
    held = st.session_state
    values, references, held[REST] = words.form_of(recipe)
    for field, value in values.items():
        held[KEY + field] = value
    held[REFERENCES] = {}
    for each in references:
        _add_reference(each)


def _read(suite: str) -> tuple[dict[str, Any], list[str]]:
    held = st.session_state
    values = {field: held.get(KEY + field, default) for field, default in words.DEFAULTS.items()}
    return words.read_form(values, _references(), held[REST], suite=suite)


def _change_mode(suite: str) -> None:
    """Take what one view says into the other; a text that is no recipe stays until it is one."""
    held = st.session_state
    if held["ex_mode"] == YAML:
        held[TEXT] = yaml_of(_read(suite)[0])
        return
    try:
        _fill(mapping_of(recipe_of(str(held.get(TEXT, "")))))
    except InputError as failure:
        held["ex_mode"] = YAML
        count = max(1, len(failure.problems))
        held[TOLD] = f"The form can show it once what stands below ({count}) is put right."


def _draw_text() -> tuple[object, list[str]]:
    held = st.session_state
    st.subheader("The recipe", anchor=False)
    st.text_area("Recipe", key=TEXT, height=330, label_visibility="collapsed", max_chars=MAX_CHARACTERS,
                 persist_state="session", placeholder="Paste a recipe, or open a file below.")  # fmt: skip
    left, right = st.columns([1.9, 1], vertical_alignment="center")
    left.file_uploader("Open a recipe", type=["yaml", "yml"], key="ex_file", label_visibility="collapsed",
                       on_change=_take_file)  # fmt: skip
    right.download_button("Download", str(held.get(TEXT, "")), file_name="recipe.yaml", mime="application/yaml",
                          icon=":material/download:", width="stretch", on_click="ignore")  # fmt: skip
    try:
        return values_of(str(held.get(TEXT, ""))), []
    except InputError as failure:
        return None, [failure.message]


def _take_file() -> None:
    file = st.session_state["ex_file"]
    if file is None:
        return
    try:
        text = file.getvalue()[: 4 * MAX_CHARACTERS].decode("utf-8")
    except UnicodeDecodeError:
        st.session_state[TOLD] = f"{file.name} is not text in UTF-8, so it is no recipe; choose a YAML file."
        return
    if len(text) > MAX_CHARACTERS:
        st.session_state[TOLD] = (
            f"{file.name} is too long for a recipe: allowed are {MAX_CHARACTERS:,} characters; `ftft experiment` takes "
            "any."
        )
        return
    st.session_state[TEXT] = text


def _draw_models() -> None:
    held: dict[str, Any] = {"persist_state": "session"}
    st.subheader("Which models", anchor=False)
    left, right, end = st.columns([2.6, 1, 1.42], vertical_alignment="bottom", gap="small")
    left.selectbox("Main model", _with(reads.known_models(), KEY + "model"), key=KEY + "model", accept_new_options=True,
                   format_func=model_words,
                   help="The one that is to become robust: a name from the list, a local folder, or a hub name.",
                   **held)  # fmt: skip
    right.number_input("Layers", 1, 10_000, key=KEY + "layers", placeholder="all", **held,
                       help="Keep only the first this many; empty for all.")  # fmt: skip
    numbers = list(st.session_state[REFERENCES])
    end.button("Reference", key="ex_add", type="tertiary", icon=":material/add:", on_click=_add_reference,
               disabled=len(numbers) >= MAX_REFERENCES, help="Add a reference model")  # fmt: skip
    for place, number in enumerate(numbers):
        names = [f"{KEY}ref_{field}_{number}" for field in words.REFERENCE_DEFAULTS]
        shown = "visible" if place == 0 else "collapsed"
        left, middle, right, end = st.columns([2.6, 1, 1, 0.42], vertical_alignment="bottom", gap="small")
        left.selectbox("Reference models" if place == 0 else f"Reference {place + 1}", _with(reads.known_models(),
                       names[0]), key=names[0], accept_new_options=True, format_func=model_words,
                       label_visibility=shown, help="Cheaper ones, that find the examples.", **held)  # fmt: skip
        middle.number_input("Its layers", 1, 10_000, key=names[1], placeholder="all", label_visibility=shown, **held)
        right.number_input("Its epochs", 0.01, 1e6, step=1.0, format="%g", key=names[2], placeholder="as main",
                           label_visibility=shown, **held,
                           help="A reference's own budget; empty for that of the main model.")  # fmt: skip
        end.button("", icon=":material/close:", key=f"{KEY}drop_{number}", type="tertiary", help="Leave it out",
                   on_click=_drop_reference, args=(number,))  # fmt: skip


def _draw_methods() -> None:
    st.subheader("Which methods", anchor=False)
    # A recipe may ask for references alone.
    held = [name for name in st.session_state.get(KEY + "methods") or [] if name not in words.COMPARED]
    st.pills("Methods", [*words.COMPARED, *held], key=KEY + "methods", selection_mode="multi",
             label_visibility="collapsed", persist_state="session")  # fmt: skip
    chosen = list(st.session_state[KEY + "methods"] or [])
    last = chosen[-1] if chosen else None
    said = "Choose the methods to compare." if last is None else f"{last}: {METHODS[last].words}"
    st.html(f'<div class="ftft-quiet ftft-under">{html.escape(said)}</div>')


def _draw_amount() -> None:
    held: dict[str, Any] = {"persist_state": "session"}
    st.subheader("How much", anchor=False)
    one, two, three = st.columns([1, 1.5, 1])
    one.text_input("Seeds", key=KEY + "seeds", help=SEEDS_HELP, **held)
    unit = two.selectbox("Full budget in", list(UNITS), key=KEY + "unit", format_func=UNITS.__getitem__, **held)
    if unit == "epochs":
        three.number_input("Epochs", 0.01, 1e6, step=1.0, format="%g", key=KEY + "epochs", **held)
    else:
        three.number_input("Steps", 1, 10**9, step=100, key=KEY + "max_steps", **held)
    one, two = st.columns([1, 1])
    one.text_input("Fractions", key=KEY + "fraction", **held,
                   help="Share of the training examples that is selected; or several: 1/3, 0.5.")  # fmt: skip
    two.text_input("Early stop", key=KEY + "early_stop", **held,
                   help="Share of the full budget for the methods that stop early, such as ftft.")  # fmt: skip


def _draw_more() -> None:
    held: dict[str, Any] = {"persist_state": "session"}
    one, two, three = st.columns(3)
    one.text_input("Learning rate", key=KEY + "learning_rate", **held)
    two.text_input("Of references", key=KEY + "reference_learning_rate", placeholder="the same", **held,
                   help="Learning rate of the reference models.")  # fmt: skip
    three.number_input("Batch size", 1, 10**6, key=KEY + "batch_size", **held)
    one.number_input("Longest input", 4, 10**6, key=KEY + "max_length", help="In tokens; what is longer is cut.",
                     **held)  # fmt: skip
    said = as_text("; ".join(f"{name}: {meaning}" for name, meaning in PRECISIONS.items()))
    two.selectbox("Precision", list(PRECISIONS), key=KEY + "precision", help=said, **held)
    three.number_input("Error weight", 1.0, 1e9, step=1.0, format="%g", key=KEY + "error_weight", placeholder="5",
                       disabled="jtt" not in (st.session_state[KEY + "methods"] or []), **held,
                       help="With jtt: weight of the examples that the reference got wrong.")  # fmt: skip


def _with(options: list[str], key: str) -> list[str]:
    held = st.session_state.get(key)
    return options if held is None or held in options else [held, *options]
