from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest

from ftft_core.errors import InputError
from ftft_core.suites import Split, tokenise

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "fine", "poor", "film", "book"]


def _tokenizer(folder: Path, *, fast: bool) -> Any:
    """A word-level BERT tokenizer, or one of the old kind that is written in Python."""
    transformers = pytest.importorskip("transformers")
    if fast:
        tokenizers = pytest.importorskip("tokenizers")
        model = tokenizers.models.WordPiece({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]")
        backend = tokenizers.Tokenizer(model)
        backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        backend.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        return transformers.PreTrainedTokenizerFast(
            tokenizer_object=backend,
            unk_token="[UNK]",
            pad_token="[PAD]",
            cls_token="[CLS]",
            sep_token="[SEP]",
            model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        )
    base = getattr(transformers, "PythonBackend", None) or transformers.PreTrainedTokenizer

    class Slow(base):
        model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012 - how transformers declares it

        @property
        def vocab_size(self) -> int:
            return len(WORDS)

        def get_vocab(self) -> dict[str, int]:
            return {word: index for index, word in enumerate(WORDS)}

        def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
            return text.split()

        def _convert_token_to_id(self, token: str) -> int:
            return WORDS.index(token) if token in WORDS else 1

        def _convert_id_to_token(self, index: int) -> str:
            return WORDS[index]

        def num_special_tokens_to_add(self, pair: bool = False) -> int:
            return 3 if pair else 2

        def build_inputs_with_special_tokens(self, first: list[int], second: list[int] | None = None) -> list[int]:
            return [2, *first, 3] if second is None else [2, *first, 3, *second, 3]

    return Slow(unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")


def _rows(tokenised: Any) -> list[list[int]]:
    return [tokenised.ids(index).tolist() for index in range(len(tokenised))]


@pytest.fixture
def pairs(folder) -> Split:
    folder.write("train.csv", "a,b,label\ngood bad fine poor,film book,x\nbad,good,y\n")
    folder.write("dev.csv", "a,b,label\nq,r,x\ns,t,y\n")
    return folder.load("text: [a, b]\nlabel: label\ntrain: train.csv\ndev: dev.csv\n").train


@pytest.mark.parametrize("fast", [True, False])
def test_single_texts_are_cut_at_the_end(folder, fast):
    folder.write("train.csv", "text,label\ngood film,x\nbad,y\ngood bad fine poor film book,x\n")
    folder.write("dev.csv", "text,label\na,x\nb,y\n")
    tokenised = tokenise(_tokenizer(folder.path, fast=fast), folder.load().train, max_length=5)
    assert _rows(tokenised) == [[2, 4, 8, 3], [2, 5, 3], [2, 4, 5, 6, 3]]
    assert tokenised.lengths.tolist() == [4, 3, 5]
    assert (tokenised.input_ids.dtype, tokenised.offsets.dtype) == (numpy.int32, numpy.int64)
    assert tokenised.offsets.tolist() == [0, 4, 7, 12]
    assert (tokenised.token_type_ids is not None) == fast


@pytest.mark.parametrize("fast", [True, False])
def test_of_a_pair_the_longer_text_is_cut_first(folder, pairs, fast):
    tokenised = tokenise(_tokenizer(folder.path, fast=fast), pairs, max_length=7)
    assert _rows(tokenised) == [[2, 4, 5, 3, 8, 9, 3], [2, 5, 3, 4, 3]]
    if fast:
        assert tokenised.token_type_ids.tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1]
        assert tokenised.token_type_ids.dtype == numpy.int8


def test_many_batches_give_what_one_gives(folder, pairs, monkeypatch):
    tokenizer = _tokenizer(folder.path, fast=True)
    whole = tokenise(tokenizer, pairs, max_length=16)
    monkeypatch.setattr("ftft_core.suites.tokenising._BATCH_SIZE", 1)
    assert _rows(tokenise(tokenizer, pairs, max_length=16)) == _rows(whole)


def test_a_length_without_room_for_text_is_refused(folder, pairs):
    with pytest.raises(InputError, match=r"max_length 4 leaves no room for text: .* 3 special tokens, so at least 5"):
        tokenise(_tokenizer(folder.path, fast=True), pairs, max_length=4)
