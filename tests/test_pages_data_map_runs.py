"""The data map on workspaces of their own: runs under way, maps that tell little, exclusions, no workspace at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from tests.test_pages_data_map import APP, count, follow_link, open_app, packed, written
from tests.ui_workspace import NUM_TRAIN, leave_dynamics, make_workspace, queue

pytestmark = pytest.mark.usefixtures("app_decides_on_pages")


def test_a_run_still_training_shows_the_epochs_it_has_and_grows(tmp_path, monkeypatch):
    workspace = make_workspace(tmp_path, with_comparison=False)
    run = queue(workspace, tmp_path / "tiny-model", name="growing", method="erm")
    app = open_app(workspace, monkeypatch, run="growing")
    assert "no finished epoch yet" in written(app)
    leave_dynamics(workspace, run)
    late = [workspace.run_folder(run).outbox / f"dynamics-{epoch:05d}.parquet" for epoch in (2, 3)]
    for path in late:
        path.rename(tmp_path / path.name)
    follow_link(app, run="growing")
    assert workspace.run("growing")["counted_epochs"] == 2
    app.button(key="take.hard").click().run()
    assert count(app) == 79
    for path in late:
        (tmp_path / path.name).rename(path)
    app.run()
    assert workspace.run("growing")["counted_epochs"] == 4
    assert not app.exception
    assert count(app) == 79
    workspace.cancel(run)


def test_what_is_excluded_from_training_is_left_out_and_said(tmp_path, monkeypatch):
    workspace = make_workspace(tmp_path, with_comparison=False)
    workspace.mark("toy", ["0", "1", "2"], "exclude", author="mia")
    app = open_app(workspace, monkeypatch)
    app.text_input(key="choice.filter").input("confidence >= 0").run()
    assert count(app) == NUM_TRAIN - 3
    assert "3 examples that are excluded from training are left out" in written(app)
    app.button(key="map.save").click().run()
    (saved,) = workspace.subsets("toy")["name"]
    assert len(workspace.subset_examples(saved)) == NUM_TRAIN - 3
    follow_link(app, choice=packed(conditions=[{"kind": "excluded"}]))
    assert count(app) == 3


def test_a_workspace_that_can_not_be_opened_says_so(tmp_path, monkeypatch):
    (tmp_path / "ftft.duckdb").write_bytes(b"no database")
    monkeypatch.setenv("FTFT_WORKSPACE", str(tmp_path))
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    assert not app.exception
    assert len(app.error) == 1


def test_a_map_that_tells_little_says_so(tmp_path, monkeypatch):
    workspace = make_workspace(tmp_path, with_comparison=False)
    learnt = workspace.dynamics("map-run")
    lazy = np.full_like(learnt.logits, 0.2)
    lazy[..., 0] = 0.9
    flat = replace(learnt, logits=lazy)
    workspace.import_dynamics(flat, name="lazy", suite="toy")
    app = open_app(workspace, monkeypatch, run="lazy")
    (said,) = [each.value for each in app.get("html") if 'data-testid="doubt"' in each.value]
    assert "right for 67&nbsp;% of the examples, and &#x27;no&#x27; for all of them would be for 67&nbsp;%" in said
    assert "variability is at most 0.00 for nine in ten examples" in said
    follow_link(app)
    assert not [each.value for each in app.get("html") if 'data-testid="doubt"' in each.value]
