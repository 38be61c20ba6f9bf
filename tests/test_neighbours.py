"""Embeddings, nearest neighbours and duplicates of a suite's training texts, with the packaged MiniLM."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from click.testing import CliRunner

from ftft_core.cli.app import _load_commands, cli
from ftft_core.errors import InputError, NotFoundError, RunError
from ftft_core.modeling.embedding import Embedder, load_embedder
from ftft_core.neighbours import NeighboursFolder, duplicate_groups, nearest, nearest_training
from ftft_core.neighbours.__main__ import main
from ftft_core.neighbours.building import build
from ftft_core.neighbours.folder import locate
from ftft_core.neighbours.process import start
from ftft_core.suites import Split, Suite, write_suite
from ftft_core.workspace import Workspace
from tests.test_nearest import unit

pytestmark = pytest.mark.usefixtures("accelerate_left_as_it_was")

CAT, CAT_AGAIN = "A cat sleeps on the sofa.", "On the couch a cat is asleep."
SHARES, SHARES_AGAIN = "The company's shares fell sharply.", "Stock of the firm dropped a lot."
TEXTS = [
    *(CAT, SHARES, CAT_AGAIN, "Boil the pasta for nine minutes.", SHARES_AGAIN, "  a CAT sleeps on the sofa.\t"),
    *("Nobody knew how to fix the engine.", "🙂🙃 " * 20, "word " * 10_000, "ـالعربية", ".", "<b>$x^2$</b> **bold**"),
]
DEV_TEXTS = [
    "Boil rice for ten minutes.",
    "The cat is sleeping.",
    "A firm's stock fell.",
    "one",
    "two",
    "three",
    "four",
]
LABELS = ["yes", "no", "yes", "no", "no", "no", "yes", "yes", "no", "yes", "no", "yes"]


def split_of(texts: list[str], pairs: list[str] | None = None) -> Split:
    frame = pd.DataFrame({"text": texts, "text_pair": pairs or [None] * len(texts)}, dtype=object)
    return Split("train", "train", frame, None, "")


def make_suite(name: str, texts: list[str], pairs: list[str] | None = None) -> Suite:
    columns = ["text", "text_pair"] if pairs else ["text"]
    frame = pd.DataFrame({"text": texts, "label": [LABELS[row % len(LABELS)] for row in range(len(texts))]})
    if pairs:
        frame["text_pair"] = pairs
    dev = pd.DataFrame({"text": DEV_TEXTS, "text_pair": DEV_TEXTS[::-1], "label": LABELS[: len(DEV_TEXTS)]})
    frame["id"] = [f"e{row}" for row in range(len(texts))]
    return Suite.from_frames(
        name,
        frame,
        dev.assign(id=[f"d{row}" for row in range(len(DEV_TEXTS))]),
        text=columns if pairs else "text",
        labels=["no", "yes"],
        id="id",
    )


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return load_embedder("minilm", max_length=128, precision="fp32")


def build_in(suite_folder: Path, folder: Path, **options: Any) -> list[tuple[str, int, int]]:
    said: list[tuple[str, int, int]] = []
    options = {"report": lambda *values: said.append(values), **options}
    build(suite_folder, folder, model="minilm", location=locate(folder, "minilm"), max_length=32, **options)
    return said


# -- embedding --------------------------------------------------------------------------------------------------------


def test_embeddings_are_those_of_transformers(embedder: Embedder) -> None:
    import transformers

    texts, pairs = [CAT, SHARES, "word " * 10_000], [CAT_AGAIN, SHARES_AGAIN, "short"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(locate(Path(), "minilm"))
    model = transformers.AutoModel.from_pretrained(locate(Path(), "minilm"))
    for second in (None, pairs):
        # One at a time, so that padding plays no part.
        expected = []
        for row in range(len(texts)):
            given = (texts[row],) if second is None else (texts[row], second[row])
            inputs = tokenizer(*given, truncation=True, max_length=128, return_tensors="pt")
            with torch.no_grad():
                expected.append(model(**inputs).last_hidden_state[0].mean(dim=0).numpy())
        vectors = embedder.embed(split_of(texts, second)).astype(np.float32)
        np.testing.assert_allclose(vectors, unit(np.stack(expected)), atol=2e-4)


def test_paraphrases_are_nearer_than_unrelated_sentences(embedder: Embedder) -> None:
    vectors = embedder.embed(split_of([CAT, CAT_AGAIN, SHARES, SHARES_AGAIN])).astype(np.float32)
    cosines = vectors @ vectors.T
    assert min(cosines[0, 1], cosines[2, 3]) > 0.6
    assert max(cosines[0, 2], cosines[0, 3], cosines[1, 2], cosines[1, 3]) < 0.3


def test_awkward_texts_have_vectors_of_length_one(embedder: Embedder) -> None:
    texts = ["", " ", "a\x00b", "🙂" * 300, "x" * 50_000, "\u202eright to left", "<script>"]
    counts: list[int] = []
    vectors = embedder.embed(split_of(texts), after_batch=counts.append)
    assert vectors.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float32), axis=1), 1, atol=1e-3)
    assert sum(counts) == len(texts)


def test_a_length_that_the_model_does_not_take_is_cut_to_what_it_takes(tiny_model: Path) -> None:
    assert load_embedder(str(tiny_model), max_length=500).max_length == 64
    assert load_embedder(str(tiny_model), max_length=20).max_length == 20


def test_the_model_that_a_run_kept_can_embed(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "runs" / "r00000001" / "model")
    location = locate(tmp_path, "run:r00000001")
    assert load_embedder(location, max_length=32).embed(split_of(["good film", "bad film"])).shape == (2, 32)
    folder = NeighboursFolder(tmp_path)
    before = folder.embedding("run:r00000001", location, 32)
    assert before == folder.embedding("run:r00000001", location, 32) != folder.embedding("run:r00000001", location, 33)
    (Path(location) / "config.json").write_text("{}", encoding="utf-8")
    assert before != folder.embedding("run:r00000001", location, 32), "a model trained anew is another model"


# -- building ---------------------------------------------------------------------------------------------------------


FOUND = ("neighbours", "cosines")


class Killed(Exception):
    pass


@pytest.mark.parametrize("stage", ["embedding", "neighbours", "splits"])
def test_a_build_that_was_stopped_goes_on_to_the_same_files(tmp_path: Path, stage: str) -> None:
    suite = write_suite(make_suite("s", TEXTS), tmp_path / "suite")
    build_in(suite, tmp_path / "whole", chunk_rows=2, neighbour_rows=3)

    def stop(at: str, done: int, _: int) -> None:
        if at == stage and done >= (8 if stage != "splits" else 6):
            raise Killed

    with pytest.raises(Killed):
        build_in(suite, tmp_path / "parts", chunk_rows=2, neighbour_rows=3, report=stop)
    assert not (tmp_path / "parts" / "about.json").exists()
    said = build_in(suite, tmp_path / "parts", chunk_rows=2, neighbour_rows=3)
    first = next(done for at, done, _ in said if at == stage)
    assert 0 < first < len(TEXTS)
    for name in ("embeddings.npy", *(f"{place}{name}.npy" for place in ("", "splits/dev/") for name in FOUND)):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_an_embedding_that_lacks_files_is_completed(tmp_path: Path) -> None:
    suite = write_suite(make_suite("s", TEXTS), tmp_path / "suite")
    folder = NeighboursFolder(suite)
    folder.path.mkdir()
    embedding = folder.embedding("minilm", locate(suite, "minilm"), 32)
    build_in(suite, embedding)
    assert folder.is_complete(embedding)
    shutil.rmtree(embedding / "splits")  # as it was before there were neighbours of other splits
    assert not folder.is_complete(embedding)
    assert nearest_training(embedding, "dev", np.array([0]), 1) is None
    said = build_in(suite, embedding)
    assert {stage for stage, done, total in said if done < total} == {"splits"}, "the rest is not made again"
    assert folder.is_complete(embedding)
    assert nearest_training(embedding, "dev", np.array([0]), 1) is not None


def test_a_damaged_embedding_is_told_with_what_to_do(tmp_path: Path) -> None:
    for place in ("", "splits/dev/"):
        folder = tmp_path / (place.partition("/")[0] or "own")
        (folder / "splits" / "dev").mkdir(parents=True)
        for name in ("", "splits/dev/"):
            for file in FOUND:
                np.save(folder / name / f"{file}.npy", np.zeros((4, 2), dtype="<i4"))
        (folder / place / "cosines.npy").write_bytes((folder / place / "cosines.npy").read_bytes()[:-5])
        ask = nearest_training if place else lambda folder, _, rows, k: nearest(folder, int(rows[0]), k)
        with pytest.raises(InputError, match=rf"The embedding in {folder} is damaged .*remove that folder, and embed"):
            ask(folder, "dev", np.array([0]), 1)


def test_an_embedding_without_neighbours_or_with_few(tmp_path: Path) -> None:
    for count in (1, 3):
        suite = tmp_path / f"suite{count}"
        suite.mkdir()
        split_of(TEXTS[:count]).examples.to_parquet(suite / "train.parquet")
        build_in(suite, tmp_path / f"out{count}")
        assert np.load(tmp_path / f"out{count}" / "neighbours.npy").shape == (count, count - 1)
        positions, groups = duplicate_groups(tmp_path / f"out{count}", 0.6)
        assert (positions.tolist(), groups.tolist()) == (([], []) if count == 1 else ([0, 2], [0, 0]))
    assert json.loads((tmp_path / "out1" / "about.json").read_text(encoding="utf-8"))["random_cosine"] is None


# -- workspace --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two suites: one is embedded by a process of its own, the other here."""
    workspace = Workspace(tmp_path_factory.mktemp("neighbours") / "workspace")
    workspace.keep_suite(make_suite("single", TEXTS))
    workspace.keep_suite(make_suite("pairs", [CAT, CAT, SHARES, CAT], [SHARES, CAT, SHARES, SHARES.upper()]))
    assert workspace.start_embedding("single").status == "running"
    assert main(workspace.folder, workspace.suite_facts("pairs")["fingerprint"], "minilm", 128) == 0
    assert wait(workspace, "single").status == "finished", workspace.embedding_log("single")
    return workspace


