"""Comparison of finished runs: intervals, differences, costs, tables, and transfer between references.

Pure functions over what the store hands in; no database, no torch.
"""

from ftft_core.comparison.bootstrap import Difference, SeedScores, difference, holm
from ftft_core.comparison.compare import ROW_COLUMNS, Comparison, compare_runs, to_records
from ftft_core.comparison.costs import cost_table, pareto_front
from ftft_core.comparison.runs import ComparedSplit, MethodKey, RunResult, SplitPredictions, group_runs
from ftft_core.comparison.tables import conclude, method_names, to_csv, to_latex, to_markdown
from ftft_core.comparison.transfer import (
    Advice,
    Transfer,
    advise,
    average_maps,
    corrected_correlation,
    easy_share,
    jaccard_by_chance,
    reliability,
    spearman_brown,
    transfer_matrix,
)

__all__ = [
    "ROW_COLUMNS",
    "Advice",
    "ComparedSplit",
    "Comparison",
    "Difference",
    "MethodKey",
    "RunResult",
    "SeedScores",
    "SplitPredictions",
    "Transfer",
    "advise",
    "average_maps",
    "compare_runs",
    "conclude",
    "corrected_correlation",
    "cost_table",
    "difference",
    "easy_share",
    "group_runs",
    "holm",
    "jaccard_by_chance",
    "method_names",
    "pareto_front",
    "reliability",
    "spearman_brown",
    "to_csv",
    "to_latex",
    "to_markdown",
    "to_records",
    "transfer_matrix",
]
