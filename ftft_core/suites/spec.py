"""A suite's spec: which files, which columns, which labels.

Owns `SuiteSpec` and the reading of its YAML. Whether the files hold what the spec says is `loading`'s business.
Scalars of the YAML are text as written, so that `labels: [no, yes]` or `[0, 1]` name labels and not booleans or
numbers; only `null` and `~` are null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, field_validator, model_validator

from ftft_core.config import Config, parse
from ftft_core.config.unique_keys import UniqueKeyLoader
from ftft_core.errors import SuiteError, one_of
from ftft_core.suites.suite import DEV, TRAIN, name_problem


def _as_text(value: object) -> object:
    """Let Python users write `labels=[0, 1]`; a boolean is refused, since its spelling in a file is unknown."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _as_source(value: object) -> object:
    return {"file": str(value)} if isinstance(value, str | Path) else value


def _as_mapping(value: object) -> object:
    return {} if value is None else value


MAX_NODES = 100_000
"""Values that a spec may unfold to: ten lines of nested aliases can stand for more than a memory holds."""

Column = Annotated[str, Field(min_length=1)]
LabelName = Annotated[str, BeforeValidator(_as_text), Field(min_length=1)]
TextColumns = Annotated[tuple[Column, ...], BeforeValidator(_as_tuple), Field(min_length=1, max_length=2)]
MergedLabels = Annotated[tuple[LabelName, ...], BeforeValidator(_as_tuple), Field(min_length=1)]


class SourceSpec(Config):
    """Where one split's rows come from; a path alone is short for `{file: path}`."""

    file: str = Field(min_length=1)
    """Path relative to the spec's folder, a glob, a folder, or `hf://owner/name?split=...`."""

    text: TextColumns | None = None
    """Text column or columns of this source; the suite's when left out."""

    label: Column | None = None
    """Label column of this source; the suite's when left out."""

    id: Column | None = None
    """Id column of this source; the suite's when left out, the row number when null is written."""

    group: Column | None = None
    """Group column of this source; the suite's when left out, no groups when null is written."""


class TestSourceSpec(SourceSpec):
    """Where a test split's rows come from, and how its labels relate to the suite's."""

    __test__ = False  # pytest would collect the name

    label_map: dict[LabelName, MergedLabels] | None = None
    """Coarser label to the suite's labels that it merges; a label that stands in no list stands for itself."""


