"""The parts of the fine-tune page that are drawn in HTML: a run's line, its state in words, facts; and their style.

Owns escaping: every name and message goes through `html.escape` here.
"""

from __future__ import annotations

import html
import time
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from ftft_core.figures.run_charts import SPARK_HEIGHT, SPARK_WIDTH
from ftft_core.ui.frame import duration_words
from ftft_core.workspace import RunProgress

CSS = f"""
.st-key-ft-form h3, .st-key-ft-queue h3 {{ padding: 0.2rem 0 0.45rem; }}
.st-key-ft-form .stHeading:not(:first-child) h3 {{ padding-top: 0.8rem; }}
.st-key-ft-form .stVerticalBlock {{ gap: 0.45rem; }}
.st-key-ft-queue [data-stale="true"], .st-key-ft-foot [data-stale="true"] {{ opacity: 1 !important;
  transition: none !important; }}
.ftft-under {{ margin-top: -0.15rem; min-height: 1.3rem; font-size: 0.95em; }}
.st-key-ft-foot {{ border-top: 1px solid var(--ftft-line); padding-top: 0.7rem; margin-top: 0.35rem; }}
.ftft-cost {{ min-height: 2.7rem; line-height: 1.35rem; display: flex; flex-direction: column;
  justify-content: center; }}
.ftft-remark {{ font-size: 0.93em; line-height: 1.2rem; }}
.ftft-wrong {{ color: var(--ftft-wrong); }}
.ftft-wrong li {{ overflow-wrap: anywhere; }}
[class*="st-key-run-line-"] {{ border-bottom: 1px solid var(--ftft-line); padding: 0.28rem 0 0.32rem; }}
[class*="st-key-run-line-"] .stVerticalBlock, [class*="st-key-run-line-"] {{ gap: 0 !important; }}
[class*="st-key-run-open-"] button {{ padding: 0; min-height: 1.4rem; justify-content: flex-start; border: none;
  max-width: 100%; text-align: left; }}
[class*="st-key-run-open-"] button > div {{ justify-content: flex-start; min-width: 0; max-width: 100%; }}
[class*="st-key-run-open-"] button p {{ font-weight: 600; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }}
[class*="st-key-run-open-"] button:hover p {{ color: var(--ftft-accent); }}
[class*="st-key-run-tools-"] button {{ min-height: 1.75rem; padding: 0.05rem 0.45rem; }}
[class*="st-key-run-tools-"] button[kind="secondary"] {{ min-width: 5.3rem; }}
[class*="st-key-run-do-"] {{ display: grid !important; }}
[class*="st-key-run-do-"] > * {{ grid-area: 1 / 1; }}
[class*="st-key-run-tools-"] {{ gap: 0.15rem; flex-wrap: nowrap; }}
[class*="st-key-run-menu-"] button [data-testid="stMarkdownContainer"] {{ position: absolute; width: 1px; height: 1px;
  overflow: hidden; clip-path: inset(50%); }}
[class*="st-key-run-menu-"] button > div > [aria-hidden="true"] {{ display: none; }}
.ftft-run {{ display: grid; grid-template-columns: minmax(0, 1fr) 4.1rem {SPARK_WIDTH}px; gap: 0 0.9rem;
  align-items: center; min-height: 2.5rem; }}
.ftft-run .how {{ white-space: nowrap; overflow: hidden; text-overflow: ellipsis; line-height: 1.3rem; }}
.ftft-run .dev {{ text-align: right; line-height: 1.2rem; }}
.ftft-run .dev small {{ display: block; color: var(--ftft-muted); font-size: 0.8rem; }}
.ftft-run img {{ display: block; width: {SPARK_WIDTH}px; height: {SPARK_HEIGHT}px; }}
.ftft-track {{ height: 4px; border-radius: 2px; background: var(--ftft-line); overflow: hidden;
  margin: 0.1rem 0 0.2rem; }}
.ftft-track span {{ display: block; height: 100%; border-radius: 2px; background: var(--ftft-accent);
  transition: width 0.6s linear; }}
.ftft-track.still span {{ background: var(--ftft-muted); transition: none; }}
.ftft-what {{ color: var(--ftft-muted); white-space: nowrap; overflow: hidden; text-overflow: ellipsis;
  line-height: 1.15rem; font-size: 0.93em; }}
.ftft-message {{ line-height: 1.3rem; padding: 0.1rem 0 0.15rem; overflow-wrap: anywhere; }}
.ftft-group {{ color: var(--ftft-muted); font-size: 0.93em; padding-top: 0.5rem;
  border-bottom: 1px solid var(--ftft-line); }}
.ftft-title {{ font-size: 1.2rem; font-weight: 600; line-height: 1.6rem; overflow-wrap: anywhere; }}
.ftft-state {{ min-height: 2.6rem; line-height: 1.3rem; overflow-wrap: anywhere; }}
.ftft-numbers {{ display: grid; grid-template-columns: repeat(5, minmax(0, 1fr)); gap: 0.6rem;
  margin: 0.2rem 0 0.3rem; }}
.ftft-numbers div {{ line-height: 1.25rem; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }}
.ftft-numbers b {{ display: block; font-size: 1.1rem; font-weight: 600; }}
.ftft-numbers small {{ color: var(--ftft-muted); font-size: 0.87rem; }}
.ftft-log {{ max-height: 9.5rem; overflow: auto; border: 1px solid var(--ftft-line); border-radius: 4px; margin: 0;
  padding: 0.45rem 0.6rem; font-family: "Source Code Pro", monospace; font-size: 0.8rem; line-height: 1.25;
  white-space: pre-wrap; overflow-wrap: anywhere; display: flex; flex-direction: column-reverse; min-height: 2.2rem; }}
.ftft-kept {{ display: grid; grid-template-columns: 9.5rem minmax(0, 1fr); gap: 0.15rem 1rem; margin: 0;
  padding: 0 !important; }}
.ftft-kept dt {{ color: var(--ftft-muted); margin: 0; padding: 0; font-weight: 400; }}
.ftft-kept dd {{ margin: 0; overflow-wrap: anywhere; }}
.ftft-kept code {{ font-size: 0.85em; background: none; padding: 0; color: inherit; }}
"""

