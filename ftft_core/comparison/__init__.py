"""Comparison of finished runs: intervals, differences, costs, tables, and transfer between references.

Pure functions over what the store hands in; no database, no torch.
"""

from ftft_core.comparison.advising import UNSURE, Advice, advise, by_score, grid, judge, reliabilities
from ftft_core.comparison.averaging import (
    average_maps,
    compare_averages,
    corrected_correlation,
    reliability,
    runs_needed,
    spearman_brown,
)
from ftft_core.comparison.bootstrap import Difference, SeedScores, difference, holm
from ftft_core.comparison.candidates import Candidate, find_candidates, likely_main
from ftft_core.comparison.compare import ROW_COLUMNS, Comparison, compare_runs, to_records
from ftft_core.comparison.costs import cost_table, flops_together, pareto_front
from ftft_core.comparison.probing import Estimate, ProbeCounts, count_probes, estimate, probe_map, read_counts
from ftft_core.comparison.runs import ComparedSplit, MethodKey, RunResult, SplitPredictions, group_runs
from ftft_core.comparison.tables import conclude, difference_words, method_names, to_latex, to_markdown
from ftft_core.comparison.transfer import (
    CORRELATED_SCORES,
    SCORE_ENDS,
    Transfer,
    easy_share,
    jaccard_by_chance,
    transfer_matrix,
)

__all__ = [
    "CORRELATED_SCORES",
    "ROW_COLUMNS",
    "SCORE_ENDS",
    "UNSURE",
    "Advice",
    "Candidate",
    "ComparedSplit",
    "Comparison",
    "Difference",
    "Estimate",
    "MethodKey",
    "ProbeCounts",
    "RunResult",
    "SeedScores",
    "SplitPredictions",
    "Transfer",
    "advise",
    "average_maps",
    "by_score",
    "compare_averages",
    "compare_runs",
    "conclude",
    "corrected_correlation",
    "cost_table",
    "count_probes",
    "difference",
    "difference_words",
    "easy_share",
    "estimate",
    "find_candidates",
    "flops_together",
    "grid",
    "group_runs",
    "holm",
    "jaccard_by_chance",
    "judge",
    "likely_main",
    "method_names",
    "pareto_front",
    "probe_map",
    "read_counts",
    "reliabilities",
    "reliability",
    "runs_needed",
    "spearman_brown",
    "to_latex",
    "to_markdown",
    "to_records",
    "transfer_matrix",
]
