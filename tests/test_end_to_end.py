"""The main job through the command line, on a tiny randomly initialised encoder."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests import stranger
from tests.conftest import CommandLine


def test_from_a_suite_to_a_comparison(
    bare: CommandLine, ftft: CommandLine, spec: Path, tiny_model: Path, tmp_path: Path
) -> None:
    added = bare("suite", "add", "reviews", spec, "--json")
    assert added.exit_code == 0, added.stderr
    assert [split["split"] for split in added.json["splits"]] == ["train", "dev", "test", "shifted"]

    common = ("--suite", "reviews", "--model", tiny_model, "--learning-rate", "1e-3", "--json")
    reference = bare("train", *common, "--layers", 2, "--epochs", 3, "--method", "reference", "--name", "small")
    assert reference.exit_code == 0, reference.stderr
    assert reference.json["status"] == "finished"

    out = tmp_path / "map.csv"
    assert bare("map", "small", "--out", out).exit_code == 0
    data_map = pd.read_csv(out)
    assert len(data_map) == 96
    assert data_map["variability"].gt(0).all()

    selected = bare("select", "small", "--strategy", "ambiguous", "--fraction", 0.33, "--name", "third", "--json")
    assert selected.json["size"] == round(0.33 * 96)
    expected = data_map.sort_values("variability", ascending=False, kind="stable").head(32)["example_id"].astype(str)
    exported = tmp_path / "third.jsonl"
    assert bare("subset", "export", "third", exported).exit_code == 0
    lines = exported.read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["example_id"] for line in lines} == set(expected)

    for arguments in (("--epochs", 2), ("--subset", "third", "--method", "ftft", "--max-steps", 3)):
        assert bare("train", *common, *arguments).json["status"] == "finished"

    # In a process of its own, which leaves the file to whoever opens it next.
    rows = pd.DataFrame(ftft("compare", "--suite", "reviews", "--json").json)
    assert set(rows["method"]) == {"erm", "ftft"}
    assert set(rows["split"]) == {"dev", "test", "shifted"}
    ftft_row = rows[(rows["method"] == "ftft") & (rows["split"] == "shifted") & (rows["metric"] == "accuracy")].iloc[0]
    assert ftft_row["reference_layers"] == 2

    # The promised views hold what the commands said, for anyone who opens the file with DuckDB.
    with stranger.opened(tmp_path / "workspace") as connection:
        runs = connection.execute("SELECT * FROM runs").df().set_index("method")
        stored = connection.execute("SELECT example_id FROM subset_examples JOIN subsets USING (subset)").fetchall()
        scores = connection.execute(
            "SELECT avg((list_position(logits, list_max(logits)) = list_position(['negative', 'positive'], label))::INT"
            ") FROM predictions WHERE run_id = ? AND split = 'shifted'",
            [runs.loc["ftft", "run_id"]],
        ).fetchone()
        dynamics = connection.execute("SELECT count(*), avg(gold_probability) FROM dynamics WHERE epoch = 0").fetchone()
    assert {example_id for (example_id,) in stored} == set(expected)
    assert scores is not None
    assert scores[0] == pytest.approx(ftft_row["mean"])
    assert dynamics is not None
    assert dynamics[0] == 96 + 96 + 32
    own, of_reference = runs.loc["ftft", "train_flops"], runs.loc["reference", "train_flops"]
    assert ftft_row["cost_share"] == pytest.approx((own + of_reference) / runs.loc["erm", "train_flops"])
    assert runs.loc["ftft", "reference_run"] == runs.loc["reference", "run_id"]
    assert runs["num_layers"].to_dict() == {"reference": 2, "erm": 4, "ftft": 4}
