"""The few rules of style that Streamlit's themes do not reach, the same for every page.

Owns spacing, tabular figures and the look of the tables that pages draw themselves; colours come from the theme.
"""

from __future__ import annotations

import streamlit as st

CSS = """
.stApp { font-variant-numeric: tabular-nums; }
.stMainBlockContainer { max-width: 1400px; margin: 0 auto; padding: 4.1rem 1.75rem 2rem; }
.stMainBlockContainer .stVerticalBlock { gap: 0.7rem; }
.stVerticalBlock.st-key-frame, .st-key-frame .stVerticalBlock { gap: 0; }
.st-key-frame { border-bottom: 1px solid var(--ftft-line); padding-bottom: 0.55rem; }
.st-key-panel .stVerticalBlock, .st-key-panel { gap: 0.45rem !important; }
[data-testid="stToolbar"] { max-width: 1400px; margin: 0 auto; padding-left: 0.4rem; }
.st-key-queue { width: auto !important; flex: 0 0 auto !important; }
.st-key-queue > * { width: auto !important; }
.ftft-quiet { color: var(--ftft-muted); }
.ftft-name { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.ftft-count { font-size: 1.5rem; font-weight: 600; line-height: 1.2; }
.ftft-heading { font-weight: 600; margin-top: 0.2rem; }
.ftft-detail { border: 1px solid var(--ftft-line); border-radius: 4px; padding: 0.6rem 0.75rem; max-height: 11rem;
  overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
.ftft-facts { margin: 0.2rem 0; padding: 0 !important; display: grid;
  grid-template-columns: auto 1fr auto 1fr; gap: 0.1rem 0.9rem; }
.ftft-line { display: flex; flex-wrap: wrap; gap: 0.1rem 1rem; }
.ftft-note { border-left: 2px solid var(--ftft-line); padding-left: 0.6rem; white-space: pre-wrap;
  overflow-wrap: anywhere; max-height: 8rem; overflow: auto; }
.ftft-sentences { margin: 0; padding-left: 1.1rem; }
.ftft-wide { overflow-x: auto; }
.ftft-small { border-collapse: collapse; width: 100%; font-size: 0.92em; }
.ftft-small th { font-weight: 400; color: var(--ftft-muted); }
.ftft-small th, .ftft-small td { text-align: right; padding: 0.1rem 0.4rem; border: none; white-space: nowrap; }
.ftft-small th:first-child, .ftft-small td:first-child { text-align: left; padding-left: 0; }
.st-key-chips { align-content: flex-start; }
.st-key-chips button { min-height: 1.8rem; padding-top: 0; padding-bottom: 0; }
.st-key-panel_body, .st-key-detail { padding: 0; }
.ftft-facts dt { margin: 0; padding: 0; font-weight: 400; color: var(--ftft-muted); }
.ftft-facts dd { margin: 0; text-align: right; }
.st-key-examples [data-testid="stElementToolbar"] { display: none; }
.ftft-paper { width: 100%; overflow-x: auto; }
.ftft-paper table { border-collapse: collapse; width: 100%; border-top: 1.5px solid currentColor;
  border-bottom: 1.5px solid currentColor; }
.ftft-paper th, .ftft-paper td { padding: 0.3rem 0.6rem; text-align: right; vertical-align: top; border: none; }
.ftft-paper th:first-child, .ftft-paper td:first-child { text-align: left; padding-left: 0; }
.ftft-paper thead th { font-weight: 600; border-bottom: 1px solid var(--ftft-line); }
.ftft-paper .section td { color: var(--ftft-muted); padding-top: 0.7rem; font-size: 0.92em; }
.ftft-paper .average td { border-top: 1px solid var(--ftft-line); font-weight: 600; }
.ftft-paper small { color: var(--ftft-muted); font-weight: 400; font-size: 0.85em; }
.ftft-paper .delta { display: block; color: var(--ftft-muted); font-weight: 400; font-size: 0.88em; }
.ftft-paper .delta.marked { color: var(--ftft-accent); font-weight: 600; }
"""

COLOURS = {
    "light": "--ftft-line: #dde1e6; --ftft-muted: #656c76; --ftft-accent: #1f5fbf;",
    "dark": "--ftft-line: #2c333c; --ftft-muted: #9aa3ae; --ftft-accent: #6ea8fe;",
}


def apply_style(theme_name: str) -> None:
    """Put the rules on the page."""
    st.html(f"<style>:root {{ {COLOURS[theme_name]} }}\n{CSS}</style>")
