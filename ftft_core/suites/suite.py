"""What a suite is once it is loaded: splits with canonical columns, labels in order, fingerprints, warnings.

Owns the two data classes, the roles, and what a name may look like. How a suite is read from files is `loading`,
how it is kept for a training process is `canonical`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas

from ftft_core.errors import NotFoundError, unknown

TRAIN, DEV = "train", "dev"
IN_DISTRIBUTION, OUT_OF_DISTRIBUTION = "in_distribution", "out_of_distribution"
ROLES = (TRAIN, DEV, IN_DISTRIBUTION, OUT_OF_DISTRIBUTION)
COLUMNS = ("example_id", "text", "text_pair", "label", "group")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def name_problem(kind: str, name: object) -> str | None:
    """One sentence if `name` cannot name a suite or a split, else None."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return None
    return (
        f"The {kind} name {name!r} cannot be used: a name has 1 to 100 letters, digits, dots, underscores "
        "and hyphens, and begins with a letter or a digit."
    )


@dataclass(frozen=True, eq=False)
class Split:
    """The examples of one split, in the order of their file."""

    name: str
    """`train`, `dev`, or the test split's own name."""

    role: str
    """One of `ROLES`; `train` and `dev` are also the names of their splits."""

    examples: pandas.DataFrame
    """Object columns `example_id`, `text`, `text_pair`, `label`, `group`, all str; None where there is no pair
    or no group. RangeIndex."""

    label_map: dict[str, tuple[str, ...]] | None
    """Coarser label to the suite's labels that it merges; a label that stands in no list stands for itself."""

    fingerprint: str
    """sha256 (hex) of name, role, label map and examples."""

    def __len__(self) -> int:
        return len(self.examples)


@dataclass(frozen=True, eq=False)
class Suite:
    """Training data, a development split, and test splits that share the labels."""

    name: str
    """Name under which the workspace knows the suite; no part of a fingerprint."""

    labels: tuple[str, ...]
    """The labels in the order of the logits."""

    splits: tuple[Split, ...]
    """`train`, `dev`, then the test splits in the order of the spec, in distribution first."""

    fingerprint: str
    """sha256 (hex) of the labels and of every split's fingerprint."""

    training_fingerprint: str
    """sha256 (hex) of the labels, `train` and `dev`: it stays when test splits come or go."""

    warnings: tuple[str, ...] = ()
    """One sentence each on what the data let a reader doubt, with counts; none stops a run."""

    @classmethod
    def from_frames(
        cls,
        name: str,
        train: pandas.DataFrame,
        dev: pandas.DataFrame,
        *,
        in_distribution: Mapping[str, pandas.DataFrame] | None = None,
        out_of_distribution: Mapping[str, pandas.DataFrame] | None = None,
        text: str | Sequence[str] = "text",
        label: str = "label",
        labels: Sequence[str] | None = None,
        id: str | None = None,
        group: str | None = None,
        label_maps: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
        drop_leaked: bool = False,
    ) -> Suite:
        """Make a suite from data frames; columns, checks and warnings are those of a spec.

        :param text: the column of the text, or the two columns of a pair.
        :param labels: their order, which is the order of the logits; sorted labels of `train` when left out.
        :param group: a column that a frame may lack; such a split has no groups.
        :param label_maps: per test split, coarser label to the labels that it merges.
        :param drop_leaked: take texts that also stand in another split out of training.
        :raises SuiteError: with every problem of every frame.
        """
        from ftft_core.suites.loading import suite_from_frames  # loading builds on this module

        return suite_from_frames(
            name,
            {TRAIN: train, DEV: dev},
            in_distribution or {},
            out_of_distribution or {},
            columns={"text": text, "label": label, "id": id, "group": group},
            labels=labels,
            label_maps=label_maps or {},
            drop_leaked=drop_leaked,
        )

    @property
    def is_pair(self) -> bool:
        """Whether an example is two texts."""
        return any(bool(split.examples["text_pair"].notna().any()) for split in self.splits[:1])

    @property
    def train(self) -> Split:
        """The training split."""
        return self.split(TRAIN)

    @property
    def dev(self) -> Split:
        """The development split."""
        return self.split(DEV)

    def split(self, name: str) -> Split:
        """Return the split of that name.

        :raises NotFoundError: the suite has no such split, or it was read without it.
        """
        for split in self.splits:
            if split.name == name:
                return split
        raise NotFoundError(unknown("split", name, [split.name for split in self.splits]))
