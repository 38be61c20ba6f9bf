"""The form of the fine-tune page: which model, on what, how much; the rest folded; its foot says what it will cost.

Owns the widgets. What they hold stays while other pages are looked at, and can be filled with a run's configuration.
What it means is `planning`'s, what it costs and whether it can work is the core's.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pydantic
import streamlit as st

from ftft_core.config import PRECISIONS, STOPS, TRACKERS, RunConfig
from ftft_core.errors import FTFTError
from ftft_core.methods import GUIDED_METHODS, METHODS, REFERENCE_METHODS
from ftft_core.ui import planning, reads
from ftft_core.ui.frame import as_text
from ftft_core.ui.run_foot import draw_foot
from ftft_core.ui.run_markup import model_words

KEY = "ft_"
"""What the keys of the form's widgets begin with; then comes the field, as `planning.DEFAULTS` names it."""

ALL = "all training examples"
NONE = ""
"""Stands for None among the options of a box, where None would be "nothing chosen"."""

CHOICES = ("subset", "stop", "reference")
"""Fields of such boxes."""

WHOLE_BUDGET = "the whole budget"
STOP_WORDS = {NONE: WHOLE_BUDGET, "patience": "until dev stops improving", "settled": "until the map has settled"}
UNITS = {"epochs": "epochs", "max_steps": "optimizer steps", "share": "share of ERM's steps", "max_flops": "FLOPs"}
UNIT_LABELS = {"epochs": "Epochs", "max_steps": "Steps", "share": "Share", "max_flops": "FLOPs"}
WANTED = "fine_tune.subset"
"""In the session: the subset that another page wants to be trained on."""

FILLED = "ft.filled"
LIKE = "ft.like"
"""In the session: the suite, and the name of its plain fine-tuning whose model and settings the form took over."""

TO_FILL = "ft.to_fill"
BY_SUBSET = "ft.by_subset"
LOG_HELP = "Trackers that the run is logged to as well; their packages have to be installed."
SEEDS_HELP = "How many, such as 3: the next seeds that no such run has yet. Or which: 0-4, or 0, 2, 7, or seed 7."


@dataclass(frozen=True)
class Offered:
    """What the form offers for a suite."""

    suite: str
    num_train: int
    runs: pd.DataFrame
    subsets: pd.DataFrame

    def subset(self, subset: str | None) -> dict[str, Any] | None:
        """Give the row of a subset; None for all examples."""
        found = self.subsets[self.subsets["subset"] == subset]
        return {str(name): value for name, value in found.iloc[0].items()} if len(found) else None

    def size(self, subset: str | None) -> int:
        """Give how many examples there are to train on."""
        row = self.subset(subset)
        return self.num_train if row is None else int(row["size"])


def fill(config: RunConfig, name: str) -> None:
    """Put a run's configuration into the form, to be changed.

    The form takes it when it is drawn next: of what another part of the page puts into its widgets, they hear nothing.
    """
    st.session_state[TO_FILL] = (planning.form_of(config), name)


def _put(values: Mapping[str, Any]) -> None:
    for field, value in values.items():
        st.session_state[KEY + field] = NONE if value is None and field in CHOICES else value


@st.fragment
def draw_form(offered: Offered) -> None:
    """Draw the three questions, what is folded, and the foot."""
    _begin(offered)
    taken_on, like = st.session_state.get(LIKE) or (None, None)
    if name := st.session_state.get(FILLED) or (like if taken_on == offered.suite else None):
        what = "As" if st.session_state.get(FILLED) else "Model and settings as"
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key="ft-filled"):
            st.html(f'<span class="ftft-quiet">{what} {html.escape(str(name))}; change what you like.</span>',
                    width="content")  # fmt: skip
            st.button("Clear", key="ft_clear", type="tertiary", on_click=_clear)
    _draw_model()
    _draw_data(offered)
    _draw_amount(offered)
    with st.expander("More: learning rate, batch, length, precision, name, trackers"):
        _draw_more(offered)
    values = {field: st.session_state.get(KEY + field, default) for field, default in planning.DEFAULTS.items()}
    values |= {field: values[field] or None for field in CHOICES}
    problem = None
    if st.session_state.get(FILLED) is None:
        problem = planning.method_problem(str(values["method"]), offered.subset(values["subset"]))
        if problem is None and values["method"] in GUIDED_METHODS and not _references(offered):
            problem = f"Method {values['method']} needs a reference to guide it: set one up above, and start it first."
    if problem is not None:  # everything else about it can be judged all the same
        values |= {"method": "erm", "reference": None}
    asked, problems = planning.read_form(
        values, suite=offered.suite, num_train=offered.num_train, runs=offered.runs,
        subset=offered.subset(values["subset"]),
    )  # fmt: skip
    draw_foot(asked if values["model"] else [], [*filter(None, [problem]), *problems])


