"""Make the tables and figures of docs/results.md from the results that are kept in docs/results, without training.

    python benchmarks/results.py [--results docs/results] [--document docs/results.md] [--no-figures]
    python benchmarks/results.py --check          # says whether the document is up to date, and changes nothing
    python benchmarks/results.py --open FOLDER    # only makes a workspace of them, for `ftft serve` or `ftft compare`

Every suite has a part of its own between two marks, and so have the probes; what stands around the marks is written by
hand and stays, and a part may be moved. A part that the document lacks is added at its end. Each number comes from a
workspace that is made anew from the kept files, by the same functions that the app and `ftft compare` use. Figures are
drawn by the project's own functions and saved as SVG by Plotly in a local Chromium; one whose data did not change is
not drawn again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd
import plotly
from overview import main_models, seeds_table, short_summary, summary, summary_rows, tuning_table
from probe import cases_of
from wording import number, table

from ftft_core.comparison import count_probes, to_records
from ftft_core.comparison.runs import short_model
from ftft_core.comparison.tables import METRIC_TITLES
from ftft_core.errors import FTFTError
from ftft_core.figures import LIGHT
from ftft_core.figures.compare_charts import cost_curves_figure, cost_front_figure
from ftft_core.workspace import ComparisonReport, Workspace
from ftft_core.workspace.charted import ROLES, front_points, reach_words
from ftft_core.workspace.kept_files import kept_suites

DOCS = Path(__file__).resolve().parents[1] / "docs"
RESULTS, DOCUMENT, README = DOCS / "results", DOCS / "results.md", DOCS.parent / "README.md"
METRIC = "accuracy"
MOST_CURVES = 8
"""Lines that one chart can hold."""

WIDTH, HEIGHT = 760, 420


@dataclass
class Part:
    """What is made for one place of the document."""

    name: str
    heading: str
    """Where it is added to a document that lacks it."""
    text: str
    figures: dict[str, Any] = field(default_factory=dict)
    """Name of the file -> Plotly figure."""
    of_readme: bool = False
    """Whether its place is in README.md."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where results are kept")
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="the Markdown file with the marks")
    parser.add_argument("--check", action="store_true", help="only say whether the document is up to date")
    parser.add_argument("--no-figures", action="store_true", help="leave the figures as they are")
    parser.add_argument("--open", type=Path, metavar="FOLDER", help="only make a workspace of the results")
    given = parser.parse_args()
    try:
        make(given)
    except FTFTError as failure:
        sys.exit(str(failure))


def make(given: argparse.Namespace) -> None:
    """Do what was asked for.

    :raises FTFTError: when the kept results are damaged, or the folder to open them in holds some of them already.
    """
    if given.open is not None:
        workspace = Workspace(given.open)
        for folder in kept_suites(given.results):
            print(f"{workspace.restore_results(folder)} is in {given.open}")
        return
    if not kept_suites(given.results):
        sys.exit(f"No results are kept in {given.results}; benchmarks/keep_results.py keeps those of a workspace.")
    parts, cases = make_parts(given.results)
    documents = {given.document: [part for part in parts if not part.of_readme]}
    if given.document == DOCUMENT:
        documents[README] = [part for part in parts if part.of_readme]
    before = {path: path.read_text(encoding="utf-8") if path.exists() else "" for path in documents}
    after = {path: with_parts(before[path], own) for path, own in documents.items()}
    stale = [path.name for path in documents if after[path] != before[path]]
    drawn = {given.document.parent / "images" / name: figure for part in parts for name, figure in part.figures.items()}
    old = {path: figure for path, figure in drawn.items() if not is_drawn(path, figure)}
    if given.check:
        stale += [path.name for path in old]
        print(f"not up to date: {', '.join(stale)}; `make results` makes it so" if stale else "up to date")
        sys.exit(int(bool(stale)))
    for path, text in after.items():
        path.write_text(text, encoding="utf-8", newline="\n")
    (given.results / "probe.json").write_text(json.dumps(cases, indent=1) + "\n", encoding="utf-8")
    if old and not given.no_figures:
        draw(old)
    print(json.dumps({"parts": [part.name for part in parts], "figures": [path.name for path in old]}, indent=1))


