"""What the comparison page shows, kept in the address: score, baseline, curves, the two pinned methods and their split.

Owns the page's state and the widgets that change it. The address is the truth, widgets only show it, so that a link,
Back and a widget all set the same thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from ftft_core.ui import frame

PAGE = "compare"
PINS = ("first", "second", "split", "outcome", "rule")
"""Parts of the address that only fit one suite."""

_SUITE = "compare.suite"


def forget_other_suite(suite: str) -> None:
    """Drop what was pinned on another suite that was looked at before."""
    before = st.session_state.get(_SUITE)
    st.session_state[_SUITE] = suite
    if before is not None and before != suite:
        for name in (*PINS, "baseline"):
            frame.page_address(PAGE).pop(name, None)


def asked(name: str, options: Mapping[str, str], default: str, problems: list[str]) -> str:
    """Read one part of the address; what is not among the options becomes a sentence in `problems`, and the default."""
    address = frame.page_address(PAGE)
    said = address.get(name, default)
    if said in options:
        return said
    if name in address:
        known = ", ".join(list(options)[:12])
        problems.append(f"The link's {name}: received '{said[:80]}'; there is {known or 'nothing to choose from'}.")
        del address[name]
    return default


def tell(problems: list[str]) -> None:
    """Draw what the address asks for and cannot have; words from a link are words, not Markdown."""
    for problem in problems:
        st.warning(frame.as_text(problem), icon=":material/link_off:")


def pick(
    label: str,
    name: str,
    options: Mapping[str, str],
    shown: str,
    default: str,
    *,
    draw: Callable[..., Any] = st.selectbox,
    **layout: Any,
) -> None:
    """Draw the widget that changes one part of the address.

    :param options: value -> what is shown; :param shown: the value now; :param default: is left out of the address.
    """
    key = f"compare.{name}"
    if st.session_state.get(key) != shown:
        st.session_state[key] = shown

    def keep() -> None:
        value = st.session_state[key]
        address = frame.page_address(PAGE)
        if value is None or value == default:  # a pressed segment that is pressed again is none
            address.pop(name, None)
        else:
            address[name] = value
        frame.write_address()  # a part of the page may run alone

    draw(label, list(options), key=key, format_func=lambda value: options[value], on_change=keep, **layout)
