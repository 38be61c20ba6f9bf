"""A process that trains runs in forks of itself, and has them killed at a given moment; used by `test_kills`.

It imports what training needs once, so that a kill costs a second and not ten. Each fork is a process of its own: it
gets a real SIGKILL, and the kernel takes back what it held. One JSON object per line comes in, one goes out:

    {"train": FOLDER} or {"list": WORKSPACE}, and one of the moments, such as "file": N; "delay": S; or none of them
    {"status": EXIT_STATUS, "seconds": S, and the numbers of all moments that there were, such as "file": N}

The moments: `forward` kills in the middle of the N-th forward pass, `seconds` after that time wherever it is. The rest
kill just before the N-th time that something is opened, renamed, linked, made or removed, or `delay` seconds after it,
when what it began is half done: anything in the folder (`file`), of a checkpoint that is being written (`checkpoint`),
of a file for the database (`outbox`), or after the run has finished and tidies up (`tidy`). `taking` kills that many
seconds after files for the database are first looked for; how long taking them in took is told as well.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}
LOOKS = {"os.scandir", "os.listdir"}


def main() -> None:
    import torch

    # Before the first fork: everything that a training or a command would import.
    from torch.utils import tensorboard  # noqa: F401

    from ftft_core.cli.app import _load_commands
    from ftft_core.training import __main__ as training  # noqa: F401

    _load_commands()

    torch.set_num_threads(1)
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            os._exit(_child(asked, writer))
        os.close(writer)
        started = time.monotonic()
        with os.fdopen(reader) as pipe:
            counted = pipe.read()
        _, status = os.waitpid(pid, 0)
        answer = {"status": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - started}
        print(json.dumps({**answer, **(json.loads(counted) if counted else {})}), flush=True)


def _child(asked: dict[str, Any], writer: int) -> int:
    folder = Path(asked.get("train") or asked["list"])
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    counts: dict[str, Any] = dict.fromkeys(("forward", "file", "checkpoint", "outbox", "tidy"), 0)
    if "seconds" in asked:
        _kill_after(asked["seconds"])

    def count(moment: str) -> None:
        counts[moment] += 1
        if counts[moment] == asked.get(moment):
            _kill_after(asked.get("delay", 0.0))

    started_taking = None

    def count_file(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal started_taking
        path = str(arguments[0]) if arguments else ""
        if event in EVENTS:
            if str(folder) in path:
                count("file")
                if "/.checkpoint-" in path:
                    count("checkpoint")
                if "/outbox/" in path:
                    count("outbox")
            if counts["tidy"] > 0:
                count("tidy")
        if event in EVENTS | LOOKS and path.endswith("/outbox") and started_taking is None:
            started_taking = time.monotonic()
            if "taking" in asked:
                _kill_after(asked["taking"])
        if event == "os.remove" and "/outbox/" in path and started_taking is not None:
            counts["taking"] = time.monotonic() - started_taking

    sys.addaudithook(count_file)
    if "list" in asked:
        from ftft_core.cli import main as command_line

        status = command_line(["runs", "list", "--workspace", str(folder)])
    else:
        status = _train(folder, count)
    os.write(writer, json.dumps(counts).encode())
    return status


def _train(folder: Path, count: Callable[[str], None]) -> int:
    import torch

    from ftft_core.run_folder import RunFolder
    from ftft_core.training.__main__ import main as train

    def count_forward(module: torch.nn.Module, _: Any) -> None:
        # In the classifier's head: half of the pass is done.
        if isinstance(module, torch.nn.Linear) and module.out_features == 2:
            count("forward")

    tidy = RunFolder.tidy

    def count_and_tidy(run: RunFolder) -> list[Path]:
        count("tidy")
        return tidy(run)

    torch.nn.modules.module.register_module_forward_pre_hook(count_forward)
    RunFolder.tidy = count_and_tidy  # type: ignore[method-assign]
    return train(RunFolder(folder))


def _kill_after(seconds: float) -> None:
    if seconds > 0:
        # The kernel's own timer: it ends the process in the middle of whatever it is in, as SIGKILL would, and waits
        # for no lock of the interpreter.
        signal.setitimer(signal.ITIMER_REAL, seconds)
    else:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
