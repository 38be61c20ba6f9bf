"""Selections and subsets written to files: what comes back from them, and what is refused."""

from __future__ import annotations

import csv
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ftft_core import TrainingDynamics
from ftft_core.errors import InputError, RunError
from ftft_core.selection import IdsCondition, Recipe
from ftft_core.store.tables import ROW_COLUMNS, ROWS_IN_A_BATCH
from ftft_core.workspace import Workspace
from tests.tables_workspace import GOLD, IDS, LABELS, TEXTS, make_tables_workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_tables_workspace(tmp_path_factory.mktemp("tables"))


def test_csv_brings_awkward_texts_back(workspace: Workspace, tmp_path: Path) -> None:
    path = workspace.export_selection("all", None, tmp_path / "all.csv")
    with path.open(encoding="utf-8", newline="") as file:
        csv.field_size_limit(sys.maxsize)
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == TEXTS
    assert [row["example_id"] for row in rows] == IDS
    assert [float(row["aum"]) for row in rows] == workspace.map_frame("all")["aum"].tolist()
    assert [row["group"] for row in rows][:3] == ["b", "a", ""]


def test_json_lines_bring_awkward_texts_back(workspace: Workspace, tmp_path: Path) -> None:
    path = workspace.export_selection("all", None, tmp_path / "all.jsonl")
    rows = [json.loads(line) for line in path.read_bytes().decode().split("\n")[:-1]]
    assert [row["text"] for row in rows] == TEXTS
    assert [row["group"] for row in rows][:3] == ["b", "a", None]
    assert [row["aum"] for row in rows] == workspace.map_frame("all")["aum"].tolist()
    assert list(rows[0])[:5] == ["example_id", "text", "text_pair", "label", "group"]


def test_parquet_brings_everything_back(workspace: Workspace, tmp_path: Path) -> None:
    path = workspace.export_selection("part", np.array([2, 4, 0]), tmp_path / "part.parquet", columns=ROW_COLUMNS)
    frame = pq.read_table(path).to_pandas()
    assert tuple(frame) == ROW_COLUMNS
    assert frame["text"].tolist() == [TEXTS[2], TEXTS[4]]
    assert frame["tags"].tolist() == ["check, noisy", "noisy"]


def test_a_folder_of_datasets_has_class_labels_in_the_suites_order(workspace: Workspace, tmp_path: Path) -> None:
    import datasets

    path = workspace.export_selection("all", None, tmp_path / "folder")
    loaded = datasets.load_from_disk(str(path))
    assert loaded.features["label"].names == list(LABELS)
    assert loaded["label"][:] == GOLD.tolist()
    assert loaded["text"][:] == TEXTS
    with pytest.raises(InputError, match="is there already and not empty"):
        workspace.export_selection("all", None, path)
    zipped = workspace.export_selection("all", np.array([4]), tmp_path / "picked.zip")
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(tmp_path / "out")
    assert datasets.load_from_disk(str(tmp_path / "out" / "picked"))["text"][:] == [TEXTS[4]]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder", "out", "picked.zip"]


@pytest.mark.parametrize("name", ["none.csv", "none.jsonl", "none.parquet", "none"])
def test_an_empty_selection_is_a_file_without_rows(workspace: Workspace, tmp_path: Path, name: str) -> None:
    path = workspace.export_selection("all", np.array([], dtype=np.int64), tmp_path / name)
    match path.suffix:
        case ".csv":
            assert path.read_text(encoding="utf-8").count("\n") == 1
        case ".jsonl":
            assert path.read_bytes() == b""
        case ".parquet":
            assert pq.read_table(path).num_rows == 0
        case _:
            import datasets

            assert len(datasets.load_from_disk(str(path))) == 0


def test_an_export_replaces_a_file_and_tells_its_progress(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_text("old", encoding="utf-8")
    told: list[tuple[int, int]] = []
    workspace.export_selection(
        "all", None, path, columns=["example_id"], on_progress=lambda done, total: told.append((done, total))
    )
    assert path.read_text(encoding="utf-8").splitlines() == ['"example_id"', *(f'"{each}"' for each in IDS)]
    assert told == [(len(IDS), len(IDS))]


def test_a_large_export_goes_in_batches_and_keeps_file_order(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    count = ROWS_IN_A_BATCH + 3
    names = [f"n{row}" for row in range(count)]
    dynamics = TrainingDynamics.from_arrays(names, np.zeros(count, dtype=int), np.zeros((1, count, 2)))
    workspace.import_dynamics(dynamics, name="large")
    told: list[int] = []
    path = workspace.export_selection(
        "large", None, tmp_path / "large.parquet", on_progress=lambda done, _: told.append(done)
    )
    table = pq.read_table(path)
    assert table["example_id"].to_pylist() == names
    assert "text" not in table.column_names
    assert told == [ROWS_IN_A_BATCH, count]


def test_what_can_not_be_exported_is_told_and_leaves_nothing(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"received the ending '.txt'; allowed are .csv, .jsonl, .parquet, .zip"):
        workspace.export_selection("all", None, tmp_path / "all.txt")
    with pytest.raises(InputError, match="There is no format 'xml'"):
        workspace.export_selection("all", None, tmp_path / "all.csv", file_format="xml")
    with pytest.raises(InputError, match=r"There is no column 'tekst' .* Did you mean 'text'"):
        workspace.export_selection("all", None, tmp_path / "all.csv", columns=["tekst"])
    with pytest.raises(InputError, match=r"can't be written \(No such file or directory\)"):
        workspace.export_selection("all", None, tmp_path / "nowhere" / "all.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="it is a folder"):
        workspace.export_selection("all", None, tmp_path / "folder.csv")
    assert [file.name for file in tmp_path.iterdir()] == ["folder.csv"]


def test_a_subset_is_exported_with_weights_and_the_scores_of_a_run(workspace: Workspace, tmp_path: Path) -> None:
    recipe = Recipe(conditions=(IdsCondition(example_ids=("e0", "e4")),))
    subset = workspace.save_subset(recipe, suite="awkward", name="two")
    plain = pd.read_csv(workspace.export_subset(subset.name, tmp_path / "two.csv"))
    assert list(plain) == ["example_id", "text", "text_pair", "label", "group", "weight"]
    path = workspace.export_subset(subset.subset, tmp_path / "two", run="part", file_format="jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    confidence = workspace.map_frame("part").set_index("example_id")["confidence"]["e4"]
    assert [row["confidence"] for row in rows] == [None, confidence]
    assert [row["weight"] for row in rows] == [1.0, 1.0]
    workspace.import_dynamics(TrainingDynamics.from_arrays(["a"], [0], np.zeros((1, 1, 2))), name="elsewhere")
    with pytest.raises(InputError, match="Run 'elsewhere' is not a run on 'awkward'"):
        workspace.export_subset("two", tmp_path / "other.csv", run="elsewhere")


def test_a_run_without_a_counted_epoch_has_neither_map_nor_export(workspace: Workspace, tmp_path: Path) -> None:
    seen = np.array([[True, False]])
    dynamics = TrainingDynamics.from_arrays(["a", "b"], [0, 0], np.zeros((1, 2, 2)), seen=seen)
    workspace.import_dynamics(dynamics, name="unfinished")
    for ask in (
        lambda: workspace.map_frame("unfinished"),
        lambda: workspace.gold_probabilities("unfinished"),
        lambda: workspace.export_selection("unfinished", None, tmp_path / "x.csv"),
    ):
        with pytest.raises(RunError, match="Run 'unfinished' ended before any epoch had seen every example"):
            ask()