def make_parts(results: Path) -> tuple[list[Part], dict[str, Any]]:
    """Make the parts of all suites and of the probes, and the probes' cases as `probe.json` holds them."""
    parts, rows, cases, skipped = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for place, kept in enumerate(kept_suites(results)):
            workspace = Workspace(Path(folder) / str(place))
            suite = workspace.restore_results(kept)
            with workspace.database.reading():  # held, since opening it for each question takes a third of the time
                report = workspace.compare(suite)
                parts.append(suite_part(workspace, report))
                rows += summary_rows(report, METRIC)
                found, reason = cases_of(workspace, suite)
            cases += found
            skipped += [f"{suite}: {reason}"] if reason else []
    words = [count_probes(cases).words, *(f"Not counted: {each}." for each in skipped)]
    parts.append(Part("summary", "All suites in one table", summary(rows)))
    parts.append(Part("what to expect", "What to expect", short_summary(rows), of_readme=True))
    tuned = results / "tuning.json"
    if tuned.exists():
        parts.append(Part("tuning", "What was tried", tuning_table(json.loads(tuned.read_text(encoding="utf-8")))))
    parts.append(Part("probes", "Early estimates of which references transfer", "\n\n".join(words)))
    return parts, {"cases": [vars(case) for case in cases], "skipped": skipped}


# -- the document ------------------------------------------------------------------------------------------------------


def marks_of(name: str) -> tuple[str, str]:
    """Give the lines that a part stands between."""
    return f"<!-- {name}: made by `make results`, not by hand -->", f"<!-- end of {name} -->"


def with_parts(document: str, parts: Sequence[Part]) -> str:
    """Put the parts between their marks; those without marks are added at the end, under a heading."""
    for part in parts:
        first, last = marks_of(part.name)
        body = f"{first}\n\n{part.text.strip()}\n\n{last}"
        place = re.compile(re.escape(first) + ".*?" + re.escape(last), re.DOTALL)
        if place.search(document):
            document = place.sub(lambda _, body=body: body, document, count=1)
        else:
            document = f"{document.rstrip()}\n\n## {part.heading}\n\n{body}\n".lstrip()
    return document


# -- one suite ---------------------------------------------------------------------------------------------------------


def suite_part(workspace: Workspace, report: ComparisonReport) -> Part:
    """Make the part of a suite: for each main model its comparison, costs, curves and transfer."""
    suite = report.suite
    part = Part(f"results of {suite}", f"The suite {suite}", "")
    blocks = [what_was_run(workspace, suite)]
    for model, layers in main_models(report):
        name = f"{short_model(model)}, {layers} layers"
        own = report.of_main_model(model, layers)
        stem = re.sub(r"[^a-z0-9]+", "-", f"results-{suite}-{short_model(model)}-{layers}l".lower())
        blocks.append(f"### {name} on {suite}")
        blocks += [*comparison_blocks(own), *curve_blocks(workspace, own, stem, part.figures)]
        blocks += transfer_blocks(workspace, suite, model, layers)
    blocks += (
        ["#### What narrows these numbers", "\n".join(f"- {note}" for note in report.notes)] if report.notes else []
    )
    part.text = "\n\n".join(blocks)
    return part


def what_was_run(workspace: Workspace, suite: str) -> str:
    """Say how many runs these are, of how many examples, and where they were made."""
    runs = workspace.runs(suite)
    splits = workspace.suite_splits(suite)
    sizes = ", ".join(f"{row.num_examples:,} {row.split}" for row in splits.itertuples())
    devices = ", ".join(sorted({f"{row.device} in {row.precision}" for row in runs.itertuples() if row.device}))
    return (
        f"{len(runs)} runs, references among them ({devices}). Examples: {sizes}. Fingerprint of the suite: "
        f"`{workspace.suite_facts(suite)['fingerprint'][:12]}`."
    )