def _begin(offered: Offered) -> None:
    """Give every field that has none yet its value, and put right what is no longer there."""
    held = st.session_state
    _put({field: value for field, value in planning.DEFAULTS.items() if KEY + field not in held})
    if to_fill := held.pop(TO_FILL, None):
        values, held[FILLED] = to_fill
        held.pop(LIKE, None)
        _put(values)
        held[BY_SUBSET] = held[KEY + "subset"]
    known = reads.known_models()
    if held[KEY + "model"] is None and known:
        held[KEY + "model"] = known[0]
    wanted = held.pop(WANTED, None)
    if wanted is not None and offered.subset(wanted) is not None:
        held[KEY + "subset"] = wanted
        _take_plain_settings(offered)
    if held[KEY + "subset"] != NONE and offered.subset(held[KEY + "subset"]) is None:
        held[KEY + "subset"] = NONE
    if held[KEY + "method"] is None or held.get(BY_SUBSET) != held[KEY + "subset"]:
        held[BY_SUBSET] = held[KEY + "subset"]
        if held[KEY + "method"] is None or held.get(FILLED) is None:
            held[KEY + "method"] = planning.fitting_methods(offered.subset(held[KEY + "subset"]))[0]
            _take_usual_budget(offered.suite)
    if held[KEY + "stop"] not in _stops():
        held[KEY + "stop"] = NONE
    references = _references(offered)
    if held[KEY + "reference"] not in references:
        held[KEY + "reference"] = next(iter(references), NONE)


def _stops() -> list[str]:
    is_reference = st.session_state[KEY + "method"] == "reference"
    has_settled = st.session_state[KEY + "stop"] == "settled"
    return [NONE, "patience", *(["settled"] if is_reference or has_settled else [])]


def _references(offered: Offered) -> dict[str, str]:
    """Run id -> name of what can be chosen; for a method that is guided, what can guide it, the newest first."""
    held, runs = st.session_state, offered.runs
    names = dict(zip(runs["run_id"], runs["name"], strict=True)) if len(runs) else {}
    method = str(held[KEY + "method"])
    if method not in GUIDED_METHODS:
        return {NONE: "as the subset says", **names}
    fitting = reads.fitting_references(offered.suite, method, held[KEY + "subset"] or None)
    if held.get(FILLED) is not None and held[KEY + "reference"] in names:
        fitting = list(dict.fromkeys([held[KEY + "reference"], *fitting]))
    return {run: names[run] for run in fitting if run in names}


def _take_usual_budget(suite: str) -> None:
    held, method = st.session_state, str(st.session_state[KEY + "method"])
    for field, value in planning.usual_budget(method).items():
        held[KEY + field] = value
    if method == "erm_matched" and (flops := reads.newest_cost(suite, "ftft")) is not None:
        held[KEY + "unit"], held[KEY + "max_flops"] = "max_flops", f"{flops:.6g}"


def _take_plain_settings(offered: Offered) -> None:
    """Put model and settings of the newest plain fine-tuning into the form, for what is trained beside it.

    What a person took from another run stays.
    """
    runs = offered.runs
    st.session_state.pop(LIKE, None)
    if st.session_state.get(FILLED) is not None or runs.empty:
        return
    plain = runs[(runs["method"] == "erm") & (runs["status"] == "finished") & (runs["fraction"] == 1)]
    for row in plain.sort_values("created_at", ascending=False).to_dict("records"):
        # An older version may have accepted what this one does not.
        with suppress(FTFTError, pydantic.ValidationError):
            config = reads.open_workspace().config_of(str(row["run_id"]))
            _put(planning.settings_of(config, offered.num_train))
            st.session_state[LIKE] = (offered.suite, row["name"])
            return


