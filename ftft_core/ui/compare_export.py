"""Taking a comparison away: its table as CSV, Markdown and LaTeX, and every run's score as CSV.

Owns the buttons; what the files hold is `comparison.tables`'. Figures are saved by the button at their corner.
"""

from __future__ import annotations

import streamlit as st

from ftft_core.workspace import ComparisonReport


def draw_export(report: ComparisonReport, metric: str) -> None:
    """Draw the buttons that download the comparison."""
    files = {
        "CSV": ("comparison.csv", "text/csv", report.as_csv()),
        "Markdown": ("comparison.md", "text/markdown", report.as_markdown_file([metric])),
        "LaTeX": ("comparison.tex", "text/x-tex", report.as_latex_file([metric])),
        "every seed": ("comparison-seeds.csv", "text/csv", seeds_csv(report)),
    }
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.html('<span class="ftft-quiet">Export</span>', width="content")
        for name, (file, mime, content) in files.items():
            st.download_button(name, content, file, mime, on_click="ignore", key=f"compare.export.{name}")
        st.html('<span class="ftft-quiet">Figures: the camera at their corner, as SVG.</span>', width="content")


def seeds_csv(report: ComparisonReport) -> str:
    """Return one row for every score of every run: the numbers that all means are of."""
    names = {column.id: column.name for column in report.columns}
    seeds = report.comparison.seeds
    frame = seeds.assign(method=seeds["column"].map(names), run=seeds["run_id"].map(report.compared.names))
    return str(frame[["method", "run", "run_id", "seed", "split", "role", "metric", "value"]].to_csv(index=False))
