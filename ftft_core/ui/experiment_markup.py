"""The parts of the experiment view that are drawn in HTML: costs, an experiment in words, a run's state; their style.

Owns escaping: every name and message goes through `html.escape` here.
"""

from __future__ import annotations

import html
import re

from ftft_core.experiments import Experiment, ExperimentPlan, Following, RunLine
from ftft_core.planning import amount_words, flops_words
from ftft_core.ui.frame import duration_words
from ftft_core.ui.planning import seeds_words
from ftft_core.ui.run_foot import NO_BREAK
from ftft_core.ui.run_markup import model_words, since_words

CSS = """
[data-testid="stLayoutWrapper"]:has(> .st-key-ex-head) { margin-top: -2.6rem; margin-left: auto; width: 11rem; }
.st-key-ex_methods button { min-height: 1.75rem; padding: 0.05rem 0.6rem; }
.st-key-ex_methods [role="group"], .st-key-ex_methods [data-testid="stButtonGroup"] > div { gap: 0.3rem; }
[data-testid="stLayoutWrapper"]:has(> .stVerticalBlock > [data-testid="stLayoutWrapper"] > .st-key-ft-foot) {
  position: sticky; bottom: 0; z-index: 5; background: var(--ftft-background); padding-bottom: 0.5rem; }
[class*="st-key-ex_drop_"] button { padding: 0 0.2rem; }
[class*="st-key-ex-line-"] { border-bottom: 1px solid var(--ftft-line); padding: 0.22rem 0 0.26rem; }
[class*="st-key-ex-line-"] .stVerticalBlock, [class*="st-key-ex-line-"] { gap: 0 !important; }
[class*="st-key-ex-open-"] button { padding: 0; min-height: 1.4rem; justify-content: flex-start; border: none;
  max-width: 100%; text-align: left; }
[class*="st-key-ex-open-"] button > div { justify-content: flex-start; min-width: 0; max-width: 100%; }
[class*="st-key-ex-open-"] button p { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
[class*="st-key-ex-open-e"] button p { font-weight: 600; }
[class*="st-key-ex-open-"] button:hover p { color: var(--ftft-accent); }
[class*="st-key-ex-tools-"] { gap: 0.15rem; flex-wrap: nowrap; }
[class*="st-key-ex-menu-"] button [data-testid="stMarkdownContainer"] { position: absolute; width: 1px; height: 1px;
  overflow: hidden; clip-path: inset(50%); }
[class*="st-key-ex-menu-"] button > div > [aria-hidden="true"] { display: none; }
.ftft-planned { line-height: 1.4rem; color: var(--ftft-muted); white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; }
.ftft-costs { margin-top: 0.3rem; }
.ftft-costs td:first-child { max-width: 15rem; overflow: hidden; text-overflow: ellipsis; }
"""

STATE_WORDS = {
    "running": "Under way",
    "stopping": "Stopping: runs that train finish their step and write a checkpoint",
    "finished": "Finished",
    "stopped": "Stopped: each run left a checkpoint",
    "failed": "Did not finish",
    "interrupted": "Interrupted",
}


def experiment_style() -> str:
    """Return the view's rules of style."""
    return f"<style>{CSS}</style>"


def cost_markup(plan: ExperimentPlan, doing: str | None) -> str:
    """Return what an experiment will take, and under it what is measured now or what one should know.

    :param doing: what a warm-up does just now.
    """
    quiet = [f"Measuring on this machine: {doing}"] if doing else []
    quiet += [plan.measuring_failed] if plan.measuring_failed else []
    quiet += plan.remarks
    under = "".join(f'<div class="ftft-quiet ftft-remark">{html.escape(words)}</div>' for words in quiet)
    said = re.sub(r"(?<=\d) (?=[A-Za-z%])", NO_BREAK, plan.words)
    return f'<div class="ftft-cost"><div>{html.escape(said)}</div>{under}</div>'


