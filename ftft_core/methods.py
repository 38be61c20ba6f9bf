"""The methods that are compared: which data, which reference and which budget each of them takes.

A line in `METHODS` makes a method that trains on a selection. One with a loss of its own is a line here and a function
in `objectives`; one that needs to know what its reference learnt of each example also a function in
`workspace.guides`; one with an order of its own also a function in `training.orders`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Method:
    """What a run of the method is given."""

    words: str
    """What it does, in one line."""

    strategy: str | None = None
    """The selection that it trains on; all examples when None."""

    source: Literal["cheaper", "own"] | None = None
    """Whose dynamics it uses: those of a `cheaper` reference model, or of its `own` plain run with the same seed."""

    budget: Literal["full", "early", "matched", "reference"] = "full"
    """The full budget B, the share of it after which ftft stops, what ftft cost in all, or a reference's own."""


METHODS = {
    "erm": Method("plain fine-tuning on all data, with the full budget"),
    "erm_matched": Method(
        "plain fine-tuning on all data, for the same total cost as ftft with its reference", budget="matched"
    ),
    "reference": Method("a run made only for its dynamics", budget="reference"),
    "cartography": Method(
        "the ambiguous examples of the main model's own erm run, with the full budget", "ambiguous", "own"
    ),
    "ftft": Method(
        "the ambiguous examples of a cheaper reference model, stopped early", "ambiguous", "cheaper", "early"
    ),
    "random": Method("a random subset of the same size as ftft's, stopped as early", "random", None, "early"),
    "hard": Method("the hard-to-learn examples of a reference model, stopped early", "hard", "cheaper", "early"),
    "easy": Method("the easy-to-learn examples of a reference model, stopped early", "easy", "cheaper", "early"),
    "forgetting": Method(
        "the most forgotten examples of a reference model, stopped early", "forgetting", "cheaper", "early"
    ),
    "el2n": Method(
        "the examples of largest error norm of a reference model, stopped early", "el2n", "cheaper", "early"
    ),
    "aum": Method("the examples of smallest margin of a reference model, stopped early", "aum", "cheaper", "early"),
    "jtt": Method(
        "all data, with more weight on what a reference model got wrong after its first epoch, with the full budget",
        source="cheaper",
    ),
    "poe": Method(
        "all data, the loss being that of a product of experts with a reference model, with the full budget",
        source="cheaper",
    ),
    "focal": Method("all data, with the focal loss, which counts hard examples for more, with the full budget"),
    "curriculum": Method(
        "all data, the examples that were easy for a reference model first, with the full budget", source="cheaper"
    ),
}
"""Every method, in the order in which a comparison shows them."""

REFERENCE_METHODS = frozenset(name for name, method in METHODS.items() if method.source is not None)
"""Methods that use another run's dynamics, whose cost is then added."""

GUIDED_METHODS = frozenset(name for name in REFERENCE_METHODS if METHODS[name].strategy is None)
"""Methods that use them for more than to choose a subset: the run is given a guide."""
