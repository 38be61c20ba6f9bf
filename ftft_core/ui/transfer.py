"""What the transfer page looks at: runs, main model, score and fraction, kept in the address, and cached reports.

Owns the page's state and its widgets; the numbers are `comparison`'s, the words of tables are `transfer_tables`'.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from ftft_core.comparison import SCORE_ENDS, find_candidates, likely_main
from ftft_core.figures import words
from ftft_core.ui import frame, reads
from ftft_core.workspace import ProbeReport, SubsetRecord, TransferReport, Workspace

PAGE = "transfer"
DEFAULT_SCORE = "variability"
DEFAULT_FRACTION = 1 / 3
SMALLEST_FRACTION, LARGEST_FRACTION = 0.01, 0.99
GROUPED, EACH = "by model", "every run"
MAX_DEFAULT_RUNS = 40
"""Runs that are compared unless somebody asks for others."""

ENDS = {
    "ambiguous": "most ambiguous",
    "hard": "hardest",
    "bottom": "lowest",
    "top": "highest",
    "forgetting": "most forgotten",
    "aum": "least sure",
    "el2n": "most wrong",
}
"""Beginning of a strategy -> what it takes, in words."""


@dataclass(frozen=True)
class Asked:
    """What the page shows."""

    runs: tuple[str, ...]
    """Ids."""
    main: str | None
    """Name of a group; None where there are no two runs."""
    score: str
    fraction: float
    is_grouped: bool


def usual_runs(listed: pd.DataFrame) -> list[str]:
    """Give the ids of the runs to start with: finished references and plain fine-tuning on all data, newest last."""
    plain = listed[listed["method"].isin(["erm", "reference"]) & (listed["fraction"] == 1)]
    finished = plain[plain["status"] == "finished"]
    chosen = finished if len(finished) >= 2 else plain if len(plain) >= 2 else listed
    return [str(run) for run in chosen["run_id"].tail(MAX_DEFAULT_RUNS)]


def read_asked(listed: pd.DataFrame, score: str) -> tuple[Asked, list[str]]:
    """Read the page's state from the address, and say what in it is not so.

    :param listed: runs that can be compared by that score.
    """
    address, problems = frame.page_address(PAGE), []
    by_reference = {**dict(zip(listed["name"], listed["run_id"], strict=True)),
                    **dict(zip(listed["run_id"], listed["run_id"], strict=True))}  # fmt: skip
    runs = usual_runs(listed)
    if "runs" in address:
        named = [part for part in address["runs"].split(",") if part]
        gone = [part for part in named if part not in by_reference]
        if gone:
            problems.append(f"The link names {len(gone)} of {len(named)} runs that have no such map here: "
                            f"{', '.join(gone)[:100]}.")  # fmt: skip
        runs = list(dict.fromkeys(by_reference[part] for part in named if part in by_reference))
    try:
        fraction = float(address.get("fraction", DEFAULT_FRACTION))
        if not SMALLEST_FRACTION <= fraction <= LARGEST_FRACTION:
            raise ValueError
    except ValueError:
        problems.append(f"The link asks for the fraction {address['fraction'][:20]}; it must be at least "
                        f"{SMALLEST_FRACTION} and at most {LARGEST_FRACTION}.")  # fmt: skip
        address.pop("fraction", None)
        fraction = DEFAULT_FRACTION
    candidates, _ = find_candidates(listed[listed["run_id"].isin(runs)])
    main = address.get("main")
    if main is not None and main not in [each.name for each in candidates]:
        problems.append(f"The link names the main model '{main[:100]}', which none of these runs is of.")
        address.pop("main")
        main = None
    guessed = likely_main(candidates)
    main = main or (guessed.name if guessed else None)
    return Asked(tuple(runs), main, score, fraction, address.get("show") != "each"), problems


def scores_of(workspace: Workspace, suite: str) -> list[str]:
    """Return the scores by which maps of a suite can be compared: one of them not every run knows."""
    score = "adjusted_variability"
    can_adjust = len(workspace.transferable_runs(suite, score=score)) >= 2
    return [each for each in SCORE_ENDS if can_adjust or each != score]


def read_score(scores: Sequence[str]) -> tuple[str, list[str]]:
    """Read which of these scores the address asks for."""
    address = frame.page_address(PAGE)
    score = address.get("score", DEFAULT_SCORE)
    if score in scores:
        return score, []
    address.pop("score")
    if score in SCORE_ENDS:
        return DEFAULT_SCORE, [f"The link asks for {words(score)}, which fewer than two runs of this suite know."]
    return DEFAULT_SCORE, [f"The link asks for the score '{score[:50]}', which maps are not compared by."]


def draw_controls(asked: Asked, listed: pd.DataFrame, scores: Sequence[str]) -> None:
    """Draw the widgets; each shows the state, and changes it in a callback."""
    names = dict(zip(listed["run_id"], listed["name"], strict=True))
    candidates, _ = find_candidates(listed[listed["run_id"].isin(asked.runs)])
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="transfer-controls"):
        _select("Main model", [each.name for each in candidates], asked.main, "main", width=280)
        _select("Score", list(scores), asked.score, "score", width=190)
        _show("fraction", round(asked.fraction, 4))
        st.number_input("Fraction", SMALLEST_FRACTION, LARGEST_FRACTION, step=0.05, format="%.2f",
                        key="transfer.fraction", width=130, on_change=_changed, args=("fraction",),
                        help="Share of the examples in each set.")  # fmt: skip
        _show("show", GROUPED if asked.is_grouped else EACH)
        st.segmented_control("Cells", [GROUPED, EACH], key="transfer.show", on_change=_changed, args=("show",),
                             required=True)  # fmt: skip
        with st.popover(f"{len(asked.runs)} of {len(listed)} runs", icon=":material/checklist:"):
            _show("runs", list(asked.runs))
            st.multiselect("Runs that are compared", list(names), key="transfer.runs", format_func=names.get,
                           on_change=_changed, args=("runs",), width=520)  # fmt: skip


def set_words(score: str, fraction: float) -> str:
    """Say which examples the sets hold: "the most ambiguous 33 %", or "the 33 % of highest loss"."""
    strategy, _, of = SCORE_ENDS[score].partition(":")
    share = f"{100 * fraction:.3g} %"
    return f"the {share} of {ENDS[strategy]} {of.replace('_', ' ')}" if of else f"the {ENDS[strategy]} {share}"


def report(asked: Asked, listed: pd.DataFrame) -> TransferReport:
    """Return the comparison of maps; kept until one of the runs changes.

    :raises FTFTError: as `Workspace.transfer_report`.
    """
    rows = listed[listed["run_id"].isin(asked.runs)]
    state = rows[["run_id", "status", "counted_epochs", "train_flops"]].to_csv(index=False)
    return _report(str(reads.workspace_folder()), state, asked.runs, asked.main, asked.score, asked.fraction)


def probe_report(probe: str, asked: Asked) -> ProbeReport:
    """Return what a probe says of the references among the runs; kept until one of them changes.

    :raises FTFTError: as `Workspace.estimate_transfer`.
    """
    everything = reads.runs().set_index("run_id")
    state = everything.loc[[probe, *asked.runs], ["counted_epochs", "num_optimizer_steps"]].to_csv()
    return _probe(str(reads.workspace_folder()), state, probe, asked.runs, asked.score, asked.fraction)


def save_average(workspace: Workspace, runs: list[str], asked: Asked, name: str | None) -> SubsetRecord:
    """Save what the score's strategy takes of one run's map, or of the average of several."""
    recipe = workspace.average_recipe(runs, SCORE_ENDS[asked.score], asked.fraction)
    return workspace.save_subset(recipe, name=name)


def probe_command(found: TransferReport, listed: pd.DataFrame) -> str:
    """Give the command that trains a probe of the main model: a run like its own, for a twentieth of its budget."""
    rows = listed[listed["name"].isin(found.main.runs)]
    steps = pd.to_numeric(rows["num_optimizer_steps"], errors="coerce").median()
    budget = "--epochs 0.25" if pd.isna(steps) else f"--max-steps {max(1, round(0.05 * steps))}"
    return f"ftft train --like {shlex.quote(found.main.runs[0])} {budget} --name probe"


def draw_probe_picker(names: dict[str, str], probe: str) -> None:
    """Draw the choice of the run that is the probe."""
    _show("probe", probe)
    st.selectbox("Probe: a short run of the main model", list(names), key="transfer.probe", format_func=names.get,
                 on_change=_changed, args=("probe",), width=340)  # fmt: skip


def _select(label: str, options: list[str], value: str | None, name: str, *, width: int) -> None:
    _show(name, value)
    st.selectbox(label, options, key=f"transfer.{name}", on_change=_changed, args=(name,), width=width,
                 disabled=not options, placeholder="none yet")  # fmt: skip


def _show(name: str, value: object) -> None:
    if st.session_state.get(f"transfer.{name}") != value:
        st.session_state[f"transfer.{name}"] = value


def _changed(name: str) -> None:
    """Take over what a widget says; what is the default is left out of the address."""
    address, value = frame.page_address(PAGE), st.session_state[f"transfer.{name}"]
    if name == "runs":
        address["runs"] = ",".join(value)
    elif name == "show":
        address.pop("show", None)
        if value == EACH:
            address["show"] = "each"
    else:
        address[name] = f"{value:g}" if isinstance(value, float) else str(value)


@st.cache_resource(show_spinner="Comparing the maps", max_entries=16)
def _report(
    folder: str, state: str, runs: tuple[str, ...], main: str | None, score: str, fraction: float
) -> TransferReport:
    return Workspace(folder).transfer_report(runs, main=main, score=score, fraction=fraction)


@st.cache_resource(show_spinner="Asking the probe", max_entries=16)
def _probe(folder: str, state: str, probe: str, runs: tuple[str, ...], score: str, fraction: float) -> ProbeReport:
    return Workspace(folder).estimate_transfer(probe, runs, score=score, fraction=fraction)
