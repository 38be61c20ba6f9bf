"""What one can do with neighbours: embedding a suite's training texts, and asking which are alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ftft_core.dynamics import IntArray
from ftft_core.errors import InputError, NotFoundError, unknown
from ftft_core.modeling.checkpoints import PACKAGED_MODELS, read_model_facts
from ftft_core.neighbours import (
    DEFAULT_THRESHOLD,
    EmbeddingState,
    NeighboursFolder,
    cancel,
    duplicate_groups,
    nearest,
    nearest_training,
)
from ftft_core.neighbours import start as start_process
from ftft_core.neighbours.folder import MAX_LENGTH, NUM_NEIGHBOURS, RUN_PREFIX, locate
from ftft_core.neighbours.graph import number_by_first
from ftft_core.store import neighbours as neighbour_store
from ftft_core.store import runs as run_store
from ftft_core.suites import TRAIN
from ftft_core.workspace.runs import Runs
from ftft_core.workspace.suites import Suites

DEFAULT_EMBEDDING_MODEL = next(iter(PACKAGED_MODELS))


class Neighbours(Suites, Runs):
    """Embedding, and reading what is near."""

    def start_embedding(
        self, suite: str, *, model: str = DEFAULT_EMBEDDING_MODEL, max_length: int = MAX_LENGTH
    ) -> EmbeddingState:
        """Embed the texts of a suite, and find the training texts nearest to each, in a process of its own.

        Nothing happens when that is done already or under way. A process that was killed or cancelled is gone on with.

        :param model: a packaged name such as `minilm`, a local folder, a hub name, or `run:NAME` for the model that a
            run kept.
        :param max_length: tokens that are read of a text or a pair, special ones included.
        :raises InputError: when suite or model can't be used.
        :raises RunError: when another model embeds this suite just now.
        """
        if max_length < 8:
            raise InputError(f"max_length: received {max_length}; allowed are 8 tokens or more.")
        folder = self._neighbours_folder(suite)
        model = self._embedding_model(model)
        location = locate(self.folder, model)
        read_model_facts(location)
        return start_process(self.folder, folder, model=model, location=location, max_length=max_length)

    def embedding_state(self, suite: str) -> EmbeddingState:
        """Say how the embedding of a suite that was started last is doing, from its files."""
        return self._neighbours_folder(suite).state()

    def cancel_embedding(self, suite: str) -> None:
        """Stop embedding a suite; what is done is kept, and the next start goes on from there.

        :raises RunError: when nothing runs.
        """
        cancel(self._neighbours_folder(suite))

    def embedding_log(self, suite: str) -> str:
        """Give what the process printed."""
        log = self._neighbours_folder(suite).log
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""

    def embeddings(self, suite: str) -> pd.DataFrame:
        """One row per whole embedding of a suite, oldest first: model, max_length, num_dimensions, random_cosine, ...

        `random_cosine` is exceeded by one in a thousand random pairs: a threshold for near-duplicates that is not far
        above it joins what is not alike. `is_exact` says whether neighbours were found by comparing all with all.
        """
        rows = self._neighbours_folder(suite).finished()
        columns = ["model", "max_length", "num_examples", "num_dimensions", "num_neighbours", "is_exact"]
        columns += ["random_cosine", "seconds", "finished_at"]
        return pd.DataFrame([{name: row[name] for name in columns} for row in rows], columns=columns)

    def neighbours(
        self, suite: str, example: int | str, k: int = NUM_NEIGHBOURS, *, model: str | None = None
    ) -> pd.DataFrame:
        """Give the k training examples whose texts are nearest to one's, nearest first.

        :param example: its id, or its position in the training split when it is a number.
        :param k: 1 to 10; fewer come back where the split has fewer.
        :param model: whose embedding; the one made last when None.
        :returns: example_id, position, cosine (in [-1, 1], higher is nearer), label.
        :raises NotFoundError: when there is no such example, or the texts were not embedded yet.
        """
        _check_k(k)
        about = self._newest(suite, model)
        with self.database.reading() as connection:
            if isinstance(example, str):
                position = int(neighbour_store.split_positions(connection, suite, TRAIN, [example])[0])
            else:
                position = int(example)
            if not 0 <= position < about["num_examples"]:
                raise InputError(
                    f"position: received {position:,}; allowed is 0 to {about['num_examples'] - 1:,}, "
                    f"the rows of the training split of suite '{suite}'."
                )
            positions, cosines = nearest(about["folder"], position, k)
            rows = neighbour_store.training_rows(connection, suite, positions)
        return rows.assign(cosine=cosines)[["example_id", "position", "cosine", "label"]]

    def nearest_training(
        self, suite: str, split: str, example_ids: Sequence[str], k: int = 1, *, model: str | None = None
    ) -> pd.DataFrame:
        """Give the k training examples whose texts are nearest to each of some examples of another split.

        A data map is of training examples; this is where a test example would lie.

        :param split: dev or a test split.
        :param k: 1 to 10; fewer come back where there are fewer training examples.
        :param model: whose embedding; the one made last when None.
        :returns: for_example_id, in the order asked for and the nearest first, then example_id, position, cosine (in
            [-1, 1], higher is nearer) and label of the training example.
        :raises NotFoundError: when there is no such split or example, or its texts were not embedded yet.
        """
        _check_k(k)
        splits = [name for name in self.suite_splits(suite)["split"] if name != TRAIN]
        if split not in splits:
            raise NotFoundError(unknown("split", split, splits))
        about = self._newest(suite, model)
        with self.database.reading() as connection:
            asked = neighbour_store.split_positions(connection, suite, split, example_ids)
            found = nearest_training(about["folder"], split, asked, k)
            if found is None:
                raise NotFoundError(
                    f"The texts of split '{split}' were not embedded with those of the training split; "
                    f"`ftft neighbours build {suite} --model {about['model']}` does it once."
                )
            positions, cosines = found
            rows = neighbour_store.training_rows(connection, suite, positions.ravel())
        repeated = np.repeat(np.asarray(example_ids, dtype=object), positions.shape[1])
        rows = rows.assign(for_example_id=repeated, cosine=cosines.ravel())
        return rows[["for_example_id", "example_id", "position", "cosine", "label"]]

    def near_duplicates(
        self,
        suite: str,
        positions: IntArray | None = None,
        threshold: float = DEFAULT_THRESHOLD,
        *,
        model: str | None = None,
    ) -> pd.DataFrame:
        """Give the groups of near-duplicates within a selection of training examples.

        Groups are made over the whole split, see `neighbours.duplicate_groups`, and then cut down to the selection:
        two of its examples also belong together through a third outside of it. Because 10 neighbours are kept of each
        example, a group of very many is whole only as far as those links reach.

        :param positions: rows of the training split; all when None.
        :param threshold: cosine from which two are near-duplicates, above 0, at most 1.
        :param model: whose embedding; the one made last when None.
        :returns: group (0 to the number of groups - 1, by first position), example_id, position, label, and
            `contradicting`: whether the group holds different gold labels, a strong sign of label noise. Groups have
            two examples or more. `attrs` has `num_groups` and `num_contradicting`, in groups.
        :raises NotFoundError: when the texts were not embedded yet.
        """
        if not 0 < threshold <= 1:
            raise InputError(f"threshold: received {threshold}; allowed is a cosine above 0 and at most 1.")
        about = self._newest(suite, model)
        chosen = None if positions is None else _checked(positions, about["num_examples"], suite)
        found, groups = duplicate_groups(about["folder"], threshold)
        if chosen is not None:
            is_chosen = np.isin(found, chosen)
            found, groups = found[is_chosen], groups[is_chosen]
        is_shared = np.bincount(groups)[groups] > 1 if len(groups) else np.empty(0, dtype=bool)
        found, groups = found[is_shared], number_by_first(groups[is_shared])
        order = np.lexsort((found, groups))
        with self.database.reading() as connection:
            rows = neighbour_store.training_rows(connection, suite, found[order])
        return _with_contradictions(rows.assign(group=groups[order]))

    def exact_duplicates(self, suite: str, positions: IntArray | None = None) -> pd.DataFrame:
        """Give the groups of training examples with the very same text, or pair; blanks around it and case aside.

        Needs no embedding. Only examples of the selection count.

        :param positions: rows of the training split; all when None.
        :returns: as `near_duplicates`.
        """
        with self.database.reading() as connection:
            rows = neighbour_store.exact_duplicates(connection, suite, positions)
        return _with_contradictions(rows)

    def remove_suite(self, name: str) -> None:
        """Forget a suite; refused while runs or subsets use it. A process that embeds it is stopped."""
        folder = NeighboursFolder(self.folder / "suites" / self.suite_facts(name)["fingerprint"])
        if folder.state().status == "running" and not self.suite_users(name):
            cancel(folder)
        super().remove_suite(name)

    def _neighbours_folder(self, suite: str) -> NeighboursFolder:
        folder = self.folder / "suites" / str(self.suite_facts(suite)["fingerprint"])
        if not folder.exists():
            raise InputError(
                f"Suite '{suite}' has no texts (it came with imported dynamics), so they have no neighbours; "
                "add the data with `ftft suite add` and import the dynamics with --suite."
            )
        return NeighboursFolder(folder)

    def _newest(self, suite: str, model: str | None) -> dict[str, Any]:
        return self._neighbours_folder(suite).newest(suite, None if model is None else self._embedding_model(model))

    def _embedding_model(self, model: str) -> str:
        """Name a model so that it means the same in another process: a run by its id, a folder by its whole path."""
        if model.startswith(RUN_PREFIX):
            with self.database.reading() as connection:
                return RUN_PREFIX + run_store.find_run(connection, model.removeprefix(RUN_PREFIX))[1]
        path = Path(model).expanduser()
        return str(path.resolve()) if model not in PACKAGED_MODELS and path.is_dir() else model


def _check_k(k: int) -> None:
    if not 1 <= k <= NUM_NEIGHBOURS:
        raise InputError(f"k: received {k}; allowed is 1 to {NUM_NEIGHBOURS}, as many as are kept.")


def _checked(positions: IntArray, num_examples: int, suite: str) -> NDArray[np.int64]:
    chosen = np.asarray(positions, dtype=np.int64)
    outside = chosen[(chosen < 0) | (chosen >= num_examples)]
    if len(outside):
        raise InputError(
            f"positions: received {int(outside[0]):,}; allowed is 0 to {num_examples - 1:,}, "
            f"the rows of the training split of suite '{suite}'."
        )
    return chosen


def _with_contradictions(rows: pd.DataFrame) -> pd.DataFrame:
    """Add to groups, whose rows stand together, whether each holds different labels; and count."""
    codes = pd.factorize(rows["label"])[0]
    groups = rows["group"].to_numpy()
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    differs = np.zeros(0, dtype=bool)
    if len(starts):
        differs = np.minimum.reduceat(codes, starts) != np.maximum.reduceat(codes, starts)
    frame = rows.assign(contradicting=differs[groups])[["group", "example_id", "position", "label", "contradicting"]]
    frame.attrs["num_groups"] = len(starts)
    frame.attrs["num_contradicting"] = int(differs.sum())
    return frame
