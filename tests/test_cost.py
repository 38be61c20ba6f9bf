"""FLOPs of a step: by counting on shapes alone, by formula, and by counting a real step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from ftft_core.cost import FlopMeter, analytic_training_flops, steps_within
from ftft_core.modeling.encoder import load_classifier, make_meta_classifier

NO_COUNTS = ("0", "-1.0", "NaN", "1e400", "null", '"7"')
LABELS = ("negative", "neutral", "positive")


@pytest.fixture(scope="module")
def classifier(tiny_model: Path) -> PreTrainedModel:
    return load_classifier(str(tiny_model), LABELS)


@pytest.mark.parametrize("shape", [(1, 8), (16, 24), (7, 64)])
@pytest.mark.parametrize("layers", [1, 4])
def test_the_count_is_the_formula(tiny_model: Path, shape: tuple[int, int], layers: int) -> None:
    meter = FlopMeter(make_meta_classifier(load_classifier(str(tiny_model), LABELS, layers=layers)))
    expected = analytic_training_flops(shape, num_layers=layers, hidden_size=32, intermediate_size=64, num_labels=3)
    assert meter.training(shape) == expected
    assert meter.forward(shape) == expected / 3


def test_the_formula_by_hand() -> None:
    # One layer, h = 2, i = 4, L = 8: per token 8 * 4 + 4 * 2 * 4 + 4 * 8 * 2 = 128; head 2 * 4 + 2 * 2 * 2 = 16.
    flops = analytic_training_flops((1, 8), num_layers=1, hidden_size=2, intermediate_size=4, num_labels=2)
    assert flops == 3 * (8 * 128 + 16)


def test_a_real_step_costs_what_was_counted(classifier: PreTrainedModel) -> None:
    tokens = torch.ones(4, 16, dtype=torch.long)
    classifier.train()
    counter = FlopCounterMode(display=False)
    with counter:
        logits = classifier(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
        torch.nn.functional.cross_entropy(logits, torch.zeros(4, dtype=torch.long)).backward()
    classifier.zero_grad()
    counted = FlopMeter(make_meta_classifier(classifier)).training((4, 16))
    assert counter.get_total_flops() == pytest.approx(counted, rel=0.01)


def test_counting_draws_no_random_number_and_keeps_no_values(classifier: PreTrainedModel) -> None:
    before = torch.get_rng_state()
    meter = FlopMeter(make_meta_classifier(classifier))
    meter.training((3, 8))
    meter.forward((3, 8))
    assert torch.equal(torch.get_rng_state(), before)
    assert {parameter.device.type for parameter in meter.model.parameters()} == {"meta"}
    assert all(parameter.grad is None for parameter in meter.model.parameters())
    assert {parameter.device.type for parameter in classifier.parameters()} == {"cpu"}


def test_a_shape_is_counted_once(classifier: PreTrainedModel) -> None:
    meter = FlopMeter(make_meta_classifier(classifier))
    first = meter.training((2, 8))
    meter.model = None
    assert meter.training((2, 8)) == first


def test_counts_are_kept_for_the_runs_that_follow(classifier: PreTrainedModel, tmp_path: Path) -> None:
    first, shapes = FlopMeter(make_meta_classifier(classifier), kept=tmp_path / "flops"), [(3, 8), (2, 16)]
    counted = [(first.training(shape), first.forward(shape)) for shape in shapes]
    second = FlopMeter(make_meta_classifier(classifier), kept=tmp_path / "flops")
    second.model = None
    assert [(second.training(shape), second.forward(shape)) for shape in shapes] == counted


@pytest.mark.parametrize(
    "damaged",
    ['{"training": [[3, 8', "[]", "{}", *(f'{{"training": [[3, 8, {bad}]], "forward": []}}' for bad in NO_COUNTS)],
)
def test_a_damaged_file_of_counts_is_as_good_as_none(classifier: PreTrainedModel, tmp_path: Path, damaged: str) -> None:
    counted = FlopMeter(make_meta_classifier(classifier), kept=tmp_path).training((3, 8))
    (file,) = tmp_path.iterdir()
    file.write_text(damaged, encoding="utf-8")
    assert FlopMeter(make_meta_classifier(classifier), kept=tmp_path).training((3, 8)) == counted
    assert json.loads(file.read_text(encoding="utf-8")) == {"training": [[3, 8, counted]], "forward": []}


def test_counts_of_one_architecture_are_not_taken_for_those_of_another(tiny_model: Path, tmp_path: Path) -> None:
    meters = [
        FlopMeter(make_meta_classifier(load_classifier(str(tiny_model), LABELS, layers=layers)), kept=tmp_path)
        for layers in (1, 2)
    ]
    assert meters[0].training((4, 8)) < meters[1].training((4, 8))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_count_that_can_not_be_kept_is_a_count_all_the_same(classifier: PreTrainedModel, tmp_path: Path) -> None:
    (tmp_path / "flops").write_text("a file where the folder should be", encoding="utf-8")
    meter = FlopMeter(make_meta_classifier(classifier), kept=tmp_path / "flops")
    assert meter.training((3, 8)) == FlopMeter(make_meta_classifier(classifier)).training((3, 8))


def test_steps_nearest_to_a_budget() -> None:
    assert steps_within([10.0, 10.0, 10.0], 10.0) == 1
    assert steps_within([10.0, 10.0, 10.0], 14.0) == 1
    assert steps_within([10.0, 10.0, 10.0], 15.0) == 2  # a tie takes the step
    assert steps_within([10.0, 10.0, 10.0], 26.0) == 3
    assert steps_within([10.0], 1.0) == 1
    with pytest.raises(ValueError, match="the steps ended before the budget did"):
        steps_within([10.0], 11.0)
