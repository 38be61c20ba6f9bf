"""Texts to vectors: the mean of an encoder's last hidden states, scaled to unit length.

As sentence-transformers pools MiniLM and most of its kin (Reimers and Gurevych 2019, https://arxiv.org/abs/1908.10084,
MEAN). A pair is encoded as one input, the way the tokenizer joins two texts, so its vector is of the pair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase as Tokenizer

from ftft_core.errors import InputError, RunError
from ftft_core.modeling.batching import make_batch
from ftft_core.modeling.device import make_accelerator
from ftft_core.modeling.encoder import load_classifier, load_tokenizer, longest_input
from ftft_core.modeling.lengths import PAD_MULTIPLE, length_batches
from ftft_core.suites import Split, tokenise

_TOKENS_PER_BATCH = 8192


@dataclass(frozen=True, eq=False)
class Embedder:
    """An encoder that is ready to embed."""

    encoder: torch.nn.Module
    tokenizer: Tokenizer
    accelerator: Accelerator
    max_length: int
    """Tokens that are read of a text or a pair, special ones included."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.accelerator.device

    @property
    def num_dimensions(self) -> int:
        """Length of a vector."""
        return int(self.encoder.config.hidden_size)

    def embed(self, split: Split, *, after_batch: Callable[[int], None] | None = None) -> NDArray[np.float16]:
        """Give the vectors of a split's texts, shape (N, d), each of length 1, in the order of the split.

        Texts of similar length are embedded together; the same texts in another company differ by rounding alone.

        :param after_batch: called with the number of texts of each batch that is done.
        :raises RunError: when the model gives numbers that are not finite.
        """
        tokens = tokenise(self.tokenizer, split, max_length=self.max_length)
        vectors = np.empty((len(split), self.num_dimensions), dtype=np.float16)
        for rows, length in length_batches(tokens.lengths, np.arange(len(tokens)), tokens_per_batch=_TOKENS_PER_BATCH):
            batch = make_batch(
                tokens, rows, length, pad_token_id=int(self.tokenizer.pad_token_id), device=self.accelerator.device
            )
            pooled = self._pool(batch)
            if not bool(torch.isfinite(pooled).all()):
                raise RunError("The model gives hidden states that are not finite numbers, so it can't embed texts.")
            vectors[rows] = pooled.cpu().numpy().astype(np.float16)
            if after_batch is not None:
                after_batch(len(rows))
        return vectors

    @torch.no_grad()
    def _pool(self, batch: dict[str, Tensor]) -> Tensor:
        with self.accelerator.autocast():
            hidden = self.encoder(**batch).last_hidden_state
        mask = batch["attention_mask"][:, :, None].to(torch.float32)
        mean = (hidden.float() * mask).sum(dim=1) / mask.sum(dim=1).clamp_min(1.0)
        return torch.nn.functional.normalize(mean, dim=1)


def load_embedder(model: str, *, max_length: int, precision: str = "auto") -> Embedder:
    """Load a model to embed with, on the best device of this machine.

    :param model: a local folder, a hub name, or a known short name.
    :param max_length: longest input in tokens; less where tokenizer or model take less.
    :param precision: one of `config.PRECISIONS`.
    :raises InputError: when the model can't be loaded, or `max_length` leaves no room for text.
    """
    tokenizer = load_tokenizer(model)
    # The head is not used; loading with one brings the checks of the encoder's tensors.
    classifier = load_classifier(model, ["unused"])
    limits = [max_length, int(tokenizer.model_max_length), longest_input(classifier) or max_length]
    # Batches are padded to a multiple, which the model must take too.
    longest = min(limits[0], *(limit // PAD_MULTIPLE * PAD_MULTIPLE or limit for limit in limits[1:]))
    if longest < 1:
        raise InputError(f"max_length: received {max_length}; allowed is 8 or more.")
    accelerator = make_accelerator(precision)
    encoder = classifier.base_model.to(accelerator.device).eval()
    return Embedder(encoder, tokenizer, accelerator, longest)
