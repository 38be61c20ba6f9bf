"""What pages share: the frame with its pickers, guards, cached reads, the map and what is selected on it.

Owns everything of the browser that is not one page's alone. Imports nothing that trains, and no SQL is here.
"""

from ftft_core.ui import reads
from ftft_core.ui.examples_table import draw_examples
from ftft_core.ui.frame import (
    START,
    Chosen,
    as_text,
    chosen,
    draw_frame,
    duration_words,
    guard,
    navigate,
    num_counted_epochs,
    show_error,
    theme,
    write_address,
)
from ftft_core.ui.map_controls import draw_controls
from ftft_core.ui.maps import Seen, draw_maps
from ftft_core.ui.panel import draw_panel

__all__ = [
    "START",
    "Chosen",
    "Seen",
    "as_text",
    "chosen",
    "draw_controls",
    "draw_examples",
    "draw_frame",
    "draw_maps",
    "draw_panel",
    "duration_words",
    "guard",
    "navigate",
    "num_counted_epochs",
    "reads",
    "show_error",
    "theme",
    "write_address",
]
