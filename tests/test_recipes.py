"""Recipes that cannot be: every problem is told, and each in plain words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ftft_core.config import parse
from ftft_core.errors import InputError
from ftft_core.experiments import Recipe, read_recipe

RECIPE: dict[str, Any] = {
    "suite": "s",
    "main_model": {"model": "m"},
    "reference_model": [{"model": "small"}],
    "methods": ["erm", "ftft"],
    "epochs": 3,
}


def problems_of(**changes: Any) -> list[str]:
    values = {key: value for key, value in {**RECIPE, **changes}.items() if value is not None}
    with pytest.raises(InputError) as caught:
        parse(Recipe, values, what="The recipe")
    return caught.value.problems


def test_contradictions_are_told_beside_what_is_wrong_in_one_field() -> None:
    problems = problems_of(
        epochs=None,
        reference_model=None,
        seeds=["x"],
        training={"batch_size": 0, "main": {"batchsize": 3, "learning_rate": 2}, "reference": {"warmup_fraction": 1}},
    )
    for said in (
        "The budget needs exactly one of epochs and max_steps; received neither",
        "A reference_model is needed by ftft, but missing",
        "seeds: received 'x'; give whole numbers, several of them as a list such as [0, 1, 2]",
        "training.batch_size: received 0; it must be at least 1.",
        "training: main.learning_rate: received 2; it must be at most 1.",
        "training: reference.warmup_fraction: received 1; it must be below 1.",
    ):
        assert said in problems
    assert len(problems) == 7  # and the unknown key


def test_all_problems_of_a_reference_are_told() -> None:
    problems = problems_of(reference_model=[{"model": "r", "epochs": 1, "max_steps": 2, "stop": "setled", "layers": 0}])
    assert len(problems) == 3
    assert "reference_model.0: give epochs or max_steps, not both; received 1 and 2" in problems
    assert "reference_model.0.layers: received 0; it must be at least 1." in problems


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ["erm", "erm"]}, "methods: received a method twice (erm, erm); give each once"),
        ({"fraction": [0.3, 0.3]}, "fraction: received a fraction twice (0.3, 0.3); give each once"),
        ({"reference_model": [{"model": "r"}] * 2}, "reference_model: received the reference r twice; give each once"),
        ({"seeds": [True]}, "seeds: received True; it must be a number"),
        ({"epochs": True}, "epochs: received True; it must be a number"),
        ({"epochs": 10**7}, "epochs: received 10000000; it must be at most 1,000,000."),
        ({"epochs": None, "max_steps": 10**10}, "max_steps: received 10000000000; it must be at most 1,000,000,000."),
        ({"reference_model": {"model": "r", "epochs": 10**7}}, "it must be at most 1,000,000."),
        ({"main_model": {"model": "m", "layers": 10**5}}, "it must be at most 10,000."),
    ],
)
def test_what_is_wrong_is_said_once(changes: dict[str, Any], said: str) -> None:
    (problem,) = problems_of(**changes)
    assert said in problem


def test_references_that_differ_are_two() -> None:
    recipe = parse(Recipe, {**RECIPE, "reference_model": [{"model": "r"}, {"model": "r", "layers": 1}]}, what="It")
    assert len(recipe.reference_model) == 2


def test_an_endless_budget_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("suite: s\nmain_model: {model: m}\nmethods: [erm]\nepochs: .inf\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_recipe(path)
    (problem,) = caught.value.problems
    assert problem.startswith("epochs: received inf; it must be")


def test_a_path_that_cannot_be_one_is_told() -> None:
    with pytest.raises(InputError, match="path is an empty name"):
        read_recipe("")
    with pytest.raises(InputError, match=r"can't be read \(embedded null"):
        read_recipe("a\0b")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a0: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"a{n}: &{chr(97 + n)} [{', '.join([f'*{chr(96 + n)}'] * 9)}]\n" for n in range(1, 12)
        ), "a11: unknown key"),
        ("suite: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("seeds: [0x" + "f" * 6000 + "]", "received a number of 7,225 digits"),
        ('suite: "\\ud800"', "is half of a character"),
        ("# " + "x" * 1_000_001, "has more than 1,000,000 characters"),
        (f"seeds: {list(range(1001))}", "received 1,001 seeds; allowed are at most 1,000"),
    ],
)  # fmt: skip
def test_what_no_recipe_is_like_is_refused_in_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_recipe(path)
    assert said in "\n".join([caught.value.message, *caught.value.problems])
