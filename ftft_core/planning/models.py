"""What the files of a model say about it, read without torch and without loading weights.

Of a folder on this machine everything is looked at; of a model on the hub its `config.json` and the names of its
files. What can't be told this way is told by the warm-up, which loads the model.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import math
import re
import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ftft_core.errors import InputError
from ftft_core.modeling.checkpoints import hub_answers, locate_model, read_model_facts

TOKENIZER_FILES = frozenset(
    {
        *("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "spm.model", "sentencepiece.bpe.model"),
        *("tokenizer.model", "source.spm", "bpe.codes", "tekken.json"),
    }
)
"""A tokenizer's vocabulary lies in at least one of these."""

_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_INDEX = "model.safetensors.index.json"
_GENERIC_LABEL = re.compile(r"LABEL_\d+")
_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?|transformer_layers)\.(\d+)\.")
_REMEMBERED_SECONDS = 120.0
"""What the hub said is asked again after this long."""


@dataclass(frozen=True)
class ModelFiles:
    """What is known of a model before it is loaded."""

    location: str
    """A folder, or a hub name."""
    config: dict[str, Any] = field(default_factory=dict)
    num_layers: int | None = None
    tensor_sizes: dict[str, int] = field(default_factory=dict)
    """Values of each tensor in the weights; empty when they are not on this machine."""
    problems: tuple[str, ...] = ()
    """Why it can't be loaded, one sentence each."""

    def num_parameters(self, layers: int | None) -> int | None:
        """Give the values of the model cut to its first `layers`, its head aside; None when they are not known."""
        kept = (size for name, size in self.tensor_sizes.items() if layers is None or _layer_of(name) < layers)
        return sum(kept) or None

    @property
    def head_labels(self) -> tuple[str, ...] | None:
        """Labels of the classification head that the model brings, in order; None without a head or real names."""
        names = self.config.get("id2label")
        if not any("SequenceClassification" in str(name) for name in self.config.get("architectures") or []):
            return None
        if not isinstance(names, dict) or not all(str(key).isdigit() for key in names):
            return None
        labels = tuple(str(names[key]) for key in sorted(names, key=int))
        return None if all(map(_GENERIC_LABEL.fullmatch, labels)) else labels

    @property
    def longest_input(self) -> int | None:
        """Most tokens that its table of positions holds; None when it has no such table, or does not say."""
        positions = self.config.get("max_position_embeddings")
        if not isinstance(positions, int) or positions < 1 or self.config.get("position_embedding_type") == "rotary":
            return None
        if str(self.config.get("model_type")) in _POSITIONS_AFTER_PADDING:
            return positions - int(self.config.get("pad_token_id") or 0) - 1
        return positions


_POSITIONS_AFTER_PADDING = frozenset(
    {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "roberta-prelayernorm", "mpnet", "longformer", "ibert"}
)
"""RoBERTa and its kin count positions from behind the padding token's id."""


def stamp_of(location: str) -> list[Any]:
    """Give what changes when the files of a model in a folder do: names, sizes and times; empty for a hub name."""
    folder = Path(location)
    if not folder.is_dir():
        return []
    facts = [(path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file()]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in facts]


def read_model_files(model: str) -> ModelFiles:
    """Look at a model's files; what is wrong with them is in `problems`, all at once."""
    try:
        location = locate_model(model)
    except InputError as error:
        return ModelFiles(model, problems=(error.message,))
    if Path(location).is_dir():
        return _read_folder(model, location, json.dumps(stamp_of(location)))
    return _read_hub(model, int(time.monotonic() / _REMEMBERED_SECONDS))


@lru_cache(maxsize=64)
def _read_folder(model: str, location: str, _stamp: str) -> ModelFiles:
    folder = Path(location)
    config, num_layers, problems = _read_config(model)
    names = frozenset(path.name for path in folder.iterdir() if path.is_file() and path.stat().st_size > 0)
    problems += _file_problems(model, names)
    sizes: dict[str, int] = {}
    for name in _weight_files(folder):
        try:
            sizes |= _tensor_sizes(folder / name)
        except (OSError, ValueError, KeyError, TypeError) as failure:
            problems.append(
                f"Model '{model}': its weights can't be read: {name} {_why(failure)}. Copy or download the file again."
            )
    return ModelFiles(location, config, num_layers, sizes, tuple(problems))


