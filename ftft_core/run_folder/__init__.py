"""The folder of a run: what a training process writes, and what everyone reads to know how the run is doing.

`folder` names the files and their formats, `files` has them appear whole or not at all, `processes` tells whether a
process is the one that was meant, `starting` starts those that outlive their starter, `trouble` words what machines run
out of, and `endings` why a process ended. Nothing here knows the database, nor how training works.
"""

from ftft_core.run_folder.endings import last_word
from ftft_core.run_folder.files import read_json, stale_files, sync_file, sync_folder, write_json, write_parquet
from ftft_core.run_folder.folder import (
    ENDED,
    LOST_MESSAGE,
    RESUMABLE,
    STATUSES,
    RunFolder,
    disk_use_bytes,
    disk_use_mib,
    run_folders,
)
from ftft_core.run_folder.processes import identify, is_alive, is_stopped
from ftft_core.run_folder.starting import child_environment, forget_ended, start_detached
from ftft_core.run_folder.trouble import free_space_words, in_bytes, trouble_in_words

__all__ = [
    "ENDED",
    "LOST_MESSAGE",
    "RESUMABLE",
    "STATUSES",
    "RunFolder",
    "child_environment",
    "disk_use_bytes",
    "disk_use_mib",
    "forget_ended",
    "free_space_words",
    "identify",
    "in_bytes",
    "is_alive",
    "is_stopped",
    "last_word",
    "read_json",
    "run_folders",
    "stale_files",
    "start_detached",
    "sync_file",
    "sync_folder",
    "trouble_in_words",
    "write_json",
    "write_parquet",
]
