"""What pages share: the frame with its pickers, guards, cached reads, the map and what is selected on it.

Owns everything of the browser that is not one page's alone. Imports nothing that trains, and no SQL is here.
"""

from ftft_core.ui import reads
from ftft_core.ui.examples_table import draw_examples
from ftft_core.ui.frame import (
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
)
from ftft_core.ui.map_component import LegendClick, gesture_condition, show_map, window_in_view
from ftft_core.ui.panel import close_example, draw_panel, open_example, share_words
from ftft_core.ui.paper_table import comparison_table
from ftft_core.ui.planning import cost_words, fitting_methods, free_seeds
from ftft_core.ui.queue_list import draw_queue
from ftft_core.ui.selecting import Selection, clear_token, current_selection, draw_rules, keep_outline, toggle_label

__all__ = [
    "Chosen",
    "LegendClick",
    "Selection",
    "as_text",
    "chosen",
    "clear_token",
    "close_example",
    "comparison_table",
    "cost_words",
    "current_selection",
    "draw_examples",
    "draw_frame",
    "draw_panel",
    "draw_queue",
    "draw_rules",
    "duration_words",
    "fitting_methods",
    "free_seeds",
    "gesture_condition",
    "guard",
    "keep_outline",
    "navigate",
    "num_counted_epochs",
    "open_example",
    "reads",
    "share_words",
    "show_error",
    "show_map",
    "theme",
    "toggle_label",
    "window_in_view",
]
