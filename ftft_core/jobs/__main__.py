"""A worker process: `python -m ftft_core.jobs WORKSPACE`."""

import sys
from pathlib import Path

from ftft_core.jobs.queue import Queue
from ftft_core.jobs.worker import work_off

if __name__ == "__main__":
    work_off(Queue(Path(sys.argv[1]).resolve()))
