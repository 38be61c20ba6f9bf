"""Adding a suite and removing one: the form, the sample, and the question before what can't be undone.

Owns how they are drawn; what is done is `suite_actions`'.
"""

from __future__ import annotations

import streamlit as st

from ftft_core.errors import FTFTError
from ftft_core.ui import reads
from ftft_core.ui import suite_actions as actions
from ftft_core.ui.frame import as_text, show_error
from ftft_core.ui.suite_markup import sentences

FILE, WRITTEN = "A file on the server", "Written here"
SAMPLE = "sample"

EXAMPLE = """\
text: [premise, hypothesis]        # one column or two
label: label
train: train.csv                   # CSV, TSV, JSON lines, Parquet, a glob
dev: {from: train, fraction: 0.1, seed: 0}
in_distribution: {matched: matched.csv}
out_of_distribution: {hans: hans.tsv}
"""
NEEDED = (
    "A suite is training data, a dev split, and test splits in and out of distribution that share its labels. A short "
    "specification names their files, which lie on the machine of this server, and the columns of text and label."
)


def draw_empty() -> None:
    """Draw what stands where there is no suite yet: the form, and the sample."""
    st.subheader("No suite yet", anchor=False)
    st.markdown(f":gray[{NEEDED}]")
    left, right = st.columns([2, 1], gap="medium")
    with left, st.container(border=True):
        st.markdown("**Add your own**")
        _draw_form()
    with right, st.container(border=True):
        _draw_sample()


def draw_dialogs(suites: list[str], num_examples: int) -> None:
    """Draw the open form or question, if there is one."""
    kept = actions.state()
    if kept.is_adding:
        st.dialog("Add a suite", width="large", on_dismiss=actions.stop)(lambda: _draw_adding(suites))()
    elif kept.removing in suites:
        name = str(kept.removing)
        title = f"Remove suite {as_text(name)}"
        st.dialog(title, on_dismiss=actions.stop)(lambda: _draw_removing(name, num_examples))()
    else:
        kept.removing = None


def _draw_adding(suites: list[str]) -> None:
    st.markdown(f":gray[{NEEDED}]")
    _draw_form()
    if SAMPLE not in suites:
        with st.container(border=True):
            _draw_sample()


def _draw_form() -> None:
    """Draw the form; what is wrong stands at the field that it is about."""
    problems = actions.state().problems
    kind = st.segmented_control("Its specification is", [FILE, WRITTEN], default=FILE, required=True,
                                key="suites.add.kind")  # fmt: skip
    folder = None
    with st.form("suites.add", border=False, enter_to_submit=kind == FILE):
        name = st.text_input("Name", key="suites.add.name", max_chars=200, placeholder="such as nli")
        places = {"name": st.container()}
        if kind == FILE:
            spec = st.text_input("Path of the spec", key="suites.add.path", placeholder="such as ~/data/nli/spec.yaml")
        else:
            folder = st.text_input("Folder that its paths are relative to", key="suites.add.folder",
                                   placeholder="such as ~/data/nli")  # fmt: skip
            places["folder"] = st.container()
            spec = st.text_area("Spec (YAML)", key="suites.add.text", placeholder=EXAMPLE, height=190,
                                max_chars=100_000)  # fmt: skip
        places["spec"] = st.container()
        drop = st.checkbox("Leave out training texts that stand in dev or a test split too", key="suites.add.drop")
        asked = st.form_submit_button("Check and add the suite", type="primary")
        progress = st.empty()
    if asked:
        with progress, st.status("Reading the spec") as status:
            problems = actions.add(name.strip(), spec, folder, drop_leaked=drop,
                                   on_step=lambda step: _tell(status, step))  # fmt: skip
        progress.empty()
        actions.state().problems = problems
        if not problems:
            actions.show(name.strip())
    for where, failure in problems.items():
        if where in places:
            with places[where]:
                _draw_problem(failure)


def _tell(status: st.delta_generator.DeltaGenerator, step: str) -> None:
    status.update(label=as_text(step))


def _draw_problem(failure: FTFTError) -> None:
    st.error(as_text(failure.message), icon=":material/error:")
    if failure.problems:
        st.html(sentences(failure.problems, style="ftft-problems"))


def _draw_sample() -> None:
    st.markdown("**Or look around with the sample**")
    st.markdown(
        ":gray[3,000 sentences of film reviews to train on, tested on whole reviews and on tweets. It is cut from "
        "installed packages; nothing is downloaded.]"
    )
    if st.button("Add the sample suite", key="suites.sample"):
        with st.spinner("Cutting the sample from its packages, then checking it"):
            added = actions.add_sample()
        if added is not None:
            actions.show(added)
    if "sample" in actions.state().problems:
        show_error(actions.state().problems["sample"])


def _draw_removing(suite: str, num_examples: int) -> None:
    try:
        users = reads.open_workspace().suite_users(suite)
        if users:
            count = len(users)
            st.markdown(f"It can't be removed while {'this uses' if count == 1 else f'these {count:,} use'} it:")
            st.html(sentences(users, style="ftft-problems"))
            st.markdown(":gray[Remove what uses it first; its runs and their trash are on the page Fine-tune.]")
            return
        st.markdown(
            f"Its {num_examples:,} examples, all marks on them, and its removed subsets are deleted. This can't be "
            "undone; the files that it was read from stay."
        )
        typed = st.text_input(f"Type {as_text(suite)} to remove it", key="suites.remove.name", live=True)
        if st.button(f"Remove {as_text(suite)} for good", type="primary", disabled=str(typed).strip() != suite,
                     key="suites.remove"):  # fmt: skip
            actions.remove(suite)
            st.rerun()
    except FTFTError as failure:
        _draw_problem(failure)