WRONG = {"light": "#b3361e", "dark": "#f0735a"}


def fine_tune_style(theme_name: str) -> str:
    """Return the page's rules of style."""
    return f"<style>:root {{ --ftft-wrong: {WRONG[theme_name]}; }}\n{CSS}</style>"


def what_words(run: Mapping[str, Any]) -> str:
    """Say in a few words what a run is: method, model with its layers, seed."""
    model = str(run["model"]).rstrip("/").rpartition("/")[2]
    return f"{run['method']} · {model}, {run['num_layers']} layers · seed {run['seed']}"


def line_markup(progress: RunProgress, *, position: int | None, picture: str) -> str:
    """Return the middle of a run's line: how far it is, its latest dev score, its sparkline."""
    said, is_still = how_words(progress, position), progress.status != "running"
    percent = 100 * min(1.0, max(0.0, progress.fraction))
    bar = "" if progress.status == "finished" else (
        f'<div class="ftft-track{" still" * is_still}" role="progressbar" aria-valuenow="{percent:.0f}" '
        f'aria-valuemin="0" aria-valuemax="100"><span style="width: {percent:.1f}%"></span></div>'
    )  # fmt: skip
    wrong = ' style="color: var(--ftft-wrong)"' if progress.status in ("failed", "lost") else ""
    dev = progress.dev_scores.get("accuracy")
    score = "" if dev is None else f"{100 * dev:.1f} %<small>dev</small>"
    image = f'<img alt="Training loss by step" title="Training loss by step" src="{picture}">' if picture else ""
    return (
        f'<div class="ftft-run"><div><div class="how"{wrong}>{html.escape(said)}</div>{bar}</div>'
        f'<div class="dev">{score}</div><div>{image}</div></div>'
    )


def how_words(progress: RunProgress, position: int | None) -> str:
    """Say shortly how a run is doing: "12 min left", "waits, 2nd in line", "finished, took 4 min"."""
    percent = f"{100 * progress.fraction:.0f} %"
    if progress.status == "running":
        if progress.seconds_left is not None:
            return f"{duration_words(progress.seconds_left)} left · {percent}"
        return "starting" if progress.step is None else percent
    if progress.status == "queued":
        place = "waits" if position is None else "next in line" if position == 1 else f"{ordinal(position)} in line"
        expected = progress.expected_seconds
        return place if expected is None else f"{place} · about {duration_words(expected)}"
    if progress.status == "finished":
        spent = progress.seconds_elapsed
        return "finished" if spent is None else f"finished · {duration_words(spent)}"
    return progress.status if progress.step is None else f"{progress.status} at {percent}"


