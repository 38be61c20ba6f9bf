"""The database: its schema and its public views, and taking in what runs recorded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ftft_core import compute_data_map, store
from ftft_core.cartography import DATA_MAP_COLUMNS
from ftft_core.errors import InputError, WorkspaceError
from ftft_core.run_folder import write_parquet
from ftft_core.selection import Recipe
from ftft_core.store import connection as connection_module
from ftft_core.store import migrations
from ftft_core.workspace import Workspace
from tests import stranger
from tests.ui_workspace import NUM_EPOCHS, NUM_TRAIN, make_workspace, queue

PROMISED = {
    "suites": "suite fingerprint labels",
    "examples": "suite split role example_id text text_pair label group",
    "runs": "run_id name suite model num_layers subset method seed status reference_run num_optimizer_steps "
    "num_examples_seen resumed_from_step train_flops train_seconds",
    "dynamics": "run_id epoch example_id label logits gold_probability",
    "data_map": f"run_id {' '.join(DATA_MAP_COLUMNS)}",
    "predictions": "run_id split example_id label logits",
    "scores": "run_id split role group step metric value final",
    "subsets": "subset name suite source_run strategy fraction size recipe",
    "subset_examples": "subset example_id weight",
    "tags": "suite example_id tag",
    "notes": "suite example_id note author created_at",
    "exclusions": "suite example_id",
    "proposed_labels": "suite example_id label",
    "history": "action suite kind value author reason num_examples created_at undone_at undone_by",
}
VIEWS = tuple(PROMISED)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that no test changes."""
    return make_workspace(tmp_path_factory.mktemp("store"))


@pytest.fixture
def workspace(made: Workspace, tmp_path: Path) -> Workspace:
    """A copy of it."""
    shutil.copytree(made.folder, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def model_of(workspace: Workspace) -> Path:
    return Path(workspace.runs().iloc[0]["model"])


def ask(workspace: Workspace, query: str) -> pd.DataFrame:
    """Ask as a stranger who opens the file with DuckDB."""
    with stranger.opened(workspace.folder) as connection:
        return connection.execute(query).df()


def everything(workspace: Workspace) -> dict[str, list[str]]:
    with stranger.opened(workspace.folder) as connection:
        return {
            view: sorted(map(repr, connection.execute(f"SELECT * FROM {view}").fetchall()))
            for view in VIEWS
            if view not in {"runs", "suites"}
        }


def leave_epoch(workspace: Workspace, run: str, epoch: int, positions: range, *, logit: float = 0.5) -> Path:
    path = workspace.run_folder(run).outbox / f"dynamics-{epoch:05d}.parquet"
    logits = [[logit + 0.01 * position, 0.0] for position in positions]
    columns = {
        "epoch": pa.array([epoch] * len(positions), pa.int32()),
        "position": pa.array(list(positions), pa.int64()),
        "logits": pa.array(logits, pa.list_(pa.float32())),
    }
    write_parquet(path, pa.table(columns))
    return path


# -- schema ------------------------------------------------------------------------------------------------------------


def test_a_new_file_has_the_schema_and_its_record(tmp_path: Path) -> None:
    with store.open_database(tmp_path / "new.duckdb").reading() as connection:
        rows = connection.execute("SELECT number, name FROM base.migrations").fetchall()
    assert rows == [(number, name) for number, (name, _) in enumerate(migrations.MIGRATIONS, start=1)]


def test_a_migration_runs_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "once.duckdb"
    counting = ("count", "CREATE TABLE IF NOT EXISTS base.n (a INTEGER); INSERT INTO base.n VALUES (1);")
    monkeypatch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, counting])
    for _ in range(3):
        with connection_module.Database(path).reading() as connection:
            assert connection.execute("SELECT count(*) FROM base.n").fetchall() == [(1,)]


