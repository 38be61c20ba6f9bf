import pandas as pd
import pytest

from ftft_core.comparison import (
    ROW_COLUMNS,
    Comparison,
    conclude,
    method_names,
    to_latex,
    to_markdown,
)
from ftft_core.comparison.tables import version_to_speak_of
from ftft_core.errors import InputError


def row(method, split="anli_r1", role="out_of_distribution", **fields):
    defaults = {"model": "big", "num_layers": 12, "reference_model": None, "reference_layers": None, "fraction": 1.0}
    defaults |= {"split": split, "role": role, "metric": "accuracy", "mean": 0.709, "std": None, "num_seeds": 1}
    defaults |= {"delta": 0.0, "delta_low": 0.0, "delta_high": 0.0, "cost_share": 1.0}
    return {"method": method, **defaults, **fields}


FTFT = {
    **{"mean": 0.713, "delta": 0.004, "delta_low": -0.012, "delta_high": 0.02, "cost_share": 0.67},
    **{"reference_model": "small", "reference_layers": 4, "fraction": 0.33},
}
ROWS = [
    *(row("erm"), row("erm", "matched", "in_distribution", std=0.004, num_seeds=2)),
    *(row("ftft", **FTFT), row("ftft", "matched", "in_distribution", **{**FTFT, "mean": None, "num_seeds": 0})),
]


def comparison_of(*rows, has_seed_noise=False, baseline="erm"):
    averages = pd.DataFrame(rows, columns=list(ROW_COLUMNS)).assign(has_seed_noise=has_seed_noise)
    averages = averages.assign(column=[each["method"] for each in rows])
    return Comparison(baseline, averages, averages, pd.DataFrame(), pd.DataFrame(), ())


def test_markdown_has_methods_in_columns_and_splits_in_rows():
    assert to_markdown(ROWS).splitlines()[2:] == [
        "| Split | erm | ftft |",
        "|---|---:|---:|",
        "| **In distribution** |  |  |",
        "| matched | 70.9 ± 0.4 | – |",
        "| **Out of distribution** |  |  |",
        r"| anli\_r1 | 70.9 | 71.3 (+0.4 [−1.2, +2.0]) |",
        "| **Runs** |  |  |",
        "| seeds | 1 to 2 | 0 to 1 |",
        "| **Cost** |  |  |",
        "| FLOPs, share of erm | 1.00 | 0.67 |",
    ]


def test_a_difference_that_stands_out_has_an_asterisk_which_is_explained():
    text = to_markdown(ROWS, marks=[False, False, True, False])
    assert "71.3 (+0.4 [−1.2, +2.0])* |" in text
    title = text.splitlines()[0]
    assert "; \\* where it excludes 0 after Holm's correction, for single splits and for averages" in title
    assert "*" not in to_markdown(ROWS).splitlines()[0]
    assert "[$-$1.2, +2.0])*" in to_latex(ROWS, marks=[False, False, True, False])


def test_averages_of_two_roles_stand_apart():
    rows = [row("erm", "average", mean=0.5), row("erm", "average", "in_distribution", mean=0.9)]
    lines = to_markdown(rows).splitlines()
    assert lines.index("| average | 90.0 |") < lines.index("| average | 50.0 |")


def test_markdown_says_unit_and_direction():
    assert to_markdown(ROWS).startswith("### Accuracy in percent, higher is better; difference to erm")
    assert "lower is better" in to_markdown([row("erm", metric="ece")])


def test_names_cannot_break_the_markdown_table():
    assert r"| a\|b\[c\](d) | 70.9 |" in to_markdown([row("erm", "a|b[c](d)")])


def test_latex_escapes_names_and_has_one_row_per_split():
    text = to_latex([row("erm"), row("ftft", "50%_&#\\", **FTFT)])
    assert r"anli\_r1 & 70.9 & -- \\" in text
    assert r"50\%\_\&\#\textbackslash{} & -- & 71.3 (+0.4 [$-$1.2, +2.0]) \\" in text
    assert text.count(r"\midrule") == 3
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_versions_of_a_method_are_told_apart_by_what_differs():
    rows = [row("erm"), row("ftft", **FTFT), row("ftft", **{**FTFT, "fraction": 0.5}), row("ftft", **FTFT)]
    assert method_names(rows) == ["erm", "ftft (33 %)", "ftft (50 %)", "ftft (33 %) #2"]
    rows = [row("erm"), row("erm", model="small"), row("ftft"), row("ftft", reference_model="tiny")]
    assert method_names(rows)[1] == "erm (small, 12 layers)"
    assert method_names(rows)[2:] == ["ftft (big, 12 layers; no reference)", "ftft (big, 12 layers; from tiny)"]


