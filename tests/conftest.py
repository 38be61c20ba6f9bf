"""Real parts in small: a random encoder with a real tokenizer, a suite on disk, and a command line that is run."""

from __future__ import annotations

import atexit
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# As the project's own processes do: threads that spin while they wait slow down whatever runs beside them.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# The models here are so small that more threads gain nothing, and several tests run at once.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]

if "PYTEST_XDIST_WORKER" in os.environ:
    # DuckDB's bindings print a hundred lines on leaks when a process ends some thread of which still runs, as those of
    # pages do. What tests have to say is with the main process by then.
    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))

LONGEST = (
    *("browser/test_data_map_selecting.py", "browser/test_data_map_examples.py", "browser/test_experiment.py"),
    *("browser/test_data_map_links.py", "test_docs.py", "browser/test_fine_tune.py", "browser/test_app_kills.py"),
    *("browser/test_compare.py", "test_jobs_places.py", "test_jobs.py", "test_kills.py", "test_experiments_running.py"),
    *("browser/test_frame.py", "browser/test_map_component.py", "test_worker_kills.py", "browser/test_subsets.py"),
    *("test_end_to_end.py", "test_experiments_methods.py", "test_training.py", "test_training_checkpoint.py"),
    *("test_training_stopping.py", "browser/test_transfer.py", "test_methods.py", "test_planning.py"),
)
"""Test files that take longest, begun first: where several processes share the files, none is left with a long one."""

POSITIVE = ("good", "great", "lovely", "bright", "fine")
NEGATIVE = ("bad", "awful", "boring", "dull", "poor")
NEUTRAL = ("the", "film", "plot", "cast", "was", "and", "very", "rather", "with", "some", "music", "scenes")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the others stay in their order."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture
def app_decides_on_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest forgets before every run that app.py calls `st.navigation`, and would run the page alone."""
    from streamlit.runtime.pages_manager import PagesManager

    original = PagesManager.__init__

    def remember(self: PagesManager, *values: Any, **options: Any) -> None:
        original(self, *values, **options)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", remember)


@pytest.fixture(autouse=True, scope="module")
def databases_linger() -> Iterator[None]:
    """Databases linger as in the app and in a command: opening one takes longer than most of what it is asked."""
    from ftft_core.store.connection import Database

    begin = Database.__init__

    def begin_lingering(self: Database, path: Path) -> None:
        begin(self, path)
        self.linger()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "__init__", begin_lingering)
        yield


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised BERT of 4 layers and width 32 with its tokenizer, as transformers saves it."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *POSITIVE, *NEGATIVE, *NEUTRAL]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=64)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_rows(count: int, seed: int, *, noise: float = 0.15) -> list[dict[str, str]]:
    """Sentences whose label follows their opinion words, but for a share of them; every sentence stands once."""
    generator = random.Random(seed)
    rows: dict[str, str] = {}
    while len(rows) < count:
        is_positive = len(rows) % 2 == 0
        words = generator.choices(NEUTRAL, k=generator.randint(3, 20))
        words += generator.choices(POSITIVE if is_positive else NEGATIVE, k=generator.randint(1, 3))
        generator.shuffle(words)
        flipped = generator.random() < noise
        rows.setdefault(" ".join(words), "positive" if is_positive != flipped else "negative")
    pairs = enumerate(rows.items())
    return [{"text": text, "label": label, "group": f"g{index % 3}"} for index, (text, label) in pairs]


def write_suite_files(folder: Path, *, num_train: int = 96, out_of_distribution: bool = True) -> Path:
    """Write a small sentiment suite as CSV and JSON lines; give the path of its spec."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = make_rows(num_train + 120, seed=1)
    parts = {"train": rows[:num_train], "dev": rows[num_train : num_train + 40]}
    parts |= {"test": rows[num_train + 40 : num_train + 80], "shifted": rows[num_train + 80 :]}
    for name, part in parts.items():
        lines = [json.dumps(row) for row in part]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    spec = "text: text\nlabel: label\nlabels: [negative, positive]\ntrain: train.jsonl\ndev: dev.jsonl\n"
    spec += "in_distribution: {test: test.jsonl}\n"
    if out_of_distribution:
        spec += "out_of_distribution: {shifted: {file: shifted.jsonl, group: group}}\n"
    (folder / "spec.yaml").write_text(spec, encoding="utf-8")
    return folder / "spec.yaml"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """The spec of a small suite on disk."""
    return write_suite_files(tmp_path / "suite")


@dataclass(frozen=True)
class Answer:
    """What a run of the command line gave."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.stdout)

    def failed(self, exit_code: int = 2) -> str:
        """The error and its problems as one text; nothing else may stand in the answer."""
        assert self.exit_code == exit_code, self.stdout
        assert set(self.json) == {"error", "problems"}
        return " | ".join([self.json["error"], *self.json["problems"]])


CommandLine = Callable[..., Answer]


def environment(workspace: Path) -> dict[str, str]:
    """Environment of a child process that works on a workspace with this checkout."""
    return {**os.environ, "FTFT_WORKSPACE": str(workspace), "PYTHONPATH": str(ROOT)}


@pytest.fixture
def ftft(tmp_path: Path) -> CommandLine:
    """Run `ftft ARGUMENTS` on a fresh workspace in a process of its own, as a user would."""

    def run(*arguments: object, timeout: float = 240, workspace: Path = tmp_path / "workspace") -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "ftft_core", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=tmp_path,
            env=environment(workspace),
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def bare(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CommandLine]:
    """Run `ftft ARGUMENTS` on a fresh workspace in this process, where it is at hand already."""
    from ftft_core import cli

    monkeypatch.delenv("FTFT_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def ask(*arguments: object) -> Answer:
        capsys.readouterr()
        exit_code = cli.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Answer(exit_code, said.out, said.err)

    yield ask
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def accelerate_left_as_it_was() -> Iterator[None]:
    """For tests that embed in this process: Accelerate keeps its precision, and refuses another one after it."""
    yield
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
