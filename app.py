"""The app's frame: navigation over the pages, the shared line of pickers, then the page itself."""

import streamlit as st

from ftft_core import ui

st.set_page_config(page_title="FTFT", layout="wide", initial_sidebar_state="collapsed")
page = ui.navigate()
ui.draw_frame(page.url_path or ui.START)
page.run()
ui.reads.settle()
