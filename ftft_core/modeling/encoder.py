"""Loading an encoder with a classification head, whole or cut to its first layers, and its tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from ftft_core.errors import InputError
from ftft_core.modeling.checkpoints import count_layers, locate_model

_LOADING_ERRORS = (OSError, ValueError, KeyError, SafetensorError, RuntimeError, ImportError)
"""What transformers raises for a model that is missing, damaged, of an unknown kind, or without safetensors."""


def load_tokenizer(model: str) -> Tokenizer:
    """Load the tokenizer of a model.

    :param model: a local folder, a hub name, or a known short name.
    :raises InputError: when there is none that can be loaded.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(locate_model(model), trust_remote_code=False)
    except _LOADING_ERRORS as failure:
        raise InputError(f"Model '{model}' has no tokenizer that can be loaded ({_reason(failure)}).") from failure
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        # For a folder without a vocabulary transformers makes a tokenizer to which every word is unknown.
        raise InputError(f"Model '{model}' has no tokenizer that can be loaded (its files hold no vocabulary).")
    if tokenizer.pad_token is None:
        raise InputError(f"Model '{model}': its tokenizer has no padding token, so texts can't be batched.")
    return tokenizer


def load_classifier(model: str, labels: Sequence[str], *, layers: int | None = None) -> PreTrainedModel:
    """Load a model with a head for `labels`; a head that is not in its files is initialised from torch's random state.

    :param labels: names of the classes, in the order of the logits.
    :param layers: keep the first this many encoder layers; all when None.
    :raises InputError: when it can't be loaded, or its own head means other labels.
    """
    num_layers = count_layers(model, layers)
    location = locate_model(model)
    _quieten_transformers()
    try:
        config = AutoConfig.from_pretrained(location, trust_remote_code=False)
        _check_head(model, config, labels)
        config.num_hidden_layers = num_layers
        config.num_labels = len(labels)
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: index for index, label in enumerate(labels)}
        classifier, loading = AutoModelForSequenceClassification.from_pretrained(
            location,
            config=config,
            output_loading_info=True,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            # Gradients of fused attention differ from pass to pass on CUDA; on short texts it is no faster anywhere.
            attn_implementation="eager",
        )
    except _LOADING_ERRORS as failure:
        raise InputError(f"Model '{model}' can't be loaded ({_reason(failure)}).") from failure
    _check_weights(model, classifier, {*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])})
    return classifier


def longest_input(classifier: PreTrainedModel) -> int | None:
    """Give the most tokens that a model takes; None when its positions have no table that ends."""
    num_positions = getattr(classifier.config, "max_position_embeddings", None)
    if not isinstance(num_positions, int) or num_positions < 1:
        return None
    for name, module in classifier.named_modules():
        if name.endswith(".position_embeddings") and getattr(module, "padding_idx", None) is not None:
            # RoBERTa and its kin count positions from behind the padding token's id.
            return num_positions - module.padding_idx - 1
    return num_positions


def make_meta_classifier(classifier: PreTrainedModel) -> PreTrainedModel:
    """Make a copy of a classifier without weights, on torch's meta device: it has shapes and no values.

    Its attention is the plain one, written out as matrix products, so that every FLOP can be counted.
    """
    config = type(classifier.config).from_dict(classifier.config.to_dict())
    with torch.device("meta"):
        return AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")


def save_classifier(classifier: PreTrainedModel, tokenizer: Tokenizer, folder: Path) -> None:
    """Write model and tokenizer so that `transformers` (and a later run) loads them from `folder`."""
    classifier.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _check_head(model: str, config: transformers.PretrainedConfig, labels: Sequence[str]) -> None:
    """Refuse a fine-tuned head that knows the same labels in another order: its logits would be misread."""
    own = [str(config.id2label[index]) for index in sorted(config.id2label)]
    has_head = any("SequenceClassification" in name for name in config.architectures or [])
    if has_head and sorted(own) == sorted(labels) and own != list(labels):
        raise InputError(
            f"Model '{model}' has a head for the labels {', '.join(own)}, in this order; "
            f"the suite's order is {', '.join(labels)}. Give the suite's spec `labels: [{', '.join(own)}]`."
        )


def _check_weights(model: str, classifier: PreTrainedModel, absent: set[str]) -> None:
    """Refuse an encoder whose tensors were not all in the files: the others would be random, and nobody would know."""
    encoder = f"{classifier.base_model_prefix}."
    lost = sorted(key for key in absent if key.startswith(encoder) and ".pooler." not in key)
    if lost:
        raise InputError(
            f"Model '{model}': its files lack {len(lost)} of the encoder's tensors in the shape that config.json asks "
            f"for (such as {lost[0]}); config.json and weights do not belong together."
        )


def _quieten_transformers() -> None:
    # Cutting layers and adding a head are what was asked for; the report of it says that weights are unexpected.
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def _reason(failure: BaseException) -> str:
    lines = str(failure).strip().splitlines()
    return lines[0] if lines else type(failure).__name__
