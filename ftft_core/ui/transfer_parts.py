"""The parts of the transfer page: the matrices, the references, averages with what can be saved of them, the probe.

Owns what stands where; state is `transfer`'s, tables are `transfer_tables`'.
"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from ftft_core.errors import FTFTError
from ftft_core.figures.transfer_charts import agreement_figure, averages_figure
from ftft_core.ui import frame, transfer, transfer_tables
from ftft_core.ui.transfer import Asked
from ftft_core.workspace import TransferReport, Workspace

_BAR = {"displaylogo": False, "modeBarButtons": [["toImage"]]}


def draw_matrices(found: TransferReport, asked: Asked) -> None:
    """Draw how far all agree with all, by overlap and by rank correlation."""
    grid, names, main = found.grid, [each.name for each in found.candidates], [found.main.name]
    sizes = {each.name: len(each.runs) for each in found.candidates}
    if not asked.is_grouped:
        names = [run for each in found.candidates for run in each.runs]
        grid, main, sizes = found.run_grid, list(found.main.runs), {}
    left, right = st.columns([1.5, 1], gap="medium")
    for column, what, chance in ((left, "overlap", found.chance), (right, "correlation", 0.0)):
        figure = agreement_figure(
            grid, names, what, frame.theme(), chance=chance, ceiling=found.ceiling(what), main=main, sizes=sizes,
            with_names=what == "overlap",
        )  # fmt: skip
        column.plotly_chart(figure, config=_as_svg(f"transfer-{what}"), theme=None, key=f"transfer.matrix.{what}")
    framed = "Framed: the main model; two of its seeds are the ceiling." if len(found.main.runs) > 1 else ""
    seeds = " Cells are means over pairs of different seeds." if asked.is_grouped else ""
    starred = " \\* the same seed, which sees the examples in the same order and agrees more for it." * bool(
        grid["same_seed"].any()
    )
    st.caption(f"{frame.as_text(framed)}{seeds}{starred}")


def draw_references(found: TransferReport) -> None:
    """Draw what each reference costs and how near it comes, and the exports."""
    st.html('<div class="ftft-heading">References, cheapest first</div>')
    st.html(transfer_tables.references_table(found))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        csv = transfer_tables.report_csv(found)
        st.download_button("Export CSV", csv, f"transfer-{found.suite}.csv", "text/csv", on_click="ignore")
        st.caption("Figures are saved as SVG by the button at their top right.")
    for note in found.notes:
        if note not in found.advice.sentences:
            st.markdown(f":gray[{frame.as_text(note)}]")


def draw_reliability(found: TransferReport) -> None:
    """Draw how far a map can be trusted at all."""
    st.html('<div class="ftft-heading">How far a map can be trusted</div>')
    st.html(transfer_tables.reliability_table(found))
    st.caption(
        "Reliability: the rank correlation of two seeds; of an average of more, by Spearman\\-Brown. Reliable is not "
        "valid: seeds of a weak model may agree in the same mistake."
    )


def draw_scores(found: TransferReport) -> None:
    """Draw which score's maps transfer best."""
    st.html('<div class="ftft-heading">Which score transfers best</div>')
    st.html(transfer_tables.scores_table(found))
    few = transfer_tables.MAX_SCORE_COLUMNS
    left_out = f" The {few} cheapest references stand here." * (len(found.advice.references) > few)
    st.caption(
        "Rank correlation with the main model's runs, best first. Agreement says that a score can be carried over, not "
        f"that training on its end helps.{left_out}"
    )


