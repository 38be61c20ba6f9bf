"""A process that trains runs in forks of itself, and has them killed at a given moment; used by `test_kills`.

It imports what training needs once, so that a kill costs a second and not ten. Each fork is a process of its own: it
gets a real SIGKILL, and the kernel takes back what it held. One JSON object per line comes in, one goes out:

    {"train": FOLDER} or {"list": WORKSPACE}, and one of "forward": N, "file": N, "seconds": S, or none of them
    {"status": EXIT_STATUS, "forwards": N, "files": N, "seconds": S}

`forward` kills in the middle of the N-th forward pass, `file` just before the N-th time that something in the folder is
opened, renamed, linked, made or removed, `seconds` after that time wherever it is.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}


def main() -> None:
    import torch

    from ftft_core.training import __main__ as training  # noqa: F401  (before the first fork)

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
    counts = {"forwards": 0, "files": 0}
    if "seconds" in asked:
        threading.Timer(asked["seconds"], _kill).start()

    def count_file(event: str, arguments: tuple[Any, ...]) -> None:
        if event in EVENTS and str(folder) in str(arguments[0]):
            counts["files"] += 1
            if counts["files"] == asked.get("file"):
                _kill()

    sys.addaudithook(count_file)
    if "list" in asked:
        from ftft_core.cli import main as command_line

        status = command_line(["runs", "list", "--workspace", str(folder)])
    else:
        status = _train(folder, asked.get("forward"), counts)
    os.write(writer, json.dumps(counts).encode())
    return status


def _train(folder: Path, fatal: int | None, counts: dict[str, int]) -> int:
    import torch

    from ftft_core.run_folder import RunFolder
    from ftft_core.training.__main__ import main as train

    def count_forward(module: torch.nn.Module, _: Any) -> None:
        # In the classifier's head: half of the pass is done.
        if isinstance(module, torch.nn.Linear) and module.out_features == 2:
            counts["forwards"] += 1
            if counts["forwards"] == fatal:
                _kill()

    torch.nn.modules.module.register_module_forward_pre_hook(count_forward)
    return train(RunFolder(folder))


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
