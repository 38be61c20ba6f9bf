"""Neighbours: which training texts of a suite are alike, and nearest to a test text, by the cosine of embeddings.

    folder      what is kept of one embedding, and how far the process is that makes it
    growing     a NumPy file that grows chunk by chunk and outlives a kill
    building    texts to embeddings to neighbours; the only module here that brings torch
    process     starting and stopping `python -m ftft_core.neighbours`
    graph       reading: neighbours of an example, groups of near-duplicates

Embeddings are computed once per suite and model, by a process of their own that never opens the database. Whoever
reads maps a few NumPy files into memory.
"""

from ftft_core.neighbours.folder import EmbeddingState, NeighboursFolder
from ftft_core.neighbours.graph import DEFAULT_THRESHOLD, duplicate_groups, nearest, nearest_training
from ftft_core.neighbours.process import cancel, start

__all__ = [
    "DEFAULT_THRESHOLD",
    "EmbeddingState",
    "NeighboursFolder",
    "cancel",
    "duplicate_groups",
    "nearest",
    "nearest_training",
    "start",
]