@lru_cache(maxsize=64)
def _read_hub(model: str, _period: int) -> ModelFiles:
    config, num_layers, problems = _read_config(model)
    if config:
        names = _hub_names(model)
        problems += _file_problems(model, names) if names else []
    return ModelFiles(model, config, num_layers, {}, tuple(problems))


def _read_config(model: str) -> tuple[dict[str, Any], int | None, list[str]]:
    """Give `config.json`, the layers that it speaks of, and what is wrong with it."""
    try:
        facts = read_model_facts(model)
    except InputError as error:
        return {}, None, [error.message]
    config = _load_config(model, facts.location)
    known = supported_architectures()
    if known and facts.model_type not in known:
        return config, facts.num_layers, [
            f"Model '{model}' is of the architecture '{facts.model_type}', for which the transformers library here has "
            "no classifier (remote code is off); choose an encoder such as BERT, RoBERTa, DeBERTa or MPNet."
        ]  # fmt: skip
    return config, facts.num_layers, []


def _load_config(model: str, location: str) -> dict[str, Any]:
    if Path(location).is_dir():
        path = Path(location) / "config.json"
    else:
        import huggingface_hub

        path = Path(huggingface_hub.hf_hub_download(model, "config.json", local_files_only=True))
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _hub_names(model: str) -> frozenset[str]:
    """Names of a model's files on the hub; none when it can't be asked just now."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if not hub_answers():
        return frozenset()
    try:
        return frozenset(huggingface_hub.HfApi().list_repo_files(model))
    except (OSError, HfHubHTTPError, HFValidationError, ValueError):
        return frozenset()


def _file_problems(model: str, names: frozenset[str]) -> list[str]:
    problems = []
    if not names & TOKENIZER_FILES:
        problems.append(
            f"Model '{model}' has no tokenizer: none of its files holds a vocabulary (such as tokenizer.json or "
            "vocab.txt); save the tokenizer into the same folder."
        )
    if "model.safetensors" not in names and _INDEX not in names:
        has_pickled = any(name in names for name in _PICKLED)
        said = "its weights are pickled (pytorch_model.bin), which can run code when loaded" if has_pickled else "none"
        problems.append(
            f"Model '{model}' has no weights as safetensors ({said}); save it with save_pretrained, which writes "
            "model.safetensors."
        )
    return problems


def _weight_files(folder: Path) -> list[str]:
    if (folder / "model.safetensors").is_file():
        return ["model.safetensors"]
    if not (folder / _INDEX).is_file():
        return []
    try:
        return sorted(set(json.loads((folder / _INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError):
        return [_INDEX]


def _tensor_sizes(path: Path) -> dict[str, int]:
    """Read the header of a safetensors file: values of each tensor.

    :raises ValueError: when the file is no safetensors, or was cut off.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        num_header_bytes = int.from_bytes(file.read(8), "little")
        if not 2 <= num_header_bytes <= size - 8:
            raise ValueError("is not a safetensors file")
        header = json.loads(file.read(num_header_bytes))
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    end = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
    if size != 8 + num_header_bytes + end:
        raise ValueError(f"has {size:,} bytes where its header speaks of {8 + num_header_bytes + end:,}")
    return {name: math.prod(entry["shape"]) for name, entry in tensors.items()}


def _why(failure: Exception) -> str:
    if isinstance(failure, FileNotFoundError):
        return "is missing"
    if isinstance(failure, UnicodeDecodeError | json.JSONDecodeError | KeyError | TypeError):
        return "is not a safetensors file"
    return str(failure)


def _layer_of(tensor: str) -> int:
    found = _LAYER.search(tensor)
    return int(found[1]) if found else -1


@lru_cache(maxsize=1)
def supported_architectures() -> frozenset[str]:
    """Architectures for which transformers has a classifier; none when its list is not where it is looked for.

    The list is read from its source: to import it would import torch.
    """
    found = importlib.util.find_spec("transformers")
    if found is None or found.origin is None:
        return frozenset()
    source = Path(found.origin).parent / "models" / "auto" / "modeling_auto.py"
    try:
        tree = ast.parse(source.read_text(encoding="utf-8"))
        for node in tree.body:
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            if getattr(target, "id", "") == "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES":
                assert isinstance(node, ast.Assign | ast.AnnAssign)
                assert isinstance(node.value, ast.Call)
                return frozenset(dict(ast.literal_eval(node.value.args[0])))
    except (OSError, SyntaxError, ValueError, IndexError, AssertionError):
        pass
    return frozenset()
