import numpy as np
import pytest

from ftft_core.errors import InputError, NotFoundError
from ftft_core.selection import box_mask, combine, expression_names, polygon_mask, threshold_mask

SQUARE = [(0, 0), (1, 0), (1, 1), (0, 1)]


def plain_inside(x, y, corners):
    """Even-odd rule, one point at a time."""
    inside = False
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
    return inside


def test_points_on_the_edge_and_the_corners_are_inside():
    x = [0.5, 0.0, 1.0, 0.5, 1.0001, -0.0001, np.nan]
    y = [0.5, 0.0, 1.0, 1.0, 0.5, 0.5, 0.5]
    assert polygon_mask(x, y, SQUARE).tolist() == [True, True, True, True, False, False, False]


@pytest.mark.parametrize("seed", range(6))
def test_polygons_that_cross_themselves_follow_the_even_odd_rule(seed):
    generator = np.random.default_rng(seed)
    corners = [tuple(point) for point in generator.random((int(generator.integers(3, 25)), 2)).tolist()]
    x, y = generator.random(400), generator.random(400)
    expected = [plain_inside(a, b, corners) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    assert polygon_mask(x, y, corners).tolist() == expected


def test_the_middle_of_a_star_drawn_in_one_stroke_is_outside():
    star = [(np.sin(i * 4 * np.pi / 5), np.cos(i * 4 * np.pi / 5)) for i in range(5)]
    assert polygon_mask([0, 0], [0, 0.8], star).tolist() == [False, True]


@pytest.mark.parametrize(
    ("polygon", "message"),
    [
        ([(0, 0), (1, 1)], "needs 3 to 10000 corners"),
        ([(0, 0, 0)] * 3, "needs 3 to 10000 corners"),
        ([], "needs 3 to 10000 corners"),
        ([(0, 0), (1, float("nan")), (1, 1)], "must be finite numbers"),
        ([(0, 0), (1, float("inf")), (1, 1)], "must be finite numbers"),
        ([(0, 0), (1, 1), (2, 2)], "encloses no area"),
        ([(1, 1)] * 4, "encloses no area"),
        ([("a", "b")] * 3, "must be a list of .* numbers"),
    ],
)
def test_what_is_no_polygon_is_refused(polygon, message):
    with pytest.raises(InputError, match=message):
        polygon_mask([0.0], [0.0], polygon)


def test_a_polygon_over_a_million_points_holds_its_share_of_them():
    generator = np.random.default_rng(0)
    x, y = generator.random(1_000_000), generator.random(1_000_000)
    angle = np.linspace(0, 2 * np.pi, 300)
    circle = np.column_stack([0.5 + 0.3 * np.cos(angle), 0.5 + 0.3 * np.sin(angle)])
    share = polygon_mask(x, y, circle).mean()
    assert share == pytest.approx(np.pi * 0.09, abs=0.002)


def test_boxes_include_their_edge_in_either_order():
    x, y = [0, 0.5, 1, 2, np.nan], [0, 0.5, 1, 0, 0]
    assert box_mask(x, y, (1, 0), (0, 1)).tolist() == [True, True, True, False, False]
    with pytest.raises(InputError, match=r"x_range is .*; it must be two finite numbers"):
        box_mask(x, y, (0, float("inf")), (0, 1))
    with pytest.raises(InputError, match="both must be"):
        box_mask([0], [0, 1], (0, 1), (0, 1))


def test_thresholds_include_their_bounds_and_leave_nulls_out():
    values = [0.1, 0.2, 0.3, np.nan]
    assert threshold_mask(values, low=0.2).tolist() == [False, True, True, False]
    assert threshold_mask(values, high=0.2).tolist() == [True, True, False, False]
    assert threshold_mask(values).tolist() == [True, True, True, False]
    with pytest.raises(InputError, match=r"lower threshold 2 is above the upper one 1"):
        threshold_mask(values, low=2, high=1)
    with pytest.raises(InputError, match="A threshold is NaN"):
        threshold_mask(values, low=float("nan"))


SUBSETS = {"A": list("fab"), "B-2": list("bcd"), "C d": list("a"), "E": []}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("A", "abf"),
        ("A & B-2", "b"),
        ("A | B-2", "abcdf"),
        ("A - B-2", "af"),
        ('A | B-2 - "C d"', "bcdf"),
        ('A - "C d" | "C d"', "abf"),
        ('A - ("C d" | "C d")', "bf"),
        ("A | B-2 & E", "abf"),
        ("(A | B-2) & E", ""),
        ("((A))", "abf"),
        ("A - A", ""),
    ],
)
def test_set_expressions_give_ids_in_file_order(expression, expected):
    assert "".join(combine(expression, SUBSETS, list("abcdef"))) == expected


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("A B-2", "at character 3: 'B-2' stands where an operator"),
        ("A &", "at character 4: a subset's name is missing at the end"),
        ("& A", "at character 1: '&' stands where a subset's name should"),
        ("A & | A", "at character 5: '|' stands where a subset's name should"),
        ("(A", "at character 1: '(' is never closed"),
        ("A)", "at character 2: ')' closes nothing"),
        ("()", "at character 2: ')' stands where a subset's name should"),
        ('A & "x', "at character 5: the quoted name has no closing quote"),
    ],
)
def test_malformed_set_expressions_are_pointed_at(expression, problem):
    with pytest.raises(InputError, match="was not understood") as caught:
        combine(expression, SUBSETS, list("abcdef"))
    assert caught.value.problems[0].startswith(problem)


def test_set_expressions_that_cannot_be_used_are_refused():
    with pytest.raises(InputError, match="The set expression is empty"):
        combine(" ", SUBSETS, [])
    with pytest.raises(InputError, match="has 5000 characters"):
        combine("(" * 5000, SUBSETS, [])
    with pytest.raises(NotFoundError) as caught:
        combine("A & B-3 | Z", SUBSETS, list("abcdef"))
    assert "There is no subset 'B-3'" in caught.value.problems[0]
    assert "Did you mean 'B-2'" in caught.value.problems[0]
    assert "There is no subset 'Z'" in caught.value.problems[1]
    with pytest.raises(InputError, match="Subset 'A' has 1 ids that the training file lacks"):
        combine("A", SUBSETS, list("abcde"))


def test_deep_parentheses_are_no_trouble():
    assert "".join(combine("(" * 900 + "A" + ")" * 900, SUBSETS, list("abcdef"))) == "abf"


def test_names_of_an_expression_are_given_once_each():
    assert expression_names('A & "C d" - (A | B-2)') == ["A", "C d", "B-2"]
