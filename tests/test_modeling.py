"""Loading encoders, and refusing what would be misread; device and precision."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from ftft_core.errors import InputError
from ftft_core.modeling import device
from ftft_core.modeling.checkpoints import PACKAGED_MODELS, count_layers, locate_model, read_model_facts
from ftft_core.modeling.device import choose_precision, describe_device, library_versions, peak_memory_mib
from ftft_core.modeling.encoder import load_classifier, load_tokenizer, longest_input, save_classifier
from ftft_core.modeling.tensors import load_tensors
from tests.conftest import environment

LABELS = ("negative", "positive")


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may damage."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def change_config(model: Path, **values: object) -> None:
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    (model / "config.json").write_text(json.dumps({**config, **values}), encoding="utf-8")


# -- finding ------------------------------------------------------------------------------------------


def test_a_folder_is_read_for_what_it_is(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = read_model_facts(str(model))
    assert (facts.location, facts.model_type, facts.num_layers) == (str(model.resolve()), "bert", 4)
    monkeypatch.chdir(model.parent)
    assert locate_model("model") == str(model.resolve())
    assert count_layers("model", None) == 4
    assert count_layers("model", 3) == 3


def test_more_layers_than_there_are_are_refused(model: Path) -> None:
    with pytest.raises(InputError, match=r"layers: received 5, but model '.*' has 4; allowed is 1 to 4\."):
        load_classifier(str(model), LABELS, layers=5)


def test_other_spellings_of_layers_are_known(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "distilbert", "n_layers": 6}', encoding="utf-8")
    assert read_model_facts(str(tmp_path)).num_layers == 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "the folder has no config.json, so it is not a model of transformers"),
        ('{"num_hidden', r"its config\.json can't be read \("),
        ("[1]", "its config.json holds list, not a JSON object"),
        ("{}", r"its config\.json does not say how many layers it has \(num_hidden_layers\)"),
        ('{"num_hidden_layers": 0}', "does not say how many layers"),
        ('{"model_type": "nonsense", "num_hidden_layers": 2}', r"Model '.*' can't be loaded \("),
    ],
)
def test_a_missing_or_damaged_config_is_refused(model: Path, content: str | None, message: str) -> None:
    (model / "config.json").unlink()
    if content is not None:
        (model / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_classifier(str(model), LABELS)


def test_paths_that_do_not_exist_are_no_hub_names(model: Path) -> None:
    for path in ("/nowhere/model", "./nowhere", "a/b/c"):
        with pytest.raises(InputError, match="there is no such folder"):
            locate_model(path)
    with pytest.raises(InputError, match=r"is a file; give the folder that holds its config\.json"):
        locate_model(str(model / "config.json"))
    assert locate_model("owner/name") == "owner/name"


def test_a_packaged_model_that_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGED_MODELS, "absent", ("no_such_package", "model", "absent-model"))
    with pytest.raises(InputError, match="lies in a package that is missing: pip install absent-model"):
        locate_model("absent")


def test_an_unknown_hub_name_without_a_network_is_one_sentence(tmp_path: Path) -> None:
    # In a process of its own: the hub's client reads its environment once.
    program = (
        "from ftft_core.errors import InputError\n"
        "from ftft_core.modeling.checkpoints import read_model_facts\n"
        "try:\n    read_model_facts('nobody/nothing')\n"
        "except InputError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        env={**environment(tmp_path), "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(
        "Model 'nobody/nothing' is neither a folder here nor a known short name (minilm), and the hub did not give it ("
    )


# -- loading ------------------------------------------------------------------------------------------


def test_the_first_layers_are_kept_with_their_weights(model: Path) -> None:
    whole, cut = load_classifier(str(model), LABELS), load_classifier(str(model), LABELS, layers=2)
    names = [name for name in cut.state_dict() if ".layer." in name]
    assert {name.split(".layer.")[1].split(".")[0] for name in names} == {"0", "1"}
    for name in names:
        assert torch.equal(cut.state_dict()[name], whole.state_dict()[name])
    assert (cut.config.num_hidden_layers, cut.config.id2label) == (2, {0: "negative", 1: "positive"})
    assert cut.dtype == torch.float32


def test_the_head_is_drawn_from_the_seed(model: Path) -> None:
    heads = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        heads.append(load_classifier(str(model), LABELS).classifier.weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_a_saved_classifier_is_loaded_again(model: Path, tmp_path: Path) -> None:
    first = load_classifier(str(model), LABELS, layers=2)
    save_classifier(first, load_tokenizer(str(model)), tmp_path / "saved")
    again = load_classifier(str(tmp_path / "saved"), LABELS)
    assert torch.equal(again.classifier.weight, first.classifier.weight)
    assert again.config.num_hidden_layers == 2


def test_a_head_of_the_same_labels_in_another_order_is_refused(model: Path, tmp_path: Path) -> None:
    save_classifier(load_classifier(str(model), LABELS), load_tokenizer(str(model)), tmp_path / "saved")
    message = (
        "has a head for the labels negative, positive, in this order; the suite's order is positive, negative. "
        r"Give the suite's spec `labels: \[negative, positive\]`"
    )
    with pytest.raises(InputError, match=message):
        load_classifier(str(tmp_path / "saved"), ("positive", "negative"))
    assert load_classifier(str(tmp_path / "saved"), ("no", "perhaps", "yes")).config.num_labels == 3


def test_pickled_weights_are_refused(model: Path) -> None:
    tensors = safetensors.torch.load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    torch.save(tensors, model / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"can't be loaded \(.*safetensors"):
        load_classifier(str(model), LABELS)


def test_cut_off_weights_are_refused(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"Model '.*' can't be loaded \("):
        load_classifier(str(model), LABELS)


def test_weights_that_the_config_does_not_fit_are_refused(model: Path) -> None:
    change_config(model, intermediate_size=128)
    with pytest.raises(
        InputError, match=r"its files lack 12 of the encoder's tensors .*such as bert\.encoder\.layer\.0"
    ):
        load_classifier(str(model), LABELS)


def test_an_encoder_without_all_its_weights_is_refused(model: Path) -> None:
    tensors = safetensors.torch.load_file(model / "model.safetensors")
    del tensors["encoder.layer.3.output.dense.weight"]
    safetensors.torch.save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="its files lack 1 of the encoder's tensors"):
        load_classifier(str(model), LABELS)
    # The layer that lacks it may be cut off.
    assert load_classifier(str(model), LABELS, layers=3).config.num_hidden_layers == 3


def test_a_pooler_that_is_missing_is_new(model: Path) -> None:
    tensors = safetensors.torch.load_file(model / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("pooler")}
    safetensors.torch.save_file(kept, model / "model.safetensors", metadata={"format": "pt"})
    assert load_classifier(str(model), LABELS).config.num_labels == 2


def test_the_longest_input_is_known(model: Path) -> None:
    from transformers import RobertaConfig, RobertaForSequenceClassification

    assert longest_input(load_classifier(str(model), LABELS)) == 64
    config = RobertaConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=66,
    )
    roberta = RobertaForSequenceClassification(config)
    assert longest_input(roberta) == 64
    assert roberta(input_ids=torch.full((1, 64), 5)).logits.shape == (1, 2)


def test_a_model_without_a_tokenizer_is_refused(model: Path) -> None:
    for path in model.iterdir():
        if path.name not in {"config.json", "model.safetensors"}:
            path.unlink()
    with pytest.raises(InputError, match=r"has no tokenizer that can be loaded \(its files hold no vocabulary\)"):
        load_tokenizer(str(model))


# -- device ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requested", "device_type", "has_bf16", "expected"),
    [
        ("auto", "cuda", True, "bf16"),
        ("auto", "cuda", False, "fp16"),
        ("auto", "cpu", True, "bf16"),
        ("auto", "cpu", False, "fp32"),
        ("auto", "mps", True, "fp32"),
        ("fp32", "cuda", True, "fp32"),
        ("fp16", "cuda", True, "fp16"),
        ("bf16", "cpu", False, "bf16"),
    ],
)
def test_precision_is_the_best_of_the_device(
    monkeypatch: pytest.MonkeyPatch, requested: str, device_type: str, has_bf16: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    monkeypatch.setattr(device, "_cpu_multiplies_bf16", lambda: has_bf16)
    assert choose_precision(requested, device_type) == expected


@pytest.mark.parametrize("device_type", ["cpu", "mps"])
def test_fp16_needs_cuda(device_type: str) -> None:
    message = f"precision: fp16 needs CUDA, but this machine's device is {device_type}; use bf16 or fp32"
    with pytest.raises(InputError, match=message):
        choose_precision("fp16", device_type)


def test_a_launcher_may_ask_for_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device._device_type() == "cuda"
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert device._device_type() == "cpu"


def test_the_device_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    facts = describe_device(precision="fp32").as_dict()
    assert (facts["device"], facts["precision"], facts["num_processes"]) == ("cpu", "fp32", 1)
    assert facts["device_name"]
    assert library_versions()["torch"].startswith(torch.__version__.split("+")[0])
    assert 10 < peak_memory_mib() < 1e6


# -- tensors ------------------------------------------------------------------------------------------


def test_tensors_are_read_and_pickles_are_not(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "good.pt")
    assert load_tensors(tmp_path / "good.pt")["a"].tolist() == [1.0, 1.0]
    torch.save({"a": os.system}, tmp_path / "bad.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "good.pt").read_bytes()[:100])
    (tmp_path / "empty.pt").touch()
    for name in ("bad.pt", "cut.pt", "empty.pt", "absent.pt"):
        with pytest.raises(InputError, match=rf"{name} can't be read as a file of tensors \("):
            load_tensors(tmp_path / name)
