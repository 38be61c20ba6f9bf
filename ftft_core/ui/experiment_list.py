"""The experiments beside their form: each as a line, or the one that is open with a line a run; looked at every two
seconds.

Owns what is listed and its buttons; what they do is `experiment_state`'s.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import streamlit as st

from ftft_core import experiments
from ftft_core.errors import FTFTError
from ftft_core.experiments import Experiment, Following, RunLine
from ftft_core.ui import experiment_markup as markup
from ftft_core.ui import experiment_state as actions
from ftft_core.ui import reads, run_actions
from ftft_core.ui.frame import as_text, chosen, show_error, write_address
from ftft_core.ui.queue_list import picture, places
from ftft_core.ui.run_markup import line_markup
from ftft_core.ui.run_watch import draw_run

SECONDS = 2
MAX_LINES = 40
"""Runs of an experiment that have a line; of more, those that have finished are counted alone."""

ORDER = ("running", "queued", "failed", "lost", "cancelled", "skipped", "removed", "planned", "finished")
"""Of many runs, these come first."""


def is_one_under_way(suite: str) -> bool:
    """Whether an experiment of the suite is under way."""
    return any(each.is_active for each in experiments.experiments(chosen().workspace, suite))


@st.fragment(run_every=SECONDS)
def draw_experiments() -> None:
    """Draw the experiments of the chosen suite, the one that is open, or a run of it."""
    suite, kept = chosen().suite, actions.state()
    page = kept.go_to or run_actions.state().go_to
    if page is not None:
        kept.go_to = run_actions.state().go_to = None
        st.switch_page(page)
    if kept.redraws_form:
        kept.redraws_form = False
        st.rerun(scope="app")
    try:
        chosen().workspace.sync()
        listed = experiments.experiments(chosen().workspace, suite)
        opened = next((each for each in listed if each.experiment == actions.opened()), None)
        if actions.opened() is not None and opened is None:
            st.warning(f"Experiment {as_text(str(actions.opened())[:40])} is not in this suite; it may have been "
                       "forgotten.", icon=":material/link_off:")  # fmt: skip
            actions.open_experiment(None)
        if not _draw_open_run():
            if opened is None:
                _draw_list(listed)
            else:
                _draw_one(opened)
        write_address()
    except FTFTError as failure:
        show_error(failure)


def _draw_open_run() -> bool:
    """Draw the run that is open; False when there is none."""
    run_id = run_actions.opened()
    if run_id is None:
        return False
    rows = reads.runs(chosen().suite)
    found = rows[rows["run_id"] == run_id].to_dict("records")
    if not found:
        run_actions.close()
        return False
    taken = places()
    draw_run({str(name): value for name, value in found[0].items()}, position=taken.get(run_id),
             num_waiting=sum(place > 0 for place in taken.values()),
             way_back="The experiment" if actions.opened() else "All experiments")  # fmt: skip
    return True


def _draw_list(listed: list[Experiment]) -> None:
    st.subheader("Experiments", anchor=False)
    if not listed:
        with st.container(border=True):
            st.markdown("**No experiment on this suite yet.**")
            st.markdown(
                ":gray[Several methods, each with several seeds, become runs that share their references; here they "
                "stand with their progress, and what has finished is never trained twice. Choose the methods on the "
                "left and press Start. Experiments of the command line stand here too.]"
            )
    for each in listed[: actions.state().num_shown]:
        seen = experiments.follow(chosen().workspace, each)
        with st.container(key=f"ex-line-{each.experiment}"):
            left, middle, right = st.columns([2.9, 2.4, 1.3], vertical_alignment="center", gap="small")
            with left:
                st.button(as_text(markup.title_words(each)), key=f"ex-open-{each.experiment}", type="tertiary",
                          width="stretch", on_click=actions.open_experiment, args=(each.experiment,))  # fmt: skip
                st.html(f'<div class="ftft-what">{html.escape(markup.what_words(each))}</div>')
            bar = "" if each.status == "finished" else markup.bar_markup(each, seen)
            middle.html(f"<div>{html.escape(markup.how_words(each, seen))}</div>{bar}")
            with right:
                _draw_tools(each)
        _draw_problem(each)
    left = len(listed) - actions.state().num_shown
    if left > 0:
        st.button(f"Show {min(left, 3 * actions.SHOWN)} older of {left}", key="ex-more", type="tertiary",
                  on_click=actions.show_more)  # fmt: skip


def _draw_one(each: Experiment) -> None:
    seen = experiments.follow(chosen().workspace, each)
    with st.container(key="ex-view", gap="small"):
        st.button("All experiments", icon=":material/arrow_back:", key="ex-close", type="tertiary",
                  on_click=actions.open_experiment, args=(None,))  # fmt: skip
        left, right = st.columns([2.6, 1.3], vertical_alignment="center")
        left.html(f'<div class="ftft-title">{html.escape(markup.title_words(each))}</div>'
                  f'<div class="ftft-what">{html.escape(markup.what_words(each))}</div>')  # fmt: skip
        with right:
            _draw_tools(each, is_open=True)
        _draw_problem(each)
        wrong = " ftft-wrong" * (each.status in ("failed", "interrupted"))
        said = html.escape(markup.state_words(each, seen))
        st.html(f'{markup.bar_markup(each, seen)}<div class="ftft-state ftft-experiment{wrong}">{said}</div>')
        lines = list(each.runs)
        if len(lines) > MAX_LINES:
            ranks = {status: number for number, status in enumerate(ORDER)}
            lines.sort(key=lambda line: ranks.get(seen.statuses[line.key], 0))
        for number, line in enumerate(lines[:MAX_LINES]):
            _draw_line(number, line, seen)
        if len(lines) > MAX_LINES:
            st.html(f'<div class="ftft-quiet">{len(lines) - MAX_LINES:,} more runs are listed under One run.</div>')


def _draw_line(number: int, line: RunLine, seen: Following) -> None:
    status, progress = seen.statuses[line.key], seen.progress.get(line.key)
    with st.container(key=f"ex-line-{number}"):
        left, right = st.columns([2.2, 2.6], vertical_alignment="center", gap="small")
        name = markup.line_words(line)
        if progress is None or line.run_id is None:
            left.html(f'<div class="ftft-planned" title="{html.escape(line.key)}">{html.escape(name)}</div>')
            right.html(markup.planned_markup(line, status, dict(seen.statuses)))
        else:
            left.button(as_text(name), key=f"ex-open-{line.run_id}", type="tertiary", width="stretch",
                        on_click=actions.open_run, args=(line.run_id,))  # fmt: skip
            right.html(line_markup(progress, position=_place(line.run_id, status),
                                   picture=picture(line.run_id, progress)))  # fmt: skip
        message = line.message if progress is None else progress.message
        if status in ("failed", "lost", "skipped") and message:
            st.html(f'<div class="ftft-message ftft-wrong">{html.escape(message)}</div>')


def _place(run_id: str, status: str) -> int | None:
    return places().get(run_id) if status == "queued" else None


def _draw_tools(each: Experiment, *, is_open: bool = False) -> None:
    """Draw an experiment's likeliest button, and a menu of the others."""
    experiment, kind = each.experiment, "primary" if is_open else "secondary"
    with st.container(horizontal=True, horizontal_alignment="right", gap=None, key=f"ex-tools-{experiment}",
                      vertical_alignment="center"):  # fmt: skip
        if each.is_active:
            st.button("Stop", key=f"ex-stop-{experiment}", on_click=actions.stop, args=(experiment,),
                      disabled=each.status == "stopping", help="Each run leaves a checkpoint")  # fmt: skip
        elif each.status == "finished":
            st.button(
                "Compare",
                key=f"ex-compare-{experiment}",
                on_click=actions.compare,
                type="primary" if is_open else "secondary",
            )
        else:
            st.button("Go on", key=f"ex-go-{experiment}", on_click=actions.go_on, args=(experiment,), type=kind,
                      help="Only what is missing is trained")  # fmt: skip
        key = f"ex-menu-{experiment}"
        menu = [actions.RECIPE] if each.is_active else [actions.RECIPE, actions.FORGET]
        st.menu_button("More", menu, icon=":material/more_horiz:", key=key, type="tertiary", help="More",
                       on_click=actions.pick, args=(experiment, key))  # fmt: skip


def _draw_problem(each: Experiment) -> None:
    problems: Mapping[str, Any] = actions.state().problems
    if each.experiment in problems:
        show_error(problems[each.experiment])
