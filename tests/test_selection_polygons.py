"""Membership by polygon against an implementation of its own: rational arithmetic, one point and one edge at a time."""

from fractions import Fraction

import numpy as np
import pytest

from ftft_core.errors import InputError
from ftft_core.selection import polygon_mask


def is_taken(x, y, corners):
    """On the line, or round which the line winds an odd number of times."""
    inside = False
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        cross = (x2 - x1) * (y - y1) - (x - x1) * (y2 - y1)
        if cross == 0 and min(x1, x2) <= x <= max(x1, x2) and min(y1, y2) <= y <= max(y1, y2):
            return True
        if (y1 > y) != (y2 > y) and x < x1 + Fraction((y - y1) * (x2 - x1)) / (y2 - y1):
            inside = not inside
    return inside


def expected(points, corners):
    return [is_taken(x, y, corners) for x, y in points]


def got(points, corners, scale=1.0):
    array = np.array([(float(x), float(y)) for x, y in points])
    return polygon_mask(array[:, 0] * scale, array[:, 1] * scale, np.array(corners, dtype=float) * scale).tolist()


def is_flat(corners):
    (x0, y0), *others = corners
    vectors = [(x - x0, y - y0) for x, y in others]
    return all(ax * by == ay * bx for ax, ay in vectors for bx, by in vectors)


def grid(size):
    """All places of a grid and one beyond it; polygons have their corners on the even ones."""
    return [(i, j) for i in range(-1, 2 * size + 2) for j in range(-1, 2 * size + 2)]


def random_polygons(seed, count, size, least, most):
    generator = np.random.default_rng(seed)
    made = []
    while len(made) < count:
        corners = [
            tuple(map(int, point))
            for point in 2 * generator.integers(0, size + 1, (generator.integers(least, most), 2))
        ]
        kind = generator.integers(5)
        if kind == 1:  # a corner twice, one after the other
            corners.insert(1, corners[0])
        elif kind == 2:  # a spike: there and back
            corners[2:2] = [tuple(map(int, 2 * generator.integers(0, size + 1, 2))), corners[1]]
        elif kind == 3:  # twice round
            corners = corners + corners
        elif kind == 4:  # an edge drawn again later
            corners = corners + corners[:2]
        if not is_flat(corners):
            made.append(corners)
    return made


@pytest.mark.parametrize("seed", range(8))
def test_small_polygons_take_the_points_of_the_rule_on_corners_edges_and_in_holes(seed):
    points = grid(5)
    for corners in random_polygons(seed, 40, 5, 3, 9):
        assert got(points, corners, scale=0.5) == expected(points, corners), corners


def test_scribbles_of_many_corners_take_the_points_of_the_rule():
    points = grid(7)
    for corners in random_polygons(100, 12, 6, 25, 60):
        assert got(points, corners) == expected(points, corners), corners


def test_coordinates_that_no_float_holds_exactly_are_judged_as_the_floats_that_they_are():
    points = grid(5)
    for corners in random_polygons(200, 12, 5, 3, 9):
        scaled = [(Fraction(x * 0.1), Fraction(y * 0.1)) for x, y in corners]
        exact = expected([(Fraction(x * 0.1), Fraction(y * 0.1)) for x, y in points], scaled)
        assert got(points, corners, scale=0.1) == exact, corners


def test_neighbouring_floats_of_an_edge_fall_on_their_sides():
    corners = [(0.1, 0.1), (0.7, 0.3), (0.2, 0.9)]
    x = np.linspace(0.1, 0.7, 50)
    on_edge = 0.1 + (x - 0.1) * (0.3 - 0.1) / (0.7 - 0.1)
    for y in (on_edge, np.nextafter(on_edge, 1), np.nextafter(on_edge, 0)):
        points = [(Fraction(a), Fraction(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        exact = [(Fraction(a), Fraction(b)) for a, b in corners]
        assert polygon_mask(x, y, corners).tolist() == expected(points, exact)


def test_many_points_on_few_places_are_judged_like_single_ones():
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 6, 5000), generator.integers(0, 6, 5000)
    corners = [(0, 0), (5, 1), (1, 5), (4, 5), (3, 0)]
    by_place = {(a, b): is_taken(a, b, corners) for a in range(6) for b in range(6)}
    assert polygon_mask(x, y, corners).tolist() == [by_place[a, b] for a, b in zip(x.tolist(), y.tolist(), strict=True)]


SQUARE = [(0, 0), (4, 0), (4, 4), (0, 4)]


@pytest.mark.parametrize(
    ("corners", "taken", "left"),
    [
        (SQUARE + SQUARE, [(0, 2), (4, 4)], [(2, 2)]),
        (SQUARE + SQUARE + SQUARE, [(2, 2)], [(5, 2)]),
        (SQUARE + SQUARE[::-1], [(1, 0)], [(2, 2)]),
        ([(0, 0), (6, 0), (6, 6), (1, 6), (1, 1), (5, 1), (5, 5), (0, 5)], [(0.5, 2), (1, 3)], [(2, 2)]),
        ([(0, 0), (4, 0), (8, 0), (4, 0), (4, 4), (0, 4)], [(6, 0), (8, 0), (2, 2)], [(6, 0.001), (9, 0)]),
        ([(0, 0), (4, 0), (4, 4), (2, 4), (2, 2), (2, 4), (0, 4)], [(2, 2), (2, 3), (1, 1)], [(5, 5)]),
        ([(0, 0), (4, 4), (4, 0), (0, 4)], [(2, 2), (0.5, 1), (4, 1)], [(2, 0.5), (2, 3)]),
    ],
)
def test_what_the_rule_says_of_lines_drawn_twice_spikes_and_bow_ties(corners, taken, left):
    assert got(taken, corners) == [True] * len(taken)
    assert got(left, corners) == [False] * len(left)


def test_huge_and_tiny_coordinates_are_judged_too():
    assert got([(0, 0), (1, 1), (2, 1)], [(-1, -1), (1, 1), (1, -1)], scale=1e300) == [True, True, False]
    assert got([(0, 0), (1, 1), (2, 1)], [(-1, -1), (1, 1), (1, -1)], scale=1e-310) == [True, True, False]
    far = [(-1.7e308, -1.7e308), (1.7e308, -1.7e308), (0.0, 1.7e308)]
    assert polygon_mask([0.0, 1.7e308, -1.7e308], [0.0, 0.0, -1.7e308], far).tolist() == [True, False, True]


@pytest.mark.parametrize(
    "corners",
    [[(0, 0), (1, 1), (2, 2), (0, 0)], [(1, 1)] * 3, [(0, 0), (0, 5), (0, 2)], [(0.1, 0.1), (0.2, 0.2), (0.3, 0.3)]],
)
def test_corners_on_one_line_enclose_nothing(corners):
    exact = [(Fraction(x), Fraction(y)) for x, y in corners]
    if not is_flat(exact):
        assert polygon_mask([0.1], [0.1], corners).tolist() == [True]
        return
    with pytest.raises(InputError, match="encloses no area"):
        polygon_mask([0.0], [0.0], corners)


def test_no_points_give_no_members():
    assert polygon_mask([], [], SQUARE).shape == (0,)
    assert polygon_mask([np.nan, 9.0], [1.0, np.inf], SQUARE).tolist() == [False, False]
