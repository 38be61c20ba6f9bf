"""What a person looks at and has chosen on the data map, with undo and redo, and its form in the address bar.

Owns the state behind the page: axes, colour, epochs, the run beside it, and the choice of examples of each run. Widgets
show it and change it through callbacks; they are never the truth themselves, so that a link, Back and Undo all set the
same thing. Which examples a choice takes is `selection`'s.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from pydantic import Field, model_validator

from ftft_core.cartography import SCORES
from ftft_core.config import Config, parse
from ftft_core.errors import FTFTError, InputError, unknown
from ftft_core.selection import Condition, IdsCondition, Recipe

STATE = "ftft.map"
MAX_UNDO = 100
MAX_CONDITIONS = 100
MAX_LINK = 16_000
"""Characters of a choice in an address; browsers and proxies cut longer addresses."""

MAX_UNPACKED = 1_000_000
"""Bytes that a choice in an address may unpack to."""

NO_RUN = ""
"""No second map."""

COLUMN_COLOURS = ("label", "predicted_label", "group")
TAG_COLOUR = "tag"
SUBSET_COLOUR = "subset:"
"""Begins a colour that shows membership in a subset; its id follows."""


class Choice(Config):
    """Which examples are chosen: a recipe without its run, and it may be empty."""

    conditions: tuple[Condition, ...] = Field(default=(), max_length=MAX_CONDITIONS)
    """Evaluated from left to right."""

    strategy: str | None = None
    """Takes a share of what the conditions leave; all of it when null."""

    fraction: float | None = Field(default=None, gt=0, le=1)
    """That share."""

    balance: bool = False
    """Take the same share of each label."""

    seed: int = Field(default=0, ge=0)
    """Of strategies that draw."""

    @model_validator(mode="after")
    def _whole(self) -> Choice:
        if (self.strategy is None) != (self.fraction is None):
            raise ValueError("strategy and fraction go together; received one without the other.")
        return self

    @property
    def is_empty(self) -> bool:
        """Whether nothing is chosen."""
        return not self.conditions and self.strategy is None

    def recipe(self, run_id: str, epochs: int | None) -> Recipe:
        """Return the recipe that takes these examples of a run's map.

        :raises InputError: if the choice is none, such as a strategy that is not known.
        """
        values = self.model_dump(exclude={"balance"}, exclude_none=True)
        values |= {"source_run": run_id, "epochs": epochs, "balance": "class" if self.balance else None}
        return parse(Recipe, values, what="The selection")

    def added(self, condition: Condition, *, join: str = "and", negated: bool = False) -> Choice:
        """Return the choice with one more condition at its end."""
        return self.with_conditions((*self.conditions, condition.model_copy(update={"join": join, "negated": negated})))

    def with_conditions(self, conditions: tuple[Condition, ...]) -> Choice:
        """Return the choice with other conditions."""
        return self.model_copy(update={"conditions": conditions})


@dataclass
class History:
    """What was chosen on one run's map before, and what an undo took back."""

    now: Choice = field(default_factory=Choice)
    past: list[Choice] = field(default_factory=list)
    future: list[Choice] = field(default_factory=list)
    step: str | None = None
    """What made the newest change; a slider that is dragged on makes one step, not twenty."""


@dataclass
class MapState:
    """The state of one browser tab."""

    x: str = "variability"
    y: str = "confidence"
    colour: str = "correctness"
    beside: str = NO_RUN
    """Id of the run whose map is shown beside."""
    example: str | None = None
    """Id of the example whose detail is open."""
    epochs: dict[str, int] = field(default_factory=dict)
    """Run id -> epochs counted; all of them where it is not named."""
    histories: dict[str, History] = field(default_factory=dict)
    """Run id -> what is and was chosen."""


def state() -> MapState:
    """Return this tab's state."""
    found = st.session_state.setdefault(STATE, MapState())
    assert isinstance(found, MapState)
    return found


def history(run_id: str) -> History:
    """Return what is and was chosen on a run's map."""
    return state().histories.setdefault(run_id, History())


def choose(run_id: str, choice: Choice, *, step: str | None = None) -> None:
    """Choose other examples.

    :param step: name of a gesture that makes many changes; changes of one such gesture are undone together.
    """
    kept = history(run_id)
    if choice == kept.now:
        return
    if step is None or step != kept.step:
        kept.past = [*kept.past, kept.now][-MAX_UNDO:]
    kept.now, kept.future, kept.step = choice, [], step


def undo(run_id: str) -> None:
    """Take the last change of the choice back."""
    kept = history(run_id)
    if kept.past:
        kept.future.append(kept.now)
        kept.now, kept.step = kept.past.pop(), None


def redo(run_id: str) -> None:
    """Make the change that was taken back last once more."""
    kept = history(run_id)
    if kept.future:
        kept.past.append(kept.now)
        kept.now, kept.step = kept.future.pop(), None


def as_address(run_id: str) -> dict[str, str]:
    """Return the part of the address that reproduces the map of a run; what is as it always is, is left out."""
    now, usual = state(), MapState()
    said = {name: getattr(now, name) for name in ("x", "y", "colour", "beside", "example")}
    address = {name: value for name, value in said.items() if value != getattr(usual, name)}
    if run_id in now.epochs:
        address["epochs"] = str(now.epochs[run_id])
    choice = history(run_id).now
    if not choice.is_empty and fits_address(choice):
        address["choice"] = pack(choice)
    return address