def test_a_migration_that_fails_leaves_nothing_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "half.duckdb"
    first = list(migrations.MIGRATIONS)
    half = "CREATE TABLE base.half (a INTEGER); INSERT INTO base.no_such_table VALUES (1);"
    monkeypatch.setattr(migrations, "MIGRATIONS", [*first, ("half", half)])
    with pytest.raises(duckdb.CatalogException, match="no_such_table"), connection_module.Database(path).reading():
        pass
    monkeypatch.setattr(migrations, "MIGRATIONS", [*first, ("whole", "CREATE TABLE base.half (a INTEGER);")])
    with connection_module.Database(path).reading() as connection:
        rows = connection.execute("SELECT name FROM base.migrations ORDER BY number").fetchall()
    assert rows == [*((name,) for name, _ in first), ("whole",)]


def test_a_newer_schema_is_refused(workspace: Workspace) -> None:
    with workspace.database.writing() as connection:
        connection.execute("INSERT INTO base.migrations VALUES (99, 'later', now()::TIMESTAMP)")
    with (
        pytest.raises(
            WorkspaceError, match=r"has schema 99, but this version of ftft knows schemas up to \d+; install"
        ),
        connection_module.Database(workspace.database.path).reading(),
    ):
        pass


@pytest.mark.parametrize("content", [b"not a database " * 1000, b"x"], ids=["long", "short"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ftft.duckdb").write_bytes(content)
    with pytest.raises(WorkspaceError, match=r"ftft.duckdb can't be read \(IO Error: .* not a valid DuckDB"):
        Workspace(tmp_path).sync()


def test_a_damaged_file_is_told_in_one_sentence(workspace: Workspace) -> None:
    path = workspace.database.path
    content = bytearray(path.read_bytes())
    for start in range(4096, len(content), 4096):
        content[start + 100 : start + 200] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(WorkspaceError, match=r"can't be read \(.*[Cc]orrupt database file"):
        workspace.runs()


def test_a_folder_that_is_called_lock_is_not_taken_for_a_lock(tmp_path: Path) -> None:
    folder = tmp_path / "lock"
    folder.mkdir()
    (folder / "ftft.duckdb").write_bytes(b"not a database " * 1000)
    with pytest.raises(WorkspaceError, match="not a valid DuckDB"):
        Workspace(folder).sync()


def test_a_file_that_was_removed_is_made_anew(workspace: Workspace) -> None:
    workspace.database.path.unlink()
    assert workspace.runs().empty


# -- public views ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_begins_with_the_promised_columns(made: Workspace, view: str) -> None:
    promised = PROMISED[view].split()
    assert list(ask(made, f"SELECT * FROM {view}").columns)[: len(promised)] == promised


def test_gold_probability_is_the_softmax_at_the_gold_label(made: Workspace) -> None:
    rows = ask(made, "SELECT d.*, s.labels FROM dynamics d JOIN runs USING (run_id) JOIN suites s USING (suite)")
    assert len(rows) == NUM_TRAIN * NUM_EPOCHS
    logits = np.stack(rows["logits"].to_list()).astype(np.float64)
    gold = [list(labels).index(label) for labels, label in zip(rows["labels"], rows["label"], strict=True)]
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = (exponentials / exponentials.sum(axis=1, keepdims=True))[np.arange(len(rows)), gold]
    np.testing.assert_allclose(rows["gold_probability"], expected, rtol=1e-6)


def test_gold_probability_of_huge_logits_is_a_probability(workspace: Workspace) -> None:
    run = queue(workspace, model_of(workspace), name="huge", method="reference")
    leave_epoch(workspace, run, 0, range(NUM_TRAIN), logit=1e4)
    workspace.sync()
    found = ask(
        workspace, f"SELECT min(gold_probability) a, max(gold_probability) b FROM dynamics WHERE run_id='{run}'"
    )
    assert (found["a"][0], found["b"][0]) == (0.0, 1.0)


def test_the_stored_data_map_is_what_compute_data_map_gives(made: Workspace) -> None:
    run = made.run("map-run")["run_id"]
    stored = ask(made, f"SELECT * EXCLUDE (run_id) FROM data_map WHERE run_id = '{run}'").set_index("example_id")
    computed = compute_data_map(made.dynamics("map-run")).set_index("example_id")
    pd.testing.assert_frame_equal(stored.loc[computed.index], computed, check_dtype=False, check_exact=True)


def test_views_name_roles_and_keep_file_order_of_ids(made: Workspace) -> None:
    roles = ask(made, "SELECT DISTINCT split, role FROM examples").set_index("split")["role"].to_dict()
    assert roles == {
        "train": "train",
        "dev": "dev",
        "usual": "in_distribution",
        "far": "out_of_distribution",
        "farther": "out_of_distribution",
    }
    assert set(ask(made, "SELECT example_id FROM examples WHERE split='far'")["example_id"]) == set(map(str, range(60)))


def test_scores_keep_groups_steps_and_what_is_final(workspace: Workspace) -> None:
    run = queue(workspace, model_of(workspace), name="scored", method="erm")
    outbox = workspace.run_folder(run).outbox
    for final in (False, True):
        rows = {
            "split": ["far"] * 3,
            "group": pa.array([None, "a", "b"], pa.string()),
            "step": [5] * 3,
            "metric": ["accuracy"] * 3,
            "value": [0.5, 0.25, float("nan")],
            "final": [final] * 3,
        }
        write_parquet(outbox / f"scores-{final}-far.parquet", pa.table(rows))
    workspace.sync()
    stored = ask(workspace, f"SELECT * FROM scores WHERE run_id = '{run}' ORDER BY final, \"group\" NULLS FIRST")
    assert stored["group"].isna().tolist() == [True, False, False] * 2
    assert stored["final"].tolist() == [False] * 3 + [True] * 3
    assert set(stored["role"]) == {"out_of_distribution"}
    assert stored["step"].tolist() == [5] * 6


# -- taking in ---------------------------------------------------------------------------------------------------------


def test_taking_a_file_in_twice_changes_nothing(workspace: Workspace) -> None:
    run = queue(workspace, model_of(workspace), name="twice", method="erm")
    outbox = workspace.run_folder(run).outbox
    leave_epoch(workspace, run, 0, range(NUM_TRAIN))
    logits = pa.array([[0.1, 0.2]] * 40, pa.list_(pa.float32()))
    predictions = {"split": ["dev"] * 40, "position": pa.array(range(40), pa.int64()), "logits": logits}
    write_parquet(outbox / "predictions-dev.parquet", pa.table(predictions))
    columns = {"split": ["dev"], "group": pa.nulls(1, pa.string()), "step": [3], "metric": ["ece"], "value": [0.1]}
    write_parquet(outbox / "scores-final-dev.parquet", pa.table({**columns, "final": [True]}))
    copies = workspace.folder / "copies"
    shutil.copytree(outbox, copies)

    workspace.sync()
    before = everything(workspace)
    assert workspace.run_folder(run).outbox_files() == []
    assert workspace.run(run)["counted_epochs"] == 1
    # A crash between the commit and the removal of the files leaves them where they were.
    for path in copies.iterdir():
        shutil.copy(path, outbox)
    workspace.sync()
    assert everything(workspace) == before
    assert workspace.run_folder(run).outbox_files() == []


def test_an_interrupted_transaction_keeps_the_files(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    run = queue(workspace, model_of(workspace), name="cut", method="erm")
    path = leave_epoch(workspace, run, 0, range(NUM_TRAIN))
    before = everything(workspace)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ftft_core.store.runs.set_run_state", interrupted)
        with pytest.raises(KeyboardInterrupt):
            workspace.sync()
    assert path.exists()
    assert everything(workspace) == before
    workspace.sync()
    assert workspace.run(run)["counted_epochs"] == 1


def test_a_file_that_another_process_took_in_meanwhile_is_passed_over(workspace: Workspace) -> None:
    run = queue(workspace, model_of(workspace), name="raced", method="erm")
    path = leave_epoch(workspace, run, 0, range(NUM_TRAIN))
    with workspace.database.writing() as connection:
        number = store.runs.run_number(connection, run)
        assert number is not None
        damaged = store.dynamics.take_in(connection, number, [path.with_name("dynamics-00007.parquet"), path])
    assert damaged == {}


@pytest.mark.parametrize("content", ["garbage", "cut", "other columns"])
def test_a_damaged_file_is_set_aside_and_holds_nobody_up(workspace: Workspace, content: str) -> None:
    model = model_of(workspace)
    bad, good = (queue(workspace, model, name=name, method="erm") for name in ("bad", "good"))
    path = leave_epoch(workspace, bad, 0, range(NUM_TRAIN))
    if content == "garbage":
        path.write_bytes(b"garbage")
    elif content == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        write_parquet(path, pa.table({"epoch": [1]}))
    leave_epoch(workspace, bad, 1, range(NUM_TRAIN))
    leave_epoch(workspace, good, 0, range(NUM_TRAIN))
    workspace.sync()
    assert workspace.run("good")["counted_epochs"] == 1
    row = workspace.run("bad")
    assert row["counted_epochs"] == 1
    assert "its file dynamics-00000.parquet was damaged and set aside" in row["message"]
    assert (path.parent / f"{path.name}.damaged").exists()
    assert any("run bad lacks what its damaged file" in problem for problem in workspace.health()["problems"])


def test_an_unfinished_epoch_is_kept_but_does_not_count(workspace: Workspace) -> None:
    run = queue(workspace, model_of(workspace), name="partial", method="reference")
    leave_epoch(workspace, run, 0, range(NUM_TRAIN))
    leave_epoch(workspace, run, 1, range(NUM_TRAIN))
    leave_epoch(workspace, run, 2, range(100), logit=-50.0)
    workspace.sync()
    assert workspace.run(run)["counted_epochs"] == 2
    epochs = ask(workspace, f"SELECT epoch, count(*) n FROM dynamics WHERE run_id = '{run}' GROUP BY 1 ORDER BY 1")
    assert epochs["n"].tolist() == [NUM_TRAIN, NUM_TRAIN, 100]
    data_map = workspace.data_map(run)
    assert data_map.attrs["counted_epochs"] == [0, 1]
    assert data_map["variability"].max() == pytest.approx(0)  # Both counted epochs are alike.


def test_epochs_of_a_run_on_a_subset_count_over_the_subset(workspace: Workspace) -> None:
    subset = workspace.subset("ambiguous-33")
    positions = [int(each) for each in workspace.subset_examples("ambiguous-33")["example_id"]]
    run = queue(workspace, model_of(workspace), name="third", method="ftft", subset=subset.subset)
    path = leave_epoch(workspace, run, 0, range(len(positions)))
    table = pq.read_table(path)
    write_parquet(path, table.set_column(1, "position", pa.array(positions, pa.int64())))
    workspace.sync()
    assert workspace.run(run)["counted_epochs"] == 1
    assert workspace.data_map(run)["example_id"].tolist() == [str(position) for position in positions]


# -- subsets and search ------------------------------------------------------------------------------------------------


def test_a_subset_keeps_its_recipe_and_file_order(made: Workspace) -> None:
    row = ask(made, "SELECT * FROM subsets").iloc[0]
    assert row["size"] == 79  # round(0.33 * 240)
    assert row["source_run"] == made.run("map-run")["run_id"]
    again = made.preview_subset(Recipe.model_validate(json.loads(row["recipe"])))
    assert list(again) == made.subset_examples(row["subset"])["example_id"].tolist()
    assert set(ask(made, "SELECT weight FROM subset_examples")["weight"]) == {1.0}


def test_a_malformed_regular_expression_is_bad_input(made: Workspace) -> None:
    assert made.search_examples("toy", "train", "NUMBER 23[0-9]", regex=True) == [str(row) for row in range(230, 240)]
    assert made.search_examples("toy", "train", "%") == []
    with pytest.raises(InputError, match=r"The regular expression '\(' can't be used"):
        made.search_examples("toy", "train", "(", regex=True)
