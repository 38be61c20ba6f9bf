"""Conditions: what can be asked of an example, as values that survive JSON.

Each joins what stands before it (`join`), may be turned round (`negated`), and names what it looks at by id: another
run's map by the run's id, subsets by theirs. Which examples a condition takes is in `masks`, how it is worded in
`words`.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator

from ftft_core.config import Config
from ftft_core.errors import InputError
from ftft_core.selection.patterns import MAX_PATTERN_CHARACTERS
from ftft_core.selection.regions import MAX_POINTS
from ftft_core.selection.strategies import strategy_named

Point = tuple[float, float]

FARTHEST = 1e9
"""What is drawn beyond this has lost its shape."""

TEXT_COLUMNS = ("text", "text_pair")
"""Columns that are searched where the texts are, and never part of a map."""


class _Joined(Config):
    """What all conditions have."""

    join: Literal["and", "or"] = "and"
    """How it joins all that stands before it, strictly from left to right; the first one's does not matter."""

    negated: bool = False
    """Take every example of the map that it would not take."""


class _Mapped(_Joined):
    """What conditions on scores have."""

    run: str | None = None
    """Id of another run of the suite, on whose map it is asked; the recipe's own when null. Examples that the other
    run lacks are not taken (by a negated condition, they are)."""


class PolygonCondition(_Mapped):
    """Inside a polygon drawn on two scores, or on its line; see `polygon_mask` for the rule."""

    kind: Literal["polygon"] = "polygon"
    """Which condition this is."""

    x: str
    """Score on the horizontal axis."""

    y: str
    """Score on the vertical axis."""

    points: tuple[Point, ...]
    """Corners, in the scores' own units."""

    @field_validator("points")
    @classmethod
    def _drawable(cls, points: tuple[Point, ...]) -> tuple[Point, ...]:
        if any(abs(coordinate) > FARTHEST for point in points for coordinate in point):
            raise ValueError(f"a corner lies beyond {FARTHEST:g}, where no score is; draw it nearer.")
        if not 3 <= len(points) <= MAX_POINTS:
            raise ValueError(f"a polygon needs 3 to {MAX_POINTS:,} corners; received {len(points):,}.")
        return points


class BoxCondition(_Mapped):
    """Inside a box drawn on two scores, its edge included."""

    kind: Literal["box"] = "box"
    """Which condition this is."""

    x: str
    """Score on the horizontal axis."""

    y: str
    """Score on the vertical axis."""

    x_range: Point
    """Its two ends on the horizontal axis."""

    y_range: Point
    """Its two ends on the vertical axis."""


class ThresholdCondition(_Mapped):
    """A score between two bounds, both included."""

    kind: Literal["threshold"] = "threshold"
    """Which condition this is."""

    score: str
    """The score."""

    low: float | None = None
    """Smallest value; unbounded when null."""

    high: float | None = None
    """Largest value; unbounded when null."""


class LabelCondition(_Joined):
    """A gold label, predicted label or group out of a list."""

    kind: Literal["labels"] = "labels"
    """Which condition this is."""

    labels: tuple[str, ...] = Field(min_length=1)
    """The labels (or groups) that are taken."""

    column: Literal["label", "predicted_label", "group"] = "label"
    """Which of them is looked at."""


class WhereCondition(_Mapped):
    """A filter as a person types it."""

    kind: Literal["where"] = "where"
    """Which condition this is."""

    expression: str = Field(min_length=1)
    """Such as `confidence < 0.4 and label == "hate"`."""


class TextCondition(_Joined):
    """A text that contains something or matches a regular expression; case is ignored."""

    kind: Literal["text"] = "text"
    """Which condition this is."""

    pattern: str = Field(min_length=1)
    """What is looked for; each character stands for itself unless `regex`."""

    regex: bool = False
    """Whether the pattern is a regular expression (RE2, which no pattern can make run away)."""

    column: Literal["either", "text", "text_pair"] = "either"
    """Which text of a pair is searched."""

    @field_validator("pattern")
    @classmethod
    def _short_enough(cls, pattern: str) -> str:
        if len(pattern) > MAX_PATTERN_CHARACTERS:
            raise ValueError(
                f"the pattern has {len(pattern):,} characters; at most {MAX_PATTERN_CHARACTERS:,} are allowed."
            )
        return pattern


class TopCondition(_Mapped):
    """The share of all examples of the map that a strategy takes."""

    kind: Literal["top"] = "top"
    """Which condition this is."""

    strategy: str
    """A named strategy, or `top:SCORE` and its like."""

    fraction: float = Field(gt=0, le=1)
    """Share of all examples of the map, whatever other conditions leave."""

    balance: Literal["class"] | None = None
    """`class` takes the same share from each label."""

    seed: int = Field(default=0, ge=0)
    """Seed of the strategies that draw."""

    @field_validator("strategy")
    @classmethod
    def _known(cls, strategy: str) -> str:
        return checked_strategy(strategy)


class IdsCondition(_Joined):
    """A list made by hand."""

    kind: Literal["ids"] = "ids"
    """Which condition this is."""

    example_ids: tuple[str, ...] = Field(min_length=1)
    """The examples that are taken."""


class SetCondition(_Joined):
    """Set algebra over saved subsets."""

    kind: Literal["set"] = "set"
    """Which condition this is."""

    expression: str = Field(min_length=1)
    """Such as `A & B - C`, over the names in `operands`."""

    operands: dict[str, str]
    """Name in the expression -> id of the subset."""


class TaggedCondition(_Joined):
    """A tag that stands on the example."""

    kind: Literal["tagged"] = "tagged"
    """Which condition this is."""

    tag: str = Field(min_length=1)
    """Name of the tag."""


class ExcludedCondition(_Joined):
    """Excluded from training by a mark."""

    kind: Literal["excluded"] = "excluded"
    """Which condition this is."""


Condition = Annotated[
    PolygonCondition
    | BoxCondition
    | ThresholdCondition
    | LabelCondition
    | WhereCondition
    | TextCondition
    | TopCondition
    | IdsCondition
    | SetCondition
    | TaggedCondition
    | ExcludedCondition,
    Field(discriminator="kind"),
]

CONDITION_KINDS: tuple[str, ...] = tuple(
    model.model_fields["kind"].default for model in get_args(get_args(Condition)[0])
)
"""All kinds of conditions."""


def checked_strategy(strategy: str) -> str:
    """Give the name of a strategy back.

    :raises ValueError: if there is none of that name, as pydantic wants it.
    """
    try:
        strategy_named(strategy)
    except InputError as failure:
        raise ValueError(failure.message) from None
    return strategy
