"""Keep the results of a workspace's finished runs in docs/results, small and without texts.

    python benchmarks/keep_results.py WORKSPACE [WORKSPACE ...] [--suite NAME] [--out FOLDER] [--again] [--rounded]

Trains nothing. What is there already stays, so results of several workspaces and days add up; running it twice changes
nothing. A suite that has changed since is refused: its results would not compare. What of a run is kept, and as what,
stands in ftft_core/workspace/kept_files.py: at most about 50 KiB for a run on the sample suite. Suites with more labels
or larger splits take more; --rounded then halves what predictions take. `make results` makes the tables and figures of
docs/results.md from it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ftft_core.errors import FTFTError
from ftft_core.workspace import Workspace

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
LARGEST_FILE_BYTES = 2**20
"""No file of the repository may be larger."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspaces", nargs="+", type=Path, metavar="WORKSPACE")
    parser.add_argument("--suite", action="append", help="only this suite; may be given several times")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where results are kept")
    parser.add_argument("--again", action="store_true", help="replace runs that are kept already")
    parser.add_argument("--rounded", action="store_true", help="round logits of predictions; what is right stays right")
    given = parser.parse_args()
    failed = False
    for folder in given.workspaces:
        if not (folder / "ftft.duckdb").exists():
            sys.exit(f"There is no workspace at {folder}.")
        workspace = Workspace(folder)
        workspace.sync()
        for suite in given.suite or list(workspace.suites()["suite"]):
            try:
                kept = workspace.keep_results(suite, given.out, again=given.again, rounded=given.rounded)
            except FTFTError as failure:
                failed = True
                print(f"{suite}: {failure}", file=sys.stderr)
                continue
            print(json.dumps({**vars(kept), **size_of(given.out / suite)}, indent=1))
    sys.exit(int(failed))


def size_of(folder: Path) -> dict[str, object]:
    """Say how much is kept of a suite, and which files are too large to be part of the repository."""
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    runs = [size for name, size in sizes.items() if name.startswith("runs/")]
    return {
        "num_runs": len(runs),
        "mean_run_kib": round(sum(runs) / max(len(runs), 1) / 1024, 1),
        "total_kib": round(sum(sizes.values()) / 1024, 1),
        "too_large": [name for name, size in sizes.items() if size > LARGEST_FILE_BYTES],
    }


if __name__ == "__main__":
    main()