def state_words(progress: RunProgress, *, position: int | None) -> str:
    """Say in full what happened to a run and what comes next, or what to press."""
    at = "" if progress.step is None else f"step {progress.step:,} of {progress.num_steps or 0:,}"
    if progress.status == "running":
        parts = [f"{_stage(progress)}{', ' + at if at else ''}."]
        if progress.resumed_from_step:
            parts.append(f"It went on from step {progress.resumed_from_step:,}.")
        if progress.message and progress.message != "training":
            parts.append(_sentence(progress.message))
        return " ".join(parts)
    if progress.status == "queued":
        before = 0 if position is None else position - 1
        wait = "It starts as soon as the device is free." if not before else (
            f"It starts after the {'run' if before == 1 else f'{before} runs'} before it."
        )  # fmt: skip
        return f"Waits. {wait}" + (f" It goes on from {at}." if progress.step else "")
    if progress.status == "finished":
        said = "" if progress.message in ("", "done") else " " + _sentence(progress.message)
        return f"Finished{', ' + at if at else ''}.{said}"
    message = progress.message.partition("; resume")[0]
    if message.startswith(progress.status):
        happened = message[:1].upper() + message[1:]
    else:
        happened = f"{progress.status.capitalize()}{' at ' + at if at else ''}{': ' + message if message else ''}"
    press = "Resume goes on from its newest checkpoint." if progress.can_resume else (
        "It has no checkpoint yet: Try again starts it from its first step."
    )  # fmt: skip
    return f"{_sentence(happened)} {press}"


def numbers_markup(progress: RunProgress) -> str:
    """Return the few numbers that change while a run trains."""
    left = progress.seconds_left if progress.status == "running" else None
    epoch = None if progress.epoch is None or not progress.num_epochs else (
        f"{min(progress.epoch + 1, progress.num_epochs)} of {progress.num_epochs}"
    )  # fmt: skip
    dev = progress.dev_scores.get("accuracy")
    rate = progress.examples_per_second
    facts = (
        ("left", duration_words(left)) if left is not None else ("trained for", _duration(progress.seconds_elapsed)),
        ("epoch", epoch),
        ("dev accuracy", None if dev is None else f"{100 * dev:.1f} %"),
        ("examples a second", None if rate is None else f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"),
        ("peak memory", None if progress.memory_bytes is None else size_words(progress.memory_bytes)),
    )
    cells = "".join(f"<div><b>{html.escape(value or '–')}</b><small>{name}</small></div>" for name, value in facts)
    return f'<div class="ftft-numbers">{cells}</div>'


def bar_markup(progress: RunProgress) -> str:
    """Return a run's progress as a bar over the whole width."""
    percent, is_still = 100 * min(1.0, max(0.0, progress.fraction)), progress.status != "running"
    return (
        f'<div class="ftft-track{" still" * is_still}" role="progressbar" aria-valuenow="{percent:.0f}" '
        f'aria-valuemin="0" aria-valuemax="100"><span style="width: {percent:.1f}%"></span></div>'
    )


def kept_markup(facts: Iterable[tuple[str, str]]) -> str:
    """Return names and values as two columns."""
    rows = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in facts)
    return f'<dl class="ftft-kept">{rows}</dl>'


def taken_words(progress: RunProgress, taken: float | None) -> str:
    """Say what a run took and what it was expected to."""
    expected = progress.expected_seconds
    said = "not known" if taken is None or pd.isna(taken) else f"took {minutes_words(taken)}"
    return said if expected is None else f"{said}, expected {minutes_words(expected)}"


def since_words(since: float | None) -> str:
    """Say how long ago something was."""
    return "" if since is None else f"{duration_words(max(0.0, time.time() - since))} ago"


def minutes_words(seconds: float) -> str:
    """Word a duration finely enough to compare two: "40 s", "4.3 min", "1 h 05 min"."""
    return f"{seconds / 60:.1f} min" if 60 <= seconds < 3600 else duration_words(seconds)


def size_words(num_bytes: float) -> str:
    """Word a size: "312 MiB", "1.2 GiB"."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if num_bytes >= size:
            value = num_bytes / size
            return f"{value:.1f} {unit}" if value < 10 else f"{value:,.0f} {unit}"
    return f"{num_bytes:.0f} bytes"


def model_words(model: str) -> str:
    """Say a local folder by the end of its path."""
    parts = str(model).rstrip("/").split("/")
    return str(model) if len(parts) <= 2 else "…/" + "/".join(parts[-2:])


def ordinal(number: int) -> str:
    """Word a place: "2nd", "3rd", "11th"."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _stage(progress: RunProgress) -> str:
    if progress.stage in (None, "", "training"):
        return "Training" if progress.step is not None else "Starting"
    return f"{progress.stage[:1].upper()}{progress.stage[1:]}"


def _sentence(words: str) -> str:
    said = words.strip()
    return said if said.endswith((".", "?", "!")) else f"{said}."


def _duration(seconds: float | None) -> str | None:
    return None if seconds is None else minutes_words(seconds)
