"""The data map as it is drawn: places and colours of a bounded number of points.

Owns nothing but their sum; which examples are selected is sent beside it, so that a new selection makes no new
figure, and no text of an example is in it. The browser draws it (`ui/map_*.js`), and makes a Plotly figure of it when
one is saved.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd

from ftft_core.figures.map_colours import MapColours, map_colours
from ftft_core.figures.map_places import MapPlaces, map_places
from ftft_core.figures.sampling import Window


@dataclass(frozen=True)
class DrawnMap:
    """A map ready to be sent: made once for a view, sent once."""

    places: MapPlaces
    colours: MapColours

    @property
    def num_bytes(self) -> int:
        """Bytes that the browser fetches."""
        return len(self.places.content) + len(self.colours.content)


def data_map_figure(
    data_map: pd.DataFrame,
    *,
    x: str = "variability",
    y: str = "confidence",
    colour: str | pd.Series = "correctness",
    labels: Sequence[str] = (),
    quiet: Collection[str] = (),
    num_epochs: int | None = None,
    window: Window | None = None,
    like: DrawnMap | None = None,
) -> DrawnMap:
    """Make places and colours at once; parameters as of `map_places` and `map_colours`."""
    places = map_places(
        data_map, x=x, y=y, num_epochs=num_epochs, window=window, like=None if like is None else like.places
    )
    colours = map_colours(
        data_map, places, colour, labels=labels, quiet=quiet, like=None if like is None else like.colours
    )
    return DrawnMap(places, colours)