def wait(workspace: Workspace, suite: str) -> Any:
    deadline = time.monotonic() + 60
    while (state := workspace.embedding_state(suite)).status == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    return state


def test_neighbours_of_an_example(workspace: Workspace) -> None:
    found = workspace.neighbours("single", "e0", 3)
    assert list(found.columns) == ["example_id", "position", "cosine", "label"]
    assert found["example_id"].tolist()[:2] == ["e5", "e2"]
    assert found["label"].tolist()[:2] == ["no", "yes"]
    assert found["cosine"].is_monotonic_decreasing
    assert workspace.neighbours("single", 0, 3).equals(found)
    assert workspace.neighbours("single", np.int64(1), 1)["example_id"].tolist() == ["e4"]
    assert len(workspace.neighbours("single", 0)) == 10
    assert len(workspace.neighbours("pairs", 0)) == 3


def test_a_test_example_leads_to_the_training_examples_nearest_to_it(workspace: Workspace, embedder: Embedder) -> None:
    asked = ["d2", "d0", "d1"]
    found = workspace.nearest_training("single", "dev", asked)
    assert list(found.columns) == ["for_example_id", "example_id", "position", "cosine", "label"]
    assert found["for_example_id"].tolist() == asked
    assert found["example_id"].tolist()[:2] == ["e4", "e3"]
    assert found["example_id"].tolist()[2] in {"e0", "e2", "e5"}
    assert found["label"].tolist()[:2] == ["no", "no"]
    # The same as from the vectors of both, one by one.
    train = embedder.embed(split_of(TEXTS)).astype(np.float32)
    dev = embedder.embed(split_of(DEV_TEXTS)).astype(np.float32)
    several = workspace.nearest_training("single", "dev", ["d1"], 10)
    np.testing.assert_allclose(several["cosine"], np.sort(train @ dev[1])[::-1][:10], atol=2e-3)
    assert several["cosine"].is_monotonic_decreasing
    with pytest.raises(NotFoundError, match=r"Split 'dev' of suite 'single' has no example 'e0'"):
        workspace.nearest_training("single", "dev", ["d0", "e0"])
    with pytest.raises(NotFoundError, match=r"There is no split 'train' \(known: dev\)"):
        workspace.nearest_training("single", "train", ["e0"])
    with pytest.raises(InputError, match=r"k: received 0; allowed is 1 to 10"):
        workspace.nearest_training("single", "dev", ["d0"], 0)