def fits_address(choice: Choice) -> bool:
    """Return whether an address can hold a choice; a list of thousands of examples is too long."""
    num_listed = sum(len(item.example_ids) for item in choice.conditions if isinstance(item, IdsCondition))
    return num_listed < MAX_LINK and len(pack(choice)) <= MAX_LINK


def take_address(run_id: str, address: Mapping[str, str], *, runs: Mapping[str, str]) -> list[str]:
    """Take what an address says of the map of a run; give a sentence for all that it can't say.

    :param runs: id -> name of the runs that can be shown beside.
    """
    now, problems = state(), _take_look(address)
    beside = address.get("beside", NO_RUN)
    beside = next((each for each, name in runs.items() if name == beside), beside)
    now.beside = beside if beside in runs else NO_RUN
    if beside not in (NO_RUN, *runs):
        problems.append(f"The link shows run '{beside}' beside, which is not in this suite; it may have been removed.")
    now.example = address.get("example")  # whether it is there, the map knows
    epochs, choice = _of_the_run(address, problems)
    now.epochs.pop(run_id, None)
    if epochs is not None:
        now.epochs[run_id] = epochs
    choose(run_id, choice)
    return problems


def take_without_run(address: Mapping[str, str]) -> list[str]:
    """Take what an address says of any map, where its own run is not there; give a sentence for all else that it says.

    What is of that run alone, such as what is selected, is checked and left.
    """
    problems = _take_look(address)
    epochs, choice = _of_the_run(address, problems)
    if epochs is not None or not choice.is_empty or {"beside", "example"} & address.keys():
        problems.append("What else the link shows is of that run, and is left out.")
    return problems


def _take_look(address: Mapping[str, str]) -> list[str]:
    """Take axes and colour; give a sentence for each that can't be."""
    now, problems = state(), []
    for name in ("x", "y"):
        said = address.get(name, getattr(MapState(), name))
        if said in SCORES:
            setattr(now, name, said)
        else:
            problems.append(f"The link's {name}: " + unknown("score", said, SCORES))
    colour = address.get("colour", MapState().colour)
    if colour in SCORES or colour in (*COLUMN_COLOURS, TAG_COLOUR) or colour.startswith(SUBSET_COLOUR):
        now.colour = colour
    else:
        problems.append("The link's colour: " + unknown("colour", colour, [*SCORES, *COLUMN_COLOURS, TAG_COLOUR]))
    return problems


def _of_the_run(address: Mapping[str, str], problems: list[str]) -> tuple[int | None, Choice]:
    """Read the epochs and the choice that an address says; what can't be read becomes a problem."""
    epochs = None
    if said := address.get("epochs"):
        if said.isascii() and said.isdigit() and int(said[:9]) > 0:
            epochs = int(said[:9])
        else:
            problems.append(f"The link's epochs: received '{said[:40]}'; it must be a whole number from 1.")
    choice = Choice()
    if packed := address.get("choice"):
        try:
            choice = unpack(packed)
        except FTFTError as failure:
            problems.append(" ".join([failure.message, *failure.problems]))
    return epochs, choice


def pack(choice: Choice) -> str:
    """Write a choice in letters that an address may hold."""
    values = choice.model_dump(mode="json", exclude_defaults=True)
    if choice.conditions:  # what tells conditions apart is a default of each
        values["conditions"] = [
            {"kind": condition.kind, **said}
            for condition, said in zip(choice.conditions, values["conditions"], strict=True)
        ]
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")


def unpack(packed: str) -> Choice:
    """Read a choice from an address.

    :raises InputError: if it is none.
    """
    if len(packed) > MAX_LINK:
        raise InputError(f"The link's selection has {len(packed):,} characters; at most {MAX_LINK:,} can be read.")
    try:
        raw = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars="-_", validate=True)
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(raw, MAX_UNPACKED)
        if not unpacking.eof:
            raise ValueError("cut")
        values: Any = json.loads(text)
    except (binascii.Error, ValueError, zlib.error, RecursionError):
        raise InputError(
            "The link's selection can't be read; it was cut or changed on its way. Ask for the whole link."
        ) from None
    if not isinstance(values, dict):
        raise InputError("The link's selection can't be read; it holds something else.")
    try:
        return parse(Choice, values, what="The link's selection")
    except InputError as failure:
        raise InputError(failure.message, [_PLACE.sub(_place_words, problem) for problem in failure.problems]) from None


_PLACE = re.compile(r"^conditions\.(\d+)(?:\.(\w+))?(?:\.points\.(\d+)(?:\.\d+)?)?(?:\.[\w.]+)?:")


def _place_words(place: re.Match[str]) -> str:
    """Say where in a choice a problem lies: which condition, and which corner of what is drawn."""
    number, kind, corner = place.groups()
    words = f"Condition {int(number) + 1}" + (f" ({kind})" if kind else "")
    return words + (f", corner {int(corner) + 1}:" if corner else ":")
