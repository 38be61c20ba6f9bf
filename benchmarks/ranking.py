"""How well methods rank, whatever their threshold: what of a gain in accuracy is only another readiness to say a label.

`python benchmarks/ranking.py WORKSPACE --suite hate-small [--positive hate]` trains nothing: it takes the finished runs
of a suite with two labels, such as `python benchmarks/results.py --open FOLDER` makes of kept results. Prints JSON: for
each method and split, means over its seeds of

- `auroc`: chance that an example with the positive label gets a higher score than one without (0.5 by chance), which no
  threshold changes;
- `balanced_accuracy`: mean of the shares of either label that are right at the usual threshold;
- `said`: share of the examples that are called positive; `true`: share that are.

`mean` is over the splits of a role. The positive label is the last one when left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pandas as pd
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from ftft_core.comparison import RunResult
from ftft_core.errors import FTFTError
from ftft_core.metrics import probabilities_and_gold
from ftft_core.workspace import ComparisonReport, Workspace

NUMBERS = ("auroc", "balanced_accuracy", "said", "true")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, metavar="WORKSPACE")
    parser.add_argument("--suite", required=True)
    parser.add_argument("--positive", metavar="LABEL", help="the label that is looked for")
    given = parser.parse_args()
    if not (given.workspace / "ftft.duckdb").exists():
        sys.exit(f"There is no workspace at {given.workspace}.")
    try:
        report = Workspace(given.workspace).compare(given.suite)
    except FTFTError as failure:
        sys.exit(str(failure))
    labels = list(report.compared.labels)
    positive = given.positive or labels[-1]
    if len(labels) != 2 or positive not in labels:
        sys.exit(
            f"Ranking needs two labels, and the positive one of them; received {', '.join(labels)} and {positive}."
        )
    print(json.dumps(rank(report, labels.index(positive)), indent=1))


def rank(report: ComparisonReport, positive: int) -> list[dict[str, object]]:
    """Give a row for each method and split, then for each method and role the mean over its splits.

    :param positive: place of the positive label.
    """
    names = {run.run_id: column.name for column in report.columns for run in column.runs}
    rows = [
        {
            "method": names[run.run_id],
            "split": split.name,
            "role": split.role,
            **numbers_of(run, report, split.name, positive),
        }
        for run in report.compared.finished
        if run.run_id in names
        for split in report.compared.splits
        if split.label_map is None and split.name in run.predictions
    ]
    frame = pd.DataFrame(rows)
    by_split = frame.groupby(["method", "split", "role"], sort=False)[list(NUMBERS)].mean().reset_index()
    means = by_split.groupby(["method", "role"], sort=False)[list(NUMBERS)].mean().reset_index().assign(split="mean")
    found = pd.concat([by_split, means], ignore_index=True)
    found[list(NUMBERS)] = found[list(NUMBERS)].round(4)
    return [{str(name): value for name, value in row.items()} for row in found.to_dict("records")]


def numbers_of(run: RunResult, report: ComparisonReport, split: str, positive: int) -> dict[str, float]:
    """Give `NUMBERS` of a run on a split."""
    predictions = run.predictions[split]
    probabilities, gold, _ = probabilities_and_gold(
        predictions.logits, predictions.labels, report.compared.labels, None
    )
    is_positive, said = gold == positive, probabilities.argmax(axis=1) == positive
    return {
        "auroc": float(roc_auc_score(is_positive, probabilities[:, positive])),
        "balanced_accuracy": float(balanced_accuracy_score(is_positive, said)),
        "said": float(said.mean()),
        "true": float(is_positive.mean()),
    }


if __name__ == "__main__":
    main()