def test_near_duplicates_and_those_that_contradict(workspace: Workspace) -> None:
    found = workspace.near_duplicates("single")
    assert found["example_id"].tolist() == ["e0", "e5"]
    assert found["label"].tolist() == ["yes", "no"]
    assert found["contradicting"].tolist() == [True, True]
    assert found.attrs == {"num_groups": 1, "num_contradicting": 1}
    wider = workspace.near_duplicates("single", threshold=0.6)
    assert wider["example_id"].tolist() == ["e0", "e2", "e5", "e1", "e4"]
    assert wider["group"].tolist() == [0, 0, 0, 1, 1]
    assert wider["contradicting"].tolist() == [True, True, True, False, False]
    some = workspace.near_duplicates("single", np.array([1, 4, 5, 6]), threshold=0.6)
    assert some["example_id"].tolist() == ["e1", "e4"]
    assert some["group"].tolist() == [0, 0]
    none = workspace.near_duplicates("single", np.array([], dtype=np.int64))
    assert (len(none), none.attrs["num_groups"]) == (0, 0)


def test_a_pair_is_embedded_as_a_pair(workspace: Workspace) -> None:
    # MiniLM ignores case: the first and the last pair are the same to it.
    assert workspace.near_duplicates("pairs")["example_id"].tolist() == ["e0", "e3"]