def _take_reference_run() -> None:
    """Put the reference that jtt, or another method, lacks into the form."""
    held = st.session_state
    held[KEY + "error_pass"] = held[KEY + "method"] == "jtt"
    held[KEY + "method"], held[KEY + "subset"], held[BY_SUBSET] = "reference", NONE, NONE
    for field, value in planning.usual_budget("reference").items():
        held[KEY + field] = value


def _clear() -> None:
    _put(planning.DEFAULTS)
    for name in (FILLED, LIKE, BY_SUBSET):
        st.session_state.pop(name, None)


def _draw_model() -> None:
    st.subheader("Which model", anchor=False)
    left, right = st.columns([2.4, 1])
    left.selectbox(
        "Model", _with(reads.known_models(), "model"), key=KEY + "model", accept_new_options=True,
        persist_state="session", format_func=model_words,
        help="A name from the list, a local folder, or a hub name; safetensors only.",
    )  # fmt: skip
    right.number_input("Encoder layers", 1, 10_000, key=KEY + "layers", placeholder="all", persist_state="session",
                       help="Keep only the first this many; empty for all of them.")  # fmt: skip


def _draw_data(offered: Offered) -> None:
    st.subheader("On what", anchor=False)
    left, right = st.columns([2.4, 1])
    names = dict(zip(offered.subsets["subset"], offered.subsets["name"], strict=True)) if len(offered.subsets) else {}
    left.selectbox(
        "Examples", [NONE, *list(names)[::-1]], key=KEY + "subset", persist_state="session",
        format_func=lambda option: f"{names.get(option, ALL)} ({offered.size(option):,})",
    )  # fmt: skip
    subset = offered.subset(st.session_state[KEY + "subset"])
    right.selectbox("Counts as", planning.all_methods(subset), key=KEY + "method", persist_state="session",
                    format_func=lambda method: planning.method_words(method, subset), args=(offered.suite,),
                    on_change=_take_usual_budget, help="What the run stands for in a comparison.")  # fmt: skip
    method = str(st.session_state[KEY + "method"])
    st.html(f'<div class="ftft-quiet ftft-under">{html.escape(method)}: {html.escape(METHODS[method].words)}</div>')
    if method in GUIDED_METHODS and planning.method_problem(method, subset) is None:
        _draw_guide(offered, method)
    elif method in REFERENCE_METHODS - GUIDED_METHODS and subset is not None and not _has_source(subset):
        _draw_reference(offered, st)
    elif method == "reference":
        said = "A pass over all training examples after the first epoch; it changes nothing in the run."
        st.checkbox("Look for its errors, so that jtt can use it", key=KEY + "error_pass", persist_state="session",
                    help=said)  # fmt: skip


def _draw_guide(offered: Offered, method: str) -> None:
    """Draw the picker of the run that guides a method; where there is none, the way to one."""
    if _references(offered):
        left, right = st.columns([2.4, 1]) if method == "jtt" else (st.container(), None)
        _draw_reference(offered, left)
        if right is not None:
            right.number_input("Error weight", 1.0, 1e9, step=1.0, format="%g", key=KEY + "error_weight",
                               persist_state="session", help="Of what the reference got wrong; else 1.")  # fmt: skip
        return
    what = " and looked for its errors" if method == "jtt" else ""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="ft-no-guide"):
        st.html(f'<span class="ftft-quiet">No finished run of this suite knows all its examples{what}.</span>',
                width="content")  # fmt: skip
        st.button("Set up such a reference", key="ft_make_reference", on_click=_take_reference_run)


def _draw_reference(offered: Offered, place: Any) -> None:
    references = _references(offered)
    place.selectbox("Reference", list(references), key=KEY + "reference",
                    format_func=lambda run: references.get(run, str(run)), persist_state="session",
                    help="The finished run whose dynamics are used; its cost is added.")  # fmt: skip


def _has_source(subset: Mapping[str, Any] | None) -> bool:
    """Whether a subset comes from one run, which is then the reference."""
    return subset is not None and isinstance(subset.get("source_run"), str)


