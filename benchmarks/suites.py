"""Make a smaller copy of a suite: a fixed, stratified sample of its training and test examples.

    python benchmarks/suites.py DATA/hate/spec.yaml --out build/suites/hate-small --drop-leaked
    ftft suite add hate-small build/suites/hate-small/spec.yaml

At most --train training examples (3,000) stratified by label, and at most --test of dev and of every test split (1,500)
stratified by label and, where there is one, by group: each stratum gets its share by largest remainder. What is drawn
follows from --seed (0) and the split's name alone. Examples keep the ids that they have in the whole suite (the row
number in its file, where the spec names no column) and their order; a spec beside the files says what they are. With
--drop-leaked, texts that stand in any test split of the whole suite are left out of training before it is sampled.
The copy is made of somebody's data: its licences are theirs, so it belongs in a folder that git ignores.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from ftft_core.errors import FTFTError
from ftft_core.selection.select import largest_remainder
from ftft_core.suites import Suite, load_suite


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", type=Path, help="the spec of the whole suite")
    parser.add_argument("--out", type=Path, required=True, help="a folder, which gets CSV files and a spec")
    parser.add_argument("--train", type=int, default=3000, help="training examples, at most")
    parser.add_argument("--test", type=int, default=1500, help="examples of dev and of each test split, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drop-leaked", action="store_true", help="leave texts of other splits out of training")
    given = parser.parse_args()
    try:
        suite = load_suite(given.out.name, given.spec, drop_leaked=given.drop_leaked)
        sizes = write_sample(suite, given.out, train=given.train, test=given.test, seed=given.seed)
        again = load_suite(given.out.name, given.out / "spec.yaml")
    except FTFTError as failure:
        sys.exit(str(failure))
    said = {"suite": again.name, "fingerprint": again.fingerprint[:12], "splits": sizes}
    print(json.dumps({**said, "warnings": [*suite.warnings, *again.warnings]}, ensure_ascii=False, indent=1))


def write_sample(suite: Suite, folder: Path, *, train: int, test: int, seed: int) -> dict[str, str]:
    """Write the files and the spec of the copy; give for each split how many of how many were taken."""
    folder.mkdir(parents=True, exist_ok=True)
    spec: dict[str, Any] = {
        "text": ["text", "text_pair"] if suite.is_pair else "text",
        "label": "label",
        "labels": list(suite.labels),
        "id": "example_id",
    }
    sizes = {}
    for split in suite.splits:
        rows = sampled_rows(split.examples, train if split.role == "train" else test, seed=seed, split=split.name)
        chosen = split.examples.iloc[rows].dropna(axis=1, how="all")
        chosen.to_csv(folder / f"{split.name}.csv", index=False, lineterminator="\n")
        sizes[split.name] = f"{len(rows):,} of {len(split):,}"
        source: dict[str, Any] = {"file": f"{split.name}.csv"}
        source |= {"group": "group"} if "group" in chosen else {}
        source |= (
            {"label_map": {name: list(merged) for name, merged in split.label_map.items()}} if split.label_map else {}
        )
        if split.role in ("train", "dev"):
            spec[split.name] = source
        else:
            spec.setdefault(split.role, {})[split.name] = source
    words = "".join(f"#   {split}: {size}\n" for split, size in sizes.items())
    head = f"# A sample by benchmarks/suites.py with seed {seed}, stratified by label and group, ids as in the whole.\n"
    head += words
    text = yaml.safe_dump(spec, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    (folder / "spec.yaml").write_text(head + text, encoding="utf-8", newline="\n")
    return sizes


def sampled_rows(examples: pd.DataFrame, most: int, *, seed: int, split: str) -> np.ndarray:
    """Rows of a sample of at most `most`, ascending; each label and group has its share by largest remainder."""
    if len(examples) <= most:
        return np.arange(len(examples))
    strata = examples.groupby(["label", examples["group"].fillna("")], sort=True).indices
    sizes = largest_remainder(most, np.array([len(rows) for rows in strata.values()]))
    random = np.random.default_rng([seed, zlib.crc32(split.encode())])
    drawn = [random.permutation(rows)[:size] for size, rows in zip(sizes, strata.values(), strict=True)]
    return np.sort(np.concatenate(drawn))


if __name__ == "__main__":
    main()