def draw_averages(workspace: Workspace, found: TransferReport, asked: Asked) -> None:
    """Draw which averages come nearest to the main model, and save what one of them takes."""
    st.html('<div class="ftft-heading">Averages of maps, held against single runs of the main model</div>')
    if len(found.averages) < 2:
        st.markdown(":gray[Averages take a second run of some model.]")
        return
    left, right = st.columns([1.35, 1], gap="large")
    with left:
        st.html(transfer_tables.averages_table(found))
    with right:
        if found.averages["cost_share"].notna().any():
            figure = averages_figure(
                found.averages, frame.theme(), chance=found.chance, ceiling=found.ceiling("overlap")
            )
            st.plotly_chart(figure, config=_as_svg("averages"), theme=None, key="transfer.averages")
        else:
            st.markdown(":gray[The chart of overlap against cost needs the runs' costs.]")
    if found.averages["same_seed"].any():
        st.caption(
            "\\* held against runs of a seed that is in the average: they saw the examples in the same order and agree "
            "more for it, so these rows are not to be compared with the others."
        )
    _draw_saving(workspace, found, asked)


def draw_probe(workspace: Workspace, suite: str, found: TransferReport, asked: Asked, listed: pd.DataFrame) -> None:
    """Draw what a short probe of the main model says, or how to train one."""
    st.html('<div class="ftft-heading">Before you pay for a main run</div>')
    probes = workspace.possible_probes(suite)
    names = dict(zip(probes["run_id"], probes["name"], strict=True))
    probe = frame.page_address(transfer.PAGE).get("probe", "")
    if not names:
        st.markdown(
            ":gray[A probe trains the main model for a few per cent of its budget; what it is unsure of then is held "
            "against each reference's map. None is here yet; this trains one:]"
        )
        st.code(transfer.probe_command(found, listed), language=None)
        st.markdown(f":gray[{frame.as_text(workspace.probe_counts().words)}]")
        return
    probe = probe if probe in names else next(iter(names))
    transfer.draw_probe_picker(names, probe)
    try:
        said = transfer.probe_report(probe, asked)
    except FTFTError as failure:
        st.markdown(f":gray[{frame.as_text(failure.message)}]")
        return
    share = said.cost / found.main.cost if said.cost and found.main.cost else None
    price = "" if share is None else f"It cost {100 * share:.3g} % of a main run. "
    st.html(transfer_tables.verdict(said.estimate.sentences[0], [price + " ".join(said.estimate.sentences[1:])]))
    st.html(transfer_tables.estimates_table(said))
    st.markdown(f":gray[{frame.as_text(said.counts.words)}]")


def _draw_saving(workspace: Workspace, found: TransferReport, asked: Asked) -> None:
    savable = found.averages[~found.averages["kind"].isin(["main", "epochs"])]
    runs = dict(zip(savable["average"], savable["runs"], strict=True))
    if not runs:
        return
    row = st.form("transfer-save", border=False).container(horizontal=True, vertical_alignment="bottom", gap="small")
    with row:
        chosen = st.selectbox("Select from the average of", list(runs), key="transfer.average", width=260)
        name = st.text_input("Name of the subset", key="transfer.name", placeholder="made from the runs", width=190)
        is_wanted = st.form_submit_button(f"Save {transfer.set_words(asked.score, asked.fraction)} as subset")
    if is_wanted and chosen is not None:
        try:
            saved = transfer.save_average(workspace, list(runs[chosen]), asked, name.strip() or None)
        except FTFTError as failure:
            frame.show_error(failure)
            return
        st.session_state["transfer.saved"] = saved.subset
    saved_id = st.session_state.get("transfer.saved")
    if saved_id is None:
        return
    try:
        record = workspace.subset(saved_id)
    except FTFTError:  # removed meanwhile
        del st.session_state["transfer.saved"]
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"Saved {record.size:,} examples as **{frame.as_text(record.name)}**.")
        query = {"suite": record.suite, "run": str(record.source_run), "colour": f"subset:{record.subset}"}
        st.page_link("pages/data_map.py", label="Show on the map", icon=":material/scatter_plot:", query_params=query)
        st.page_link("pages/subsets.py", label="Subsets", icon=":material/arrow_forward:")


def _as_svg(name: str) -> dict[str, object]:
    return {**_BAR, "toImageButtonOptions": {"format": "svg", "filename": name}}
