"""A comparison with all that is said of it: its columns, conclusions, costs together, notes, and tables to print."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from ftft_core.comparison import (
    Comparison,
    conclude,
    flops_together,
    to_latex,
    to_markdown,
    to_records,
)
from ftft_core.comparison.baselines import baseline_of
from ftft_core.comparison.columns import Column
from ftft_core.comparison.tables import escape_latex, version_to_speak_of
from ftft_core.errors import InputError, unknown
from ftft_core.planning import duration_words, flops_words
from ftft_core.workspace.compared import ComparedRuns

FEW_SEEDS = 3
"""Under this many seeds a comparison warns: their spread is then hardly known."""

UNEVEN_TIMES = 2.0
"""How many times longer than the quickest of its seeds a run of the same work may take before times mean little."""


@dataclass(frozen=True)
class ComparisonReport:
    """A comparison of a suite's finished runs, with its costs and what can be concluded."""

    suite: str
    comparison: Comparison
    costs: pd.DataFrame
    """One row per method, see `comparison.cost_table`; in step with `comparison.methods`."""
    columns: tuple[Column, ...]
    """The methods in their versions, in the order of the table; last those of which no run has finished."""
    compared: ComparedRuns

    @property
    def rows(self) -> pd.DataFrame:
        """One row per method, split and metric."""
        return self.comparison.rows

    @property
    def names(self) -> list[str]:
        """Name of the column of each row."""
        named = {column.id: column.name for column in self.columns}
        return [named[column] for column in self.comparison.marks["column"]]

    @property
    def notes(self) -> tuple[str, ...]:
        """What is missing or narrows what the numbers mean."""
        return tuple([*self._missing(), *map(self._with_names, self.comparison.notes), *self._uneven_times()])

    @property
    def together(self) -> str:
        """What all the runs of the columns cost together, in a sentence; empty where they share nothing or it is not
        known.
        """
        found = flops_together([run for column in self.columns for run in column.runs])
        if found is None or math.isclose(*found):
            return ""
        return (
            f"A reference counts in full for every method that uses it. All these runs together cost "
            f"{flops_words(found[0])}, with each reference counted once; counted for every method it would be "
            f"{flops_words(found[1])}."
        )

    @property
    def baseline_ids(self) -> Mapping[str, str]:
        """Id of a column -> id of the column that its differences are to; of the baseline's own versions none."""
        methods, baseline = self.comparison.methods, self.comparison.baseline
        found = {each.id: baseline_of(each, methods, baseline) for each in methods if each.key.method != baseline}
        return {column: chosen.id for column, chosen in found.items() if chosen is not None}

    @property
    def baselines(self) -> frozenset[str]:
        """Ids of the columns that differences are taken to."""
        return frozenset(self.baseline_ids.values())

    def shared_baseline(self, column: str) -> bool:
        """Whether all columns of this one's main model have their differences to one and the same column."""
        key, chosen = self.column(column).key, self.baseline_ids
        alike = [
            each.id for each in self.columns if (each.key.model, each.key.num_layers) == (key.model, key.num_layers)
        ]
        return len({chosen[each] for each in alike if each in chosen}) < 2

    @property
    def conclusion(self) -> str:
        """A line for each main model."""
        return "\n".join(_conclusions(self.comparison).values()) or conclude(self.comparison)

    def conclusions(self, column: str, metric: str) -> list[str]:
        """Conclude on one version of a method, and then on what there is of other main models."""
        key = self.column(column).key
        others = _conclusions(self.comparison, metric)
        others.pop((key.model, key.num_layers), None)
        return [self.conclude(column, metric), *others.values()]

    def conclude(self, column: str | None, metric: str) -> str:
        """Conclude on one version of a method, see `comparison.conclude`."""
        return conclude(self.comparison, column=column, metric=metric)

    def as_markdown(self, metrics: Sequence[str] | None = None) -> str:
        """Give the tables as Markdown, averages, marks and seeds in them; see `comparison.to_markdown`."""
        return to_markdown(**self._printed(), metrics=metrics)

    def as_latex(self, metrics: Sequence[str] | None = None) -> str:
        """Give the same tables as LaTeX."""
        return to_latex(**self._printed(), metrics=metrics)

    def as_markdown_file(self, metrics: Sequence[str] | None = None) -> str:
        """Give the tables as Markdown, and below them what narrows their numbers."""
        notes = "".join(f"- {note}\n" for note in self.notes)
        tables = self.as_markdown(metrics)
        return f"{tables}\n{notes}" if notes else tables

    def as_latex_file(self, metrics: Sequence[str] | None = None) -> str:
        """Give the same as LaTeX."""
        notes = " ".join(map(escape_latex, self.notes))
        tables = self.as_latex(metrics)
        return f"{tables}\n{{\\footnotesize Notes: {notes}\\par}}\n" if notes else tables

    def of_main_model(self, model: str, num_layers: int) -> ComparisonReport:
        """Give the same report with the columns of one main model alone."""
        own = [each for each in self.columns if (each.key.model, each.key.num_layers) == (model, num_layers)]
        return replace(self, columns=tuple(own))

    def as_csv(self) -> str:
        """Give the rows and the averages, with three columns more: `column` (the version's id), `p_holm`, `marked`."""
        return str(self._with_averages().to_csv(index=False, lineterminator="\n"))

    def _with_averages(self) -> pd.DataFrame:
        """The rows, then the averages of roles with several splits (`split` is "average"), with their marks."""
        comparison, more = self.comparison, ["column", "p_holm", "marked"]
        roles = [split.role for split in self.compared.splits]
        several = [role for role in dict.fromkeys(roles) if roles.count(role) > 1]
        averages = comparison.averages[comparison.averages["role"].isin(several)]
        rows = comparison.rows.join(comparison.marks[more])
        found = pd.concat([rows, averages[rows.columns]], ignore_index=True) if len(averages) else rows
        return found[found["column"].isin([column.id for column in self.columns])]

    def _printed(self) -> dict[str, Any]:
        """What tables are made of."""
        found = self._with_averages()
        named = {column.id: column.name for column in self.columns}
        return {
            "rows": found[self.comparison.rows.columns],
            "baseline": self.comparison.baseline,
            "cost_of": self.comparison.cost_base,
            "names": [named[column] for column in found["column"]],
            "marks": found["marked"].astype(bool).tolist(),
        }

    def column(self, column: str) -> Column:
        """Give the column with this id; or of the method of this name the version that conclusions speak of.

        :raises InputError: with what there is.
        """
        found = [each for each in self.columns if each.id == column]
        found += self.versions(column)
        if not found:
            known = dict.fromkeys([*(each.title for each in self.columns), *(each.id for each in self.columns)])
            raise InputError(unknown("method in this comparison", column, list(known)))
        return found[0]

    def versions(self, method: str, metric: str = "accuracy") -> list[Column]:
        """Give the finished versions of a method, first the one that conclusions speak of."""
        found = [each for each in self.columns if each.title == method and each.runs]
        averages = self.comparison.averages
        of_metric = averages[(averages["metric"] == metric) & averages["column"].isin([each.id for each in found])]
        rows = to_records(of_metric.drop_duplicates("column"))
        first = version_to_speak_of(rows, averages)["column"] if rows else None
        return sorted(found, key=lambda each: each.id != first)

    def few_seeds(self) -> list[Column]:
        """Give the columns whose spread over seeds is hardly known."""
        return [column for column in self.columns if 0 < column.num_seeds < FEW_SEEDS]

    def _with_names(self, note: str) -> str:
        """Name runs as people do."""
        for run_id, name in self.compared.names.items():
            note = note.replace(run_id, name)
        return note

    def _missing(self) -> list[str]:
        notes = []
        for column in self.columns:
            if column.missing:
                some = f"{column.num_seeds} of {column.num_wanted} seeds" if column.runs else "no seed"
                became = "; ".join(run.words for run in column.missing)
                notes.append(f"{column.name}: {some} finished ({became}). What is shown leaves the others out.")
        return notes

    def _uneven_times(self) -> list[str]:
        """Say of which methods training times mean little, since runs that did the same took very different ones."""
        uneven = []
        for column in self.columns:
            seconds = [run.train_seconds for run in column.runs if run.train_seconds]
            if seconds and max(seconds) > UNEVEN_TIMES * min(seconds):
                uneven.append(f"{column.name} ({duration_words(min(seconds))} to {duration_words(max(seconds))})")
        if not uneven:
            return []
        return [
            "Training times say little here: runs of one method took very different ones, as on a machine that was "
            f"busy with other things. {'; '.join(uneven)}. Compare FLOPs."
        ]


def _conclusions(comparison: Comparison, metric: str = "accuracy") -> dict[tuple[str, int], str]:
    """Conclude for each main model that something was compared on."""
    mains = dict.fromkeys((method.key.model, method.key.num_layers) for method in comparison.methods)
    others = {(method.key.model, method.key.num_layers) for method in comparison.methods
              if method.key.method != comparison.baseline}  # fmt: skip
    averages, said = comparison.averages, {}
    for model, num_layers in [main for main in mains if main in others] or list(mains)[:1]:
        own = averages[(averages["model"] == model) & (averages["num_layers"] == num_layers)]
        said[model, num_layers] = conclude(replace(comparison, averages=own), metric=metric)
    return said