def methods_markup(plan: ExperimentPlan) -> str:
    """Return a small table: what one run of each method takes, its reference included in the share."""
    rows = []
    for cost in plan.methods:
        flops = "–" if cost.flops is None else flops_words(cost.flops)
        share = "–" if cost.share is None else f"{amount_words(100 * cost.share)} %"
        label = html.escape(_short(cost.label))
        rows.append(
            f'<tr><td title="{html.escape(cost.label)}">{label}</td><td>{cost.num_finished} of {cost.num_runs}</td>'
            f"<td>{html.escape(flops)}</td><td>{html.escape(share)}</td></tr>"
        )
    head = (
        "<tr><th>method</th><th>there</th><th>FLOPs of one run</th>"
        '<th title="With its reference, over plain fine-tuning with the full budget">share of plain</th></tr>'
    )
    return f'<div class="ftft-wide"><table class="ftft-small ftft-costs">{head}{"".join(rows)}</table></div>'


def title_words(experiment: Experiment) -> str:
    """Name an experiment by what it compares."""
    methods = experiment.recipe.methods
    return ", ".join(methods) if len(methods) <= 5 else f"{', '.join(methods[:4])} and {len(methods) - 4} more"


def what_words(experiment: Experiment) -> str:
    """Say in a few words with what it does so: models, seeds."""
    recipe = experiment.recipe
    models = [_model(each.model, each.layers) for each in (recipe.main_model, *recipe.reference_model)]
    references = f" · {'reference' if len(models) == 2 else 'references'} {', '.join(models[1:])}" if models[1:] else ""
    return f"{models[0]}{references} · {seeds_words(recipe.seeds)}"


def state_words(experiment: Experiment, seen: Following) -> str:
    """Say how an experiment is doing, and what to press where something is to be done."""
    total, done = len(experiment.runs), seen.num_finished
    said = f"{STATE_WORDS[experiment.status]}: " if experiment.status in ("running", "finished") else (
        f"{STATE_WORDS[experiment.status]}. "
    )  # fmt: skip
    said += f"{done} of {total} run{'s' * (total != 1)} finished"
    if seen.seconds_left is not None and experiment.status == "running":
        return f"{said}, about {duration_words(seen.seconds_left)} left."
    if experiment.status == "interrupted":
        return f"{said}; {experiment.message}. Nothing new is queued until somebody goes on with it."
    if experiment.status == "failed":
        return f"{said}. {experiment.message[:1].upper()}{experiment.message[1:]}"
    return f"{said}."


def how_words(experiment: Experiment, seen: Following) -> str:
    """Say the same in half a line."""
    total, done = len(experiment.runs), seen.num_finished
    said = f"{done} of {total}"
    if experiment.status == "running":
        left = f" · {duration_words(seen.seconds_left)} left" if seen.seconds_left is not None else ""
        return f"{said} runs{left}"
    return f"{experiment.status} · {said} · {since_words(experiment.since)}"


def bar_markup(experiment: Experiment, seen: Following) -> str:
    """Return the progress of all of it as a bar."""
    percent = 100 * (1.0 if experiment.status == "finished" else seen.fraction)
    still = " still" * (not experiment.is_active)
    return (
        f'<div class="ftft-track{still}" role="progressbar" aria-valuenow="{percent:.0f}" aria-valuemin="0" '
        f'aria-valuemax="100"><span style="width: {percent:.1f}%"></span></div>'
    )


def planned_markup(line: RunLine, status: str, statuses: dict[str, str]) -> str:
    """Return the state of a run that is not there yet: what it waits for, or why it will not come."""
    if status in ("skipped", "failed"):
        return f'<div class="ftft-planned ftft-wrong">{status}</div>'
    if status == "removed":
        return '<div class="ftft-planned">removed</div>'
    waits = [key for key in line.needs if statuses.get(key) != "finished"]
    said = f"after {_short(waits[0])}" if waits else "is queued next"
    return f'<div class="ftft-planned" title="{html.escape(said)}">{html.escape(said)}</div>'


def line_words(line: RunLine) -> str:
    """Name a run of an experiment, a local model by the end of its path."""
    return _short(line.key)


def _model(model: str, layers: int | None) -> str:
    said = model_words(model)
    return said if layers is None else f"{said} {layers} layers"


def _short(words: str) -> str:
    """Say local folders by their last part."""
    return re.sub(r"/[^,]*/(?=[^/,]+)", "", words)