def _draw_amount(offered: Offered) -> None:
    st.subheader("How much", anchor=False)
    left, middle, right = st.columns([1, 1.5, 1])
    left.text_input("Seeds", key=KEY + "seeds", persist_state="session", help=SEEDS_HELP)
    held = st.session_state
    in_flops = held[KEY + "unit"] == "max_flops" or held[KEY + "method"] == "erm_matched"
    units = [unit for unit in UNITS if unit != "max_flops" or in_flops]
    unit = str(middle.selectbox("Budget in", units, key=KEY + "unit", format_func=UNITS.__getitem__,
                                persist_state="session"))  # fmt: skip
    settings: dict[str, Any] = {"key": KEY + unit, "persist_state": "session"}
    if unit == "epochs":
        right.number_input("Epochs", 0.01, 1e6, step=1.0, format="%g", **settings)
    elif unit == "max_steps":
        right.number_input("Steps", 1, 10**9, step=100, **settings)
    else:
        right.text_input(UNIT_LABELS[unit], **settings)
    left, right = st.columns([2.5, 1])
    stop = left.selectbox("Train", _stops(), key=KEY + "stop", format_func=STOP_WORDS.__getitem__,
                          persist_state="session", help=_stop_help())  # fmt: skip
    if stop == "patience":
        right.number_input("Tries", 1, 1000, key=KEY + "patience", persist_state="session",
                           help="Evaluations of dev in a row without improvement that end the run.")  # fmt: skip
    elif stop == "settled":
        right.number_input("Overlap", 0.01, 1.0, step=0.05, key=KEY + "settled_overlap", persist_state="session",
                           help="Overlap (Jaccard) with the epoch before that counts as settled.")  # fmt: skip
    elif unit == "share":
        right.number_input("of epochs on all", 0.01, 1e6, step=1.0, format="%g", key=KEY + "full_epochs",
                           persist_state="session", help="How long plain fine-tuning (ERM) takes.")  # fmt: skip


def _stop_help() -> str:
    return " ".join(f"{STOP_WORDS[stop][:1].upper()}{STOP_WORDS[stop][1:]}: ends {words}." for stop, words in
                    STOPS.items() if stop in _stops())  # fmt: skip


def _draw_more(offered: Offered) -> None:
    held: dict[str, Any] = {"persist_state": "session"}
    one, two, three = st.columns(3)
    one.text_input("Learning rate", key=KEY + "learning_rate", **held)
    two.number_input("Batch size", 1, 10**6, key=KEY + "batch_size", **held)
    three.number_input("Longest input", 4, 10**6, key=KEY + "max_length", help="In tokens; what is longer is cut.",
                       **held)  # fmt: skip
    one.selectbox("Precision", list(PRECISIONS), key=KEY + "precision", help=as_text(_list(PRECISIONS)), **held)
    two.text_input("Warm-up", key=KEY + "warmup_fraction", help="Share of the steps over which the rate rises.", **held)
    three.text_input("Weight decay", key=KEY + "weight_decay", **held)
    one.text_input("Clip gradient at", key=KEY + "gradient_clip_norm", placeholder="never", **held)
    two.number_input("Checkpoint, s", 1.0, 1e6, step=60.0, format="%g", key=KEY + "checkpoint_seconds",
                     help="Seconds between checkpoints; one is written after every epoch too.", **held)  # fmt: skip
    three.number_input(
        "Snapshots", 1, 1000, key=KEY + "snapshots", placeholder="none",
        help="Looks at the test splits while it trains, on at most 256 examples of each; they decide nothing.", **held,
    )  # fmt: skip
    if st.session_state[KEY + "stop"] == "patience" and st.session_state[KEY + "unit"] == "share":
        one.number_input("ERM's epochs", 0.01, 1e6, step=1.0, format="%g", key=KEY + "full_epochs", **held)
    left, right = st.columns(2)
    left.text_input("Name", key=KEY + "name", placeholder="made from method, model and seed", max_chars=90, **held)
    right.multiselect("Log to", list(TRACKERS), key=KEY + "trackers", placeholder="no tracker", help=LOG_HELP, **held)
    subset = offered.subset(st.session_state[KEY + "subset"])
    if st.session_state[KEY + "method"] in REFERENCE_METHODS - GUIDED_METHODS and _has_source(subset):
        _draw_reference(offered, right)


def _with(options: list[str], field: str) -> list[str]:
    held = st.session_state.get(KEY + field)
    return options if held is None or held in options else [held, *options]


def _list(words: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {said}" for name, said in words.items())
