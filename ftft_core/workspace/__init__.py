"""`Workspace`: a folder with a database and runs, and everything that one can do with it.

The one facade behind the command line and the pages: it opens the database briefly for each piece of work, takes in
what training processes left, and queues runs. It never imports torch. Names or ids are accepted wherever a run or a
subset is asked for.
"""

from ftft_core.methods import REFERENCE_METHODS
from ftft_core.selection.balancing import BALANCE_WAYS
from ftft_core.workspace.doctor import Doctor
from ftft_core.workspace.examples import Examples
from ftft_core.workspace.exchange import Exchange
from ftft_core.workspace.keeping import Keeping, Kept
from ftft_core.workspace.maps import SubsetRecord
from ftft_core.workspace.marks import MARK_KINDS
from ftft_core.workspace.neighbours import Neighbours
from ftft_core.workspace.profiles import Profiles
from ftft_core.workspace.report import ComparisonReport
from ftft_core.workspace.run_watching import RunProgress
from ftft_core.workspace.subsets import RemadeSubset, SubsetComparison, Subsets
from ftft_core.workspace.transfers import ProbeReport, TransferReport, Transfers


class Workspace(Transfers, Subsets, Exchange, Profiles, Neighbours, Examples, Doctor, Keeping):
    """A folder with `ftft.duckdb` and `runs/`, made if it is not there.

    Its methods come from one class per kind of thing: `Suites`, `Plans`, `Runs`, `RunCare`, `Doctor`, `Marks`, `Maps`,
    `Subsets`, `Results`, `Transfers`, `Exchange`, `Profiles`, `Neighbours`, `Keeping` and `Examples`.
    """


__all__ = [
    "BALANCE_WAYS",
    "MARK_KINDS",
    "REFERENCE_METHODS",
    "ComparisonReport",
    "Kept",
    "ProbeReport",
    "RemadeSubset",
    "RunProgress",
    "SubsetComparison",
    "SubsetRecord",
    "TransferReport",
    "Workspace",
]