def test_only_asked_metrics_are_printed():
    rows = [row("erm"), row("erm", metric="ece")]
    assert to_markdown(rows, metrics=["ece"]).count("###") == 1
    assert to_markdown(rows).count("###") == 2


def test_tables_need_rows_and_known_metrics():
    with pytest.raises(InputError, match="no rows to print"):
        to_markdown([])
    with pytest.raises(InputError, match="There is no metric in these rows 'f1'"):
        to_latex(ROWS, metrics=["f1"])
    with pytest.raises(InputError, match="missing: \\['cost_share'\\]"):
        to_markdown(pd.DataFrame(ROWS).drop(columns="cost_share"))


def test_conclusion_says_score_cost_interval_and_what_it_leaves_out():
    said = conclude(comparison_of(row("erm"), row("ftft", **FTFT)))
    assert said == (
        "ftft reaches 71.3 accuracy on average out of distribution at 0.67 of erm's cost in FLOPs (erm 70.9; 95 % "
        "interval of the difference −1.2 to +2.0 points, 1 seed; the noise of a lone seed is not in it). The interval "
        "contains 0: neither is shown to be better."
    )


def test_conclusion_names_the_better_side():
    better = {**FTFT, "delta_low": 0.001, "num_seeds": 5}
    said = conclude(comparison_of(row("erm"), row("ftft", **better), has_seed_noise=True))
    assert said.endswith("+2.0 points, 5 seeds). The whole interval is on the better side.")
    said = conclude(comparison_of(row("erm", metric="ece"), row("ftft", **better, metric="ece")), metric="ece")
    assert said.endswith("The whole interval is on the worse side, which another seed may change.")
    corrected = comparison_of(row("erm"), row("ftft", **better), has_seed_noise=True)
    corrected.averages.loc[:, ["p_holm", "marked"]] = (0.2, False)
    said = conclude(corrected)
    assert said.endswith("on the better side, but not significantly so after Holm's correction for all methods.")


def test_conclusion_says_what_was_lost_in_distribution():
    lost = {"mean": 0.78, "delta": -0.045, "delta_low": -0.063, "delta_high": -0.026}
    rows = [row("erm"), row("ftft", **FTFT), row("erm", role="in_distribution")]
    said = conclude(comparison_of(*rows, row("ftft", role="in_distribution", **{**FTFT, **lost})))
    assert said.endswith(
        "neither is shown to be better. In distribution it is 78.0 against 82.5 (−4.5, interval −6.3 to −2.6)."
    )


def test_conclusion_is_of_the_version_with_most_seeds_then_the_best_on_dev_then_the_cheapest():
    better, cheaper = row("ftft", **{**FTFT, "mean": 0.8}), row("ftft", **{**FTFT, "mean": 0.7, "cost_share": 0.5})
    assert conclude(comparison_of(row("erm"), better, cheaper)).startswith("ftft reaches 70.0 accuracy")
    more = {**better, "num_seeds": 3}
    assert conclude(comparison_of(row("erm"), more, cheaper)).startswith("ftft reaches 80.0 accuracy")


@pytest.mark.parametrize(("metric", "best"), [("accuracy", "b"), ("ece", "a")])
def test_of_versions_with_as_many_seeds_the_best_on_dev_speaks(metric, best):
    dev = [{"column": name, "role": "dev", "metric": metric, "mean": score} for name, score in (("a", 0.6), ("b", 0.7))]
    rows = [
        {"column": name, "metric": metric, "num_seeds": 2, "cost_share": cost} for name, cost in (("a", 1), ("b", 2))
    ]
    assert version_to_speak_of(rows, pd.DataFrame(dev))["column"] == best
    more = {"column": "c", "metric": metric, "num_seeds": 3, "cost_share": None}  # not even predicted dev
    assert version_to_speak_of([*rows, more], pd.DataFrame(dev))["column"] == "c"


def test_conclusion_without_a_baseline_or_the_method():
    alone = row("ftft", **{**FTFT, "delta": None, "delta_low": None, "delta_high": None})
    assert conclude(comparison_of(alone)).endswith("(1 seed); there is no erm run to compare it with.")
    assert "about ftft: no run of it" in conclude(comparison_of(row("erm")), method="ftft")
    assert conclude(comparison_of(row("erm"))).endswith("it is the baseline.")
    assert conclude(comparison_of(row("erm"), row("focal", **FTFT))).startswith("focal reaches 71.3")
    assert conclude(comparison_of(row("erm")), method="erm").endswith("it is the baseline.")
    with pytest.raises(InputError, match="no metric in this comparison 'f1'"):
        conclude(comparison_of(row("erm")), metric="f1")


def test_in_distribution_speaks_where_nothing_else_was_measured():
    rows = [row("erm", role="in_distribution"), row("ftft", role="in_distribution", **FTFT)]
    assert "on average in distribution" in conclude(comparison_of(*rows))
