"""Predictions of a split: in its order, equal to a plain forward pass, and without a trace."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ftft_core import suites
from ftft_core.evaluation import predict
from ftft_core.modeling.encoder import load_classifier, load_tokenizer
from ftft_core.modeling.lengths import evaluation_batches
from tests.conftest import write_suite_files


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> suites.Split:
    """The first 40 training examples, of 4 to 23 words."""
    suite = suites.load_suite("reviews", write_suite_files(tmp_path_factory.mktemp("evaluation")))
    return dataclasses.replace(suite.train, examples=suite.train.examples.head(40))


@pytest.fixture(scope="module")
def classifier(tiny_model: Path) -> PreTrainedModel:
    torch.manual_seed(0)
    return load_classifier(str(tiny_model), ("negative", "positive"), layers=2)


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(str(tiny_model))


@pytest.fixture
def accelerator() -> Accelerator:
    # A training in this process may have chosen a GPU.
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(mixed_precision="no", cpu=True)


@pytest.mark.parametrize("tokens_per_batch", [8192, 64, 1])
def test_predictions_are_those_of_one_text_at_a_time(
    split: suites.Split,
    classifier: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    accelerator: Accelerator,
    monkeypatch: pytest.MonkeyPatch,
    tokens_per_batch: int,
) -> None:
    monkeypatch.setattr("ftft_core.modeling.lengths.EVALUATION_TOKENS", tokens_per_batch)
    tokens = suites.tokenise(tokenizer, split, max_length=32)
    logits = predict(classifier, tokens, pad_token_id=0, accelerator=accelerator)
    classifier.eval()
    with torch.no_grad():
        one_by_one = [
            classifier(**tokenizer(text, return_tensors="pt")).logits[0].numpy() for text in split.examples["text"]
        ]
    assert logits.dtype == np.float32
    assert len(set(tokens.lengths)) > 5
    np.testing.assert_allclose(logits, np.stack(one_by_one), rtol=0, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_mode_gradients_and_random_states_are_left_alone(
    split: suites.Split,
    classifier: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    accelerator: Accelerator,
    training: bool,
) -> None:
    tokens = suites.tokenise(tokenizer, split, max_length=32)
    classifier.train(training)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    first = predict(classifier, tokens, pad_token_id=0, accelerator=accelerator)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]
    assert classifier.training is training
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert torch.is_grad_enabled()
    # Dropout is off in either mode.
    np.testing.assert_array_equal(predict(classifier, tokens, pad_token_id=0, accelerator=accelerator), first)


def test_a_split_without_examples_gives_no_rows(classifier: PreTrainedModel, accelerator: Accelerator) -> None:
    empty = suites.TokenisedSplit(np.zeros(0, "int32"), np.zeros(1, "int64"), None)
    assert predict(classifier, empty, pad_token_id=0, accelerator=accelerator).shape == (0, 2)


def test_batches_are_bounded_and_hold_every_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftft_core.modeling.lengths.EVALUATION_TOKENS", 64)
    lengths = np.array([3, 60, 9, 8, 100, 16, 1])
    batches = evaluation_batches(lengths, np.arange(7))
    # Padded: 8 64 16 8 104 16 8. A text longer than the bound stands alone.
    assert [(rows.tolist(), length) for rows, length in batches] == [
        ([4], 104),
        ([1], 64),
        ([2, 5, 0, 3], 16),
        ([6], 8),
    ]