def comparison_blocks(report: ComparisonReport) -> Iterator[str]:
    """Tables of every metric, costs, and what each method reached in a sentence."""
    for metric, title in METRIC_TITLES.items():
        text = report.as_markdown([metric]).strip().replace("### ", "", 1)
        head, _, body = text.partition("\n")
        if metric == METRIC:
            yield f"{head}.\n{body}"
        else:
            yield f"<details><summary>{title}</summary>\n\n{head}.\n{body}\n\n</details>"
    yield from seeds_table(report, METRIC)
    few = [f"{column.name} ({column.num_seeds})" for column in report.few_seeds()]
    if few:
        yield f"**Fewer than three seeds**, so their spread is hardly known: {', '.join(few)}."
    own = {column.id for column in report.columns if column.runs}
    yield "Costs, the reference's included; seconds compare only between runs on the same machine."
    yield cost_table(report, own)
    if report.together:
        yield report.together
    said = [
        report.conclude(column.id, METRIC)
        for column in report.columns
        if column.id in own and column.title != report.comparison.baseline
    ]
    yield "\n".join(f"- {sentence}" for sentence in said) if said else "There is nothing to compare with yet."


def cost_table(report: ComparisonReport, own: set[str]) -> str:
    names = {column.id: column.name for column in report.columns}
    rows = []
    for method, row in zip(report.comparison.methods, to_records(report.costs), strict=True):
        if method.id in own:
            cells = [number(row["flops"], 1, 1e-12), *(number(row[f"{unit}_share"], 2) for unit in SHARES)]
            rows.append([names[method.id], str(row["num_seeds"]), *cells])
    return table(["method", "seeds", "TFLOP", *(f"{words}, share" for words in SHARES.values())], rows)


SHARES = {"flops": "FLOPs", "optimizer_steps": "steps", "examples_seen": "examples", "seconds": "seconds"}


def curve_blocks(workspace: Workspace, report: ComparisonReport, stem: str, figures: dict[str, Any]) -> Iterator[str]:
    """Robustness against cost, curves against cost, and how plain fine-tuning converges."""
    baseline = report.comparison.baseline
    points = front_points(report, METRIC)
    if len(points):
        name = f"{stem}-cost.svg"
        figures[name] = cost_front_figure(
            points, LIGHT, score_name=METRIC_TITLES[METRIC], baseline=report.comparison.cost_base, height=HEIGHT
        )
        yield f"![Robustness against cost, and the Pareto front](images/{name})"
        beaten = points.loc[~points["on_front"], "name"]
        if len(beaten):
            names = ", ".join(beaten)
            yield f"Not on the front, since another is as robust on average for less, or more for as much: {names}."
        else:
            yield "Whatever costs less is less robust on average: each method is on the front."
    for role in ("out_of_distribution", "dev"):
        found = workspace.cost_curves(report, metric=METRIC, role=role)
        if found.curves.empty or not found.baseline_cost or found.reach.empty:
            continue
        drawn = [column for column in report.columns if column.id in set(found.curves["column"])]
        said = reach_words(report, found, drawn, METRIC, ROLES[role])
        if role == "out_of_distribution":
            shown = {column.id: column.name for column in drawn[:MOST_CURVES]}
            name = f"{stem}-curves.svg"
            figures[name] = cost_curves_figure(
                found.curves, found.points, shown, LIGHT, whole=found.baseline_cost, baseline=baseline,
                target=float(found.reach["target"].iloc[0]), score_name=METRIC_TITLES[METRIC], where=ROLES[role],
                reached=dict(zip(found.reach["column"], found.reach["share"], strict=True)), height=HEIGHT,
            )  # fmt: skip
            yield f"![Learning curves against cost](images/{name})"
            yield " ".join(said)
        else:
            for column in drawn:
                if column.title == baseline:
                    yield f"How {column.name} converges on the development set, in shares of its cost:"
                    yield convergence(found.curves[found.curves["column"] == column.id], found.baseline_cost)