def test_exact_duplicates_need_no_embedding(workspace: Workspace) -> None:
    found = workspace.exact_duplicates("single")
    assert found["example_id"].tolist() == ["e0", "e5"]
    assert found.attrs == {"num_groups": 1, "num_contradicting": 1}
    assert workspace.exact_duplicates("single", np.array([0, 1, 2])).empty
    assert workspace.exact_duplicates("pairs")["example_id"].tolist() == ["e0", "e3"]


def test_what_is_embedded_is_not_embedded_again(workspace: Workspace) -> None:
    state = workspace.start_embedding("single")
    assert (state.status, state.fraction) == ("finished", 1.0)
    embeddings = workspace.embeddings("single")
    assert embeddings["model"].tolist() == ["minilm"]
    assert bool(embeddings["is_exact"].iloc[0])
    assert 0 < embeddings["random_cosine"].iloc[0] <= 1


def test_what_can_not_be_asked_is_said(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"The training split of suite 'single' has no example 'zebra'"):
        workspace.neighbours("single", "zebra")
    with pytest.raises(InputError, match=r"position: received 12; allowed is 0 to 11"):
        workspace.neighbours("single", 12)
    with pytest.raises(InputError, match=r"k: received 11; allowed is 1 to 10"):
        workspace.neighbours("single", 0, 11)
    with pytest.raises(InputError, match=r"threshold: received 1\.5; allowed is a cosine above 0"):
        workspace.near_duplicates("single", threshold=1.5)
    with pytest.raises(InputError, match=r"positions: received -1; allowed is 0 to 11"):
        workspace.near_duplicates("single", np.array([3, -1]))
    with pytest.raises(InputError, match=r"max_length: received 4; allowed are 8 tokens or more"):
        workspace.start_embedding("single", max_length=4)
    with pytest.raises(NotFoundError, match=r"There is no suite 'triple'"):
        workspace.embedding_state("triple")
    with pytest.raises(NotFoundError, match=r"There is no run 'nobody'"):
        workspace.start_embedding("single", model="run:nobody")
    with pytest.raises(InputError, match=r"there is no such folder"):
        workspace.start_embedding("single", model=str(tmp_path / "nowhere"))
    with pytest.raises(NotFoundError, match=r"were not embedded by 'other/model', but by minilm"):
        workspace.neighbours("single", 0, model="other/model")
    with pytest.raises(RunError, match=r"are not being embedded; there is nothing to cancel"):
        workspace.cancel_embedding("single")
    with pytest.raises(InputError, match=r"Run 'r00000000' keeps no model"):
        locate(workspace.folder, "run:r00000000")


