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
.ftft-warn { border-left: 3px solid currentColor; padding-left: 0.7rem; }
.ftft-doubt { max-height: 48px; line-height: 24px; overflow: auto; }
.ftft-map-name { height: 20px; line-height: 20px; }
.ftft-count { font-size: 1.5rem; font-weight: 600; line-height: 1.2; }
.ftft-heading { font-weight: 600; margin-top: 0.2rem; }
.ftft-detail { border: 1px solid var(--ftft-line); border-radius: 4px; padding: 0.6rem 0.75rem; max-height: 11rem;
  overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
.ftft-detail + .ftft-detail { margin-top: 0.4rem; }
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
.st-key-chips button, .st-key-chip_tools button { min-height: 1.8rem; padding-top: 0; padding-bottom: 0; }
.st-key-panel_head, .st-key-last_action, .st-key-just_saved { flex-wrap: nowrap; }
[data-testid="stLayoutWrapper"]:has(> .st-key-last_action, > .st-key-just_saved) { flex: 0 0 1.75rem !important;
  height: 1.75rem !important; }
.st-key-last_action button, .st-key-just_saved button { height: 1.75rem; min-height: 0; padding-top: 0;
  padding-bottom: 0; white-space: nowrap; }
.st-key-panel_body, .st-key-detail { padding: 0; }
[data-testid="stLayoutWrapper"]:has(> .st-key-panel_body) { flex-basis: clamp(210px, 100vh - 470px, 372px) !important;
  height: clamp(210px, 100vh - 470px, 372px) !important; }
.st-key-panel_body { height: 100% !important; }
[data-testid="stLayoutWrapper"]:has(> .st-key-detail) { flex-basis: clamp(480px, 100vh - 130px, 700px) !important;
  height: clamp(480px, 100vh - 130px, 700px) !important; }
.st-key-detail { height: 100% !important; }
:is(.st-key-chips, .st-key-panel_body, .st-key-detail, .ftft-detail, .ftft-note) {
  background: linear-gradient(var(--ftft-background) 40%, transparent) top / 100% 22px no-repeat local,
    linear-gradient(transparent, var(--ftft-background) 60%) bottom / 100% 22px no-repeat local,
    linear-gradient(var(--ftft-shadow), transparent) top / 100% 12px no-repeat scroll,
    linear-gradient(transparent, var(--ftft-shadow)) bottom / 100% 12px no-repeat scroll; }
.ftft-small.ftft-facts :is(td, th):nth-child(3n + 1) { text-align: left; color: var(--ftft-muted); }
.ftft-small.ftft-facts :is(td, th):nth-child(4) { padding-left: 1.2rem; }
[data-testid="stBaseButton-segmented_controlActive"] :is(p, span) { color: var(--ftft-accent); }
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
    "light": "--ftft-line: #dde1e6; --ftft-muted: #656c76; --ftft-accent: #1f5fbf; --ftft-background: #ffffff; "
    "--ftft-shadow: rgb(30 40 60 / 17%);",
    "dark": "--ftft-line: #2c333c; --ftft-muted: #9aa3ae; --ftft-accent: #6ea8fe; --ftft-background: #111418; "
    "--ftft-shadow: rgb(150 165 190 / 26%);",
}


def apply_style(theme_name: str) -> None:
    """Put the rules on the page."""
    st.html(f"<style>:root {{ {COLOURS[theme_name]} }}\n{CSS}</style>")