def convergence(curve: pd.DataFrame, whole: float) -> str:
    rows = [
        [
            f"{100 * row.cost / whole:.0f} %",
            f"{number(row.mean, 1, 100)} ± {number(row.std, 1, 100)}",
            str(row.num_seeds),
        ]
        for row in curve.itertuples()
    ]
    return table(["spent", METRIC_TITLES[METRIC].lower(), "seeds"], rows)


def transfer_blocks(workspace: Workspace, suite: str, model: str, layers: int) -> Iterator[str]:
    """How far references' maps agree with the main model's, and which would do."""
    runs = workspace.transferable_runs(suite)
    runs = runs[(runs["fraction"] == 1) & runs["method"].isin(["erm", "reference"])]
    is_main = (runs["method"] == "erm") & (runs["model"] == model) & (runs["num_layers"] == layers)
    chosen = runs[is_main | (runs["method"] == "reference")]
    yield "#### Which reference transfers"
    if not is_main.any() or is_main.sum() == len(chosen):
        yield "There is no map of the main model, or none of a reference, to compare."
        return
    try:
        found = workspace.transfer_report(list(chosen["name"]), main=str(runs.loc[is_main, "name"].iloc[0]))
    except FTFTError as failure:
        yield f"The maps can't be compared: {failure}"
        return
    ceiling = found.ceiling()
    rows = [
        [row["reference"], str(row["num_runs"]), number(row["cost_share"], 2), number(row["overlap"], 2),
         number(row["correlation"], 2), number(row["easy_share"], 2), VERDICTS[row["good_enough"]]]
        for row in to_records(found.advice.references)
    ]  # fmt: skip
    yield (
        f"Overlap (Jaccard) of the ambiguous third with the main model's ({found.main.name}, "
        f"{len(found.main.runs)} seed{'s' * (len(found.main.runs) != 1)}); {found.chance:.2f} is chance, and two seeds "
        f"of the main model overlap by {number(ceiling, 2)} on average."
    )
    yield table(["reference", "seeds", "cost, share", "overlap", "rank correlation", "easy", "good enough"], rows)
    yield "\n".join(f"- {note}" for note in found.advice.sentences)


VERDICTS = {True: "yes", False: "no", None: "can't be told"}

# -- figures -----------------------------------------------------------------------------------------------------------


def stamp(figure: Any) -> str:
    """Name what a figure shows: the same for the same numbers, to six digits."""
    return hashlib.sha256(json.dumps(rounded(figure.to_plotly_json()), sort_keys=True).encode()).hexdigest()[:16]


def rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): rounded(each) for key, each in value.items() if key != "template"}
    if isinstance(value, str) or value is None:
        return value
    if hasattr(value, "tolist"):
        return rounded(value.tolist())
    if isinstance(value, Sequence):
        return [rounded(each) for each in value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def is_drawn(path: Path, figure: Any) -> bool:
    """Whether a file shows just this."""
    return path.exists() and f"<!-- {stamp(figure)} -->" in path.read_text(encoding="utf-8")


def draw(figures: Mapping[Path, Any]) -> None:
    """Save figures as SVG."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("Figures are drawn with chromium, which is not installed; on Debian: apt-get install chromium.")
    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_content("<!doctype html><meta charset='utf-8'><body></body>")
        page.add_script_tag(path=str(script))
        for path, figure in figures.items():
            address = page.evaluate(
                "([figure, width, height]) => Plotly.toImage({...figure, layout: {...figure.layout, paper_bgcolor:"
                " 'white'}}, {format: 'svg', width, height})",
                [json.loads(figure.to_json()), WIDTH, HEIGHT],
            )
            text = unquote(address.partition(",")[2])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n<!-- {stamp(figure)} -->\n", encoding="utf-8")
        browser.close()


if __name__ == "__main__":
    main()