def test_a_process_that_is_killed_is_stopped_cancelled_or_gone_on_with(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    workspace.keep_suite(make_suite("s", [f"{text} {row}" for row, text in enumerate(50 * TEXTS[:7])]))
    assert workspace.embedding_state("s").status == "none"
    with pytest.raises(NotFoundError, match=r"were not embedded yet.*`ftft neighbours build s`"):
        workspace.neighbours("s", 0)

    assert workspace.start_embedding("s").status == "running"
    folder = NeighboursFolder(next((tmp_path / "workspace" / "suites").iterdir()))
    pid = folder.read_progress()["pid"]
    assert workspace.start_embedding("s").status == "running"
    assert folder.read_progress()["pid"] == pid, "two were started"
    with pytest.raises(RunError, match=r"just being embedded by 'minilm', and only one model can at a time"):
        start(workspace.folder, folder, model="other", location="other", max_length=128)
    os.kill(pid, signal.SIGKILL)
    psutil.Process(pid).wait(10)
    state = workspace.embedding_state("s")
    assert state.status == "stopped"
    assert "start it again to go on" in state.message

    assert workspace.start_embedding("s").status == "running"
    workspace.cancel_embedding("s")
    assert workspace.embedding_state("s").status == "cancelled"

    assert workspace.start_embedding("s").status == "running"
    workspace.remove_suite("s")
    assert not folder.suite_folder.exists()


def test_a_model_that_fails_is_told(tmp_path: Path, tiny_model: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    workspace.keep_suite(make_suite("s", TEXTS[:3]))
    model = tmp_path / "broken"
    model.mkdir()
    (model / "config.json").write_text((tiny_model / "config.json").read_text(encoding="utf-8"), encoding="utf-8")
    assert main(workspace.folder, workspace.suite_facts("s")["fingerprint"], str(model), 128) == 1
    state = workspace.embedding_state("s")
    assert state.status == "failed"
    assert "has no tokenizer that can be loaded" in state.message


# -- command line -----------------------------------------------------------------------------------------------------


def test_the_command_line(workspace: Workspace, tmp_path: Path) -> None:
    _load_commands()

    def answer(*arguments: object) -> str:
        given = [*("--workspace", str(workspace.folder), "neighbours"), *map(str, arguments)]
        return CliRunner().invoke(cli, given, catch_exceptions=False).stdout

    built = json.loads(answer("build", "single", "--json"))
    assert built == {"suite": "single", "model": "minilm", "status": "finished"}
    shown = json.loads(answer("show", "single", "e0", "--k", 2, "--json"))
    assert [row["example_id"] for row in shown] == ["e5", "e2"]
    assert shown[1]["text"] == CAT_AGAIN
    assert "On the couch a cat is asleep." in answer("show", "single", "e0")
    near = json.loads(answer("show", "single", "d2", "--split", "dev", "--k", 1, "--json"))
    assert [(row["example_id"], row["text"]) for row in near] == [("e4", SHARES_AGAIN)]
    found = json.loads(answer("duplicates", "single", "--json"))
    assert (found["num_groups"], found["num_contradicting"], found["num_examples"]) == (1, 1, 2)
    assert "with different labels in one group: 1." in answer("duplicates", "single", "--threshold", 0.6)
    said = answer("duplicates", "single", "--exact", "--out", tmp_path / "out.csv")
    assert "Groups of duplicates: 1, with 2 examples in all; with different labels in one group: 1." in said
    assert pd.read_csv(tmp_path / "out.csv")["example_id"].tolist() == ["e0", "e5"]
    with pytest.raises(NotFoundError, match="has no example 'zebra'"):
        answer("show", "single", "zebra")
