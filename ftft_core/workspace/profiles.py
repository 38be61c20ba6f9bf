"""What a profile needs of a workspace: the words of a suite, and the probabilities of a run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ftft_core.profile import (
    ProfileSource,
    RunProbabilities,
    WordIndex,
    build_word_index,
    label_issues,
    profile_source,
    read_word_index,
    run_probabilities,
    write_word_index,
)
from ftft_core.profile.tokens import OnProgress
from ftft_core.store import map_frames
from ftft_core.store import runs as run_store
from ftft_core.workspace.suites import Suites
from ftft_core.workspace.tables import Tables

_TEXTS_AT_ONCE = 16_384
_building = threading.Lock()


class Profiles(Suites, Tables):
    """Reading what selections are described from."""

    def word_index(self, suite: str, on_progress: OnProgress | None = None) -> WordIndex:
        """Give the words of a suite's training examples; read from disk, or built at the first call and kept there.

        Building takes about a second for 100,000 short texts, reading a tenth of a second for a million. A suite
        without texts (of imported dynamics) has an index without words.

        :param on_progress: called with the examples done and in all, while the index is built.
        """
        facts = self.suite_facts(suite)
        folder = self.folder / "suites" / str(facts["fingerprint"])
        path, texts = folder / "words.npz", folder / "train.parquet"
        with _building:
            index = read_word_index(path)
            if index is not None:
                return index
            if not texts.exists():
                splits = self.suite_splits(suite)
                count = int(splits.loc[splits["role"] == "train", "num_examples"].iloc[0])
                nothing = np.zeros(0, dtype=np.int32)
                return WordIndex((), np.zeros(count + 1, np.int32), nothing, np.zeros(count, np.int32))
            num_examples = pq.read_metadata(texts).num_rows
            index = build_word_index(_texts(texts), num_examples, on_progress=on_progress)
            write_word_index(index, path)
        return index

    def probabilities(self, reference: str, *, epochs: int | None = None) -> RunProbabilities:
        """Give the probabilities of a run over its counted epochs, its rows as in the map frame.

        :param epochs: only the first this many counted epochs; all of them when left out.
        :raises RunError: when no epoch counted yet.
        :raises InputError: when fewer than `epochs` counted.
        """
        with self.database.reading() as connection:
            run_no, _ = run_store.find_run(connection, reference)
            read = map_frames.read_logits(connection, run_no, map_frames.first_epochs(connection, run_no, epochs))
            _, label_names = map_frames.suite_of_run(connection, run_no)
        return run_probabilities(read.logits, read.labels, label_names, read.epochs)

    def label_issues(self, reference: str, *, epochs: int | None = None) -> pd.DataFrame:
        """Find the examples whose given label is probably wrong; in-sample, as `profile.label_issues` explains.

        :returns: is_issue, quality, suggested_label; the rows as in the map frame.
        """
        found = self.probabilities(reference, epochs=epochs)
        return label_issues(found.mean, found.labels, found.label_names)

    def profile_source(
        self,
        reference: str,
        *,
        epochs: int | None = None,
        data_map: pd.DataFrame | None = None,
        on_progress: OnProgress | None = None,
    ) -> ProfileSource:
        """Prepare what `profile.describe` needs for any selection of a run's map; some seconds for a million examples.

        :param epochs: only the first this many counted epochs.
        :param data_map: the map frame at these epochs, where it is at hand.
        :param on_progress: told how far the suite's words are, when they are read for the first time.
        """
        with self.database.reading() as connection:
            suite = str(run_store.read_run(connection, reference)["suite"])
        frame = self.map_frame(reference, epochs=epochs) if data_map is None else data_map
        probabilities = self.probabilities(reference, epochs=epochs)
        issues = label_issues(probabilities.mean, probabilities.labels, probabilities.label_names)
        words = self.word_index(suite, on_progress)
        return profile_source(frame, words=words, probabilities=probabilities, issues=issues)


def _texts(path: Path) -> Iterator[tuple[pa.Array, pa.Array]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_TEXTS_AT_ONCE, columns=["text", "text_pair"]):
            yield batch.column("text"), batch.column("text_pair")
