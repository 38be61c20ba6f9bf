"""The queue of runs, and the worker process that works it off.

The queue is the runs' folders themselves: a run whose state is `queued` waits. So it outlives every process, needs
no database, and works on a shared folder. One worker process per workspace takes runs in the order in which they
were queued, each in a training process of its own; it outlives the app and the command line, and ends when nothing
waits.
"""

from ftft_core.jobs.queue import Queue
from ftft_core.jobs.worker import work_off

__all__ = ["Queue", "work_off"]
