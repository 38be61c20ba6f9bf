"""The last word about a training process that ended without recording its end itself."""

from __future__ import annotations

import signal

from ftft_core.run_folder.folder import LOST_MESSAGE, RunFolder
from ftft_core.run_folder.trouble import trouble_in_words

_LOG_LINES = 15


def last_word(folder: RunFolder, exit_status: int) -> tuple[str, str]:
    """Give status and message of a run whose process ended with this status; a signal's number is negative."""
    if exit_status < 0:
        why = folder.why_lost(folder.read_state())
        if why == LOST_MESSAGE:
            why = (
                f"the training process was ended by {_signal_name(-exit_status)}; resume the run, which goes on from "
                "its newest checkpoint"
            )
        return "lost", why
    said = folder.log.read_text(encoding="utf-8", errors="replace") if folder.log.exists() else ""
    lines = [line.strip() for line in said.splitlines()[-_LOG_LINES:] if line.strip()]
    trouble = trouble_in_words("\n".join(lines), folder.path)
    last = lines[-1] if lines else "it printed nothing"
    return "failed", trouble or f"the training process ended with status {exit_status}: {last}"


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    return f"{name} (somebody killed it, or the system did when memory ran out)" if name == "SIGKILL" else name