class DevSpec(SourceSpec):
    """Where the development split comes from: a source of its own, or a share of the training rows."""

    file: str | None = Field(default=None, min_length=1)  # type: ignore[assignment]
    """Path relative to the spec's folder, as for other splits; left out where `from` is given."""

    from_: Literal["train"] | None = Field(default=None, alias="from")
    """`train`: set a stratified share of the training rows aside."""

    fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of the training rows that becomes the development split, with `from: train`."""

    seed: int = Field(default=0, ge=0)
    """Which rows they are, with `from: train`."""

    @model_validator(mode="before")
    @classmethod
    def _one_origin(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        if "from" in value:
            allowed: tuple[str, ...] = ("from", "fraction", "seed")
        elif "file" in value:
            allowed = ("file", "text", "label", "id", "group")
        else:
            raise ValueError("needs a path, {file: path, ...} or {from: train, fraction: 0.1, seed: 0}")
        extra = [str(key) for key in value if key not in allowed]
        if extra:
            raise ValueError(f"unknown key '{extra[0]}' beside '{allowed[0]}'. Known keys: {one_of(allowed)}.")
        return value


class SuiteSpec(Config):
    """Files, columns and labels of a suite."""

    text: TextColumns
    """The column of the text, or the two columns of a pair."""

    label: Column
    """The column of the label."""

    labels: tuple[LabelName, ...] | None = Field(default=None, min_length=2)
    """The labels in the order of the logits; the sorted labels of the training file when left out."""

    id: Column | None = None
    """The column of the example ids; the 0-based row number of the file when left out."""

    group: Column | None = None
    """The column of the groups for which metrics are also given; no groups when left out."""

    train: Annotated[SourceSpec, BeforeValidator(_as_source)]
    """The training rows."""

    dev: Annotated[DevSpec, BeforeValidator(_as_source)]
    """The development rows: a source, or `{from: train, fraction: 0.1, seed: 0}`."""

    in_distribution: Annotated[
        dict[str, Annotated[TestSourceSpec, BeforeValidator(_as_source)]], BeforeValidator(_as_mapping)
    ] = Field(default={})
    """Test splits drawn as the training data were, by name."""

    out_of_distribution: Annotated[
        dict[str, Annotated[TestSourceSpec, BeforeValidator(_as_source)]], BeforeValidator(_as_mapping)
    ] = Field(default={})
    """Test splits drawn otherwise, by name."""

    @field_validator("labels")
    @classmethod
    def _distinct_labels(cls, labels: tuple[str, ...] | None) -> tuple[str, ...] | None:
        repeated = sorted({label for label in labels or () if (labels or ()).count(label) > 1})
        if repeated:
            raise ValueError(f"every label is listed once; repeated: {', '.join(repeated)}")
        return labels

    @model_validator(mode="after")
    def _distinct_names(self) -> SuiteSpec:
        problems = split_name_problems(list(self.in_distribution), list(self.out_of_distribution))
        columns = [*self.text, self.label]
        problems += [
            f"column '{name}' has two parts to play" for name in sorted(set(columns)) if columns.count(name) > 1
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self


def split_name_problems(in_distribution: list[str], out_of_distribution: list[str]) -> list[str]:
    """Say which names of test splits cannot be used: ill-formed, reserved, or given twice (upper case or not)."""
    names = [*in_distribution, *out_of_distribution]
    problems = [problem for name in names if (problem := name_problem("split", name))]
    for name in dict.fromkeys(str(name).lower() for name in names):
        if name in (TRAIN, DEV):
            problems.append(f"The split name '{name}' is reserved for the suite's own {name} split.")
        elif sum(str(other).lower() == name for other in names) > 1:
            problems.append(f"The split name '{name}' is given twice; each test split needs a name of its own.")
    return problems


@dataclass(frozen=True)
class SpecText:
    """A spec that stands in no file."""

    text: str
    """Its YAML."""

    folder: Path
    """What the paths in it are relative to."""


def read_spec(source: Path | SpecText) -> SuiteSpec:
    """Read a spec from its YAML file, or from its text.

    :raises SuiteError: the file is missing or no YAML, or with one problem for every field that is wrong.
    """
    if isinstance(source, SpecText):
        problem = folder_problem(source.folder)
        if problem:
            raise SuiteError(problem)
        if not source.text.strip():
            raise SuiteError("The spec is empty; write at least text, label, train and dev, each with a colon.")
        return _parse(source.text, "The spec", "The spec")
    try:
        text = source.read_text(encoding="utf-8-sig")
    except OSError as failure:
        raise SuiteError(f"The spec {source} cannot be read: {failure.strerror or failure}.") from None
    except UnicodeDecodeError:
        raise SuiteError(f"The spec {source} is not UTF-8 text; save it as UTF-8.") from None
    except ValueError:
        raise SuiteError(f"The spec {str(source)!r} cannot be read: a path holds no NUL character.") from None
    return _parse(text, f"The spec {source}", f"The spec {source.name}")


def folder_problem(folder: Path) -> str | None:
    """One sentence if paths cannot be relative to `folder`, else None."""
    try:
        if folder.is_dir():
            return None
        said = "is a file" if folder.exists() else "does not exist"
    except (OSError, ValueError) as failure:
        said = f"cannot be read ({getattr(failure, 'strerror', None) or failure})"
    return f"The folder {str(folder)!r} {said}; give the folder that the paths in the spec are relative to."


def _parse(text: str, place: str, name: str) -> SuiteSpec:
    try:
        values = _load(text)
    except yaml.YAMLError as failure:
        said = " ".join(str(failure).split())
        raise SuiteError(f"{place} is not valid YAML: {said}") from None
    except RecursionError:
        raise SuiteError(f"{place} is nested too deeply; a spec has lists within keys, and nothing deeper.") from None
    return parse(SuiteSpec, values, what=name, error=SuiteError)


def _load(text: str) -> Any:
    loader = _SpecLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _num_nodes(node, {}) > MAX_NODES:
            raise yaml.YAMLError(f"its aliases (*name) unfold to more than {MAX_NODES:,} values; write them out")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _num_nodes(node: yaml.Node, known: dict[int, int]) -> int:
    """Count the values that a node unfolds to; one that stands within itself is more than any number."""
    if id(node) not in known:
        known[id(node)] = MAX_NODES + 1  # while its parts are counted
        parts: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            parts = node.value
        known[id(node)] = 1 + sum(_num_nodes(part, known) for part in parts)
    return known[id(node)]


class _SpecLoader(UniqueKeyLoader):
    """Scalars stay text as written, null excepted."""


_SpecLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":null", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
