"""Tables and numbers as the documents write them."""

from __future__ import annotations

import math
from collections.abc import Sequence

MISSING = "–"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table of Markdown; the first column holds words."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|---|" + "---:|" * (len(head) - 1), *lines[1:]])


def number(value: float | None, digits: int, scale: float = 1.0) -> str:
    """Write a number with a typographic minus; a dash where there is none."""
    return MISSING if value is None or math.isnan(value) else f"{scale * value:.{digits}f}".replace("-", "−")
