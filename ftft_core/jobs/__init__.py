"""The queue of runs, and the worker process that works it off.

The queue is the runs' folders themselves: a run whose state is `queued` waits. So it outlives every process, needs
no database, and works on a shared folder. One worker process per workspace gives runs places on devices in the order of
the queue, each with a training process of its own; it outlives the app and the command line, and ends when nothing
waits.

    queue       what waits, what runs, changing that, and seeing that a worker is alive
    ends        what is recorded of runs that could not say how they ended; which of them go back to the queue
    devices     which devices there are, and keeping a training process to one
    settings    how many runs share which devices
    worker      starting, watching and stopping training processes
"""

from ftft_core.jobs.devices import check_devices, find_devices
from ftft_core.jobs.queue import Queue
from ftft_core.jobs.settings import WorkerSettings, read_settings, write_settings
from ftft_core.jobs.worker import Worker, work_off

__all__ = [
    "Queue",
    "Worker",
    "WorkerSettings",
    "check_devices",
    "find_devices",
    "read_settings",
    "work_off",
    "write_settings",
]
