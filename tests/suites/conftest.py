from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ftft_core.errors import SuiteError
from ftft_core.suites import Suite, load_suite

TRAIN = "text,label\ngood film,positive\nbad film,negative\nfine film,positive\npoor film,negative\n"
DEV = "text,label\ngood book,positive\nbad book,negative\n"
SPEC = "text: text\nlabel: label\ntrain: train.csv\ndev: dev.csv\n"


class Folder:
    """A spec and its files in a folder of the test's own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write("train.csv", TRAIN).write("dev.csv", DEV).write("spec.yaml", SPEC)

    def write(self, name: str, content: str | bytes) -> Folder:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    def load(self, spec: str | None = None, **options: bool) -> Suite:
        if spec is not None:
            self.write("spec.yaml", spec)
        return load_suite("small", self.path / "spec.yaml", **options)

    def problems(self, spec: str | None = None) -> list[str]:
        with pytest.raises(SuiteError) as caught:
            self.load(spec)
        return caught.value.problems or [caught.value.message]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """A file of the research data that lie beside the repository, where they do."""

    def find(name: str) -> Path:
        root = Path(os.environ.get("FTFT_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
        if not (root / name).exists():
            pytest.skip(f"the research data are not there: {root / name}")
        return root / name

    return find
