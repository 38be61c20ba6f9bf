"""The drawn data map: which numbers go to the browser, how they are coloured, and what its legend says."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ftft_core.figures import MAX_DRAWN_POINTS, data_map_figure, map_colours, map_places
from ftft_core.figures.packing import pack
from ftft_core.figures.sampling import NO_BIN, bins_of


def small_map(num_examples: int = 6) -> pd.DataFrame:
    random = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "example_id": [str(row) for row in range(num_examples)],
            "label": ["no", "yes"] * (num_examples // 2) + ["no"] * (num_examples % 2),
            "confidence": random.random(num_examples),
            "variability": random.random(num_examples) / 2,
            "correctness": random.integers(0, 4, num_examples) / 3,
            "loss": random.exponential(size=num_examples),
            "first_learnt_epoch": pd.array([None, *range(num_examples - 1)], dtype="Int64"),
        }
    )
    frame.attrs["counted_epochs"] = [0, 1, 2]
    return frame


def unpack(content: bytes) -> SimpleNamespace:
    """What the browser reads, written apart from what it is read from."""
    length = int.from_bytes(content[:4], "little")
    header = json.loads(content[4 : 4 + length])
    for name, (kind, offset, size) in header.pop("arrays").items():
        header[name] = np.frombuffer(content, np.dtype(kind), size, 4 + length + offset)
    return SimpleNamespace(**header)


def test_arrays_are_packed_at_whole_words_behind_their_header():
    content = pack({"words": "é"}, {"bytes": np.array([1, 2, 3], np.uint8), "numbers": np.array([0.5], np.float32)})
    found = unpack(content)
    assert (found.words, found.bytes.tolist(), found.numbers.tolist()) == ("é", [1, 2, 3], [0.5])
    assert len(content) % 4 == 0
    with pytest.raises(TypeError, match="numbers is float64; the browser reads float32, int32, uint8"):
        pack({}, {"numbers": np.array([0.5])})


def test_the_map_holds_every_point_once_with_its_row():
    frame = small_map()
    made = data_map_figure(frame)
    sent = unpack(made.places.content)
    assert sent.rows.tolist() == made.places.rows.tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(sent.x, frame["variability"], rtol=1e-6)
    np.testing.assert_allclose(sent.y, frame["confidence"], rtol=1e-6)
    assert not hasattr(sent, "density")


def test_a_large_map_holds_a_bounded_sample_over_the_density_of_all():
    made = data_map_figure(small_map(40_000))
    sent = unpack(made.places.content)
    assert len(sent.rows) == len(sent.x) == MAX_DRAWN_POINTS
    assert sent.density.size == sent.density_cells**2
    assert sent.density.max() == 255
    assert (sent.density > 0).sum() > 10_000
    assert sent.remarks == ["30,000 of 40,000 points drawn, selections take all"]


@pytest.mark.parametrize("colour", ["loss", "group"])
def test_a_map_of_a_million_examples_is_under_a_megabyte(colour):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "variability": random.random(1_000_000) / 2,
            "confidence": random.random(1_000_000),
            "correctness": random.integers(0, 7, 1_000_000) / 6,
            "loss": random.random(1_000_000),
            "group": pd.Categorical.from_codes(random.integers(0, 150, 1_000_000), [f"group {n}" for n in range(150)]),
        }
    )
    made = data_map_figure(frame, colour=colour, num_epochs=6)
    assert len(made.places.rows) == MAX_DRAWN_POINTS
    assert made.num_bytes < 600_000


def test_no_text_of_an_example_is_in_the_map():
    made = data_map_figure(small_map().assign(text="a secret sentence"))
    assert b"secret" not in made.places.content + made.colours.content


def test_bins_hold_their_lower_edge_and_the_last_one_both():
    values = np.array([-0.1, 0.0, 0.25, 0.49, 0.5, 1.0, 1.1, np.nan, np.inf])
    assert bins_of(values, (0.0, 1.0), 4).tolist() == [NO_BIN, 0, 1, 1, 2, 3, NO_BIN, NO_BIN, NO_BIN]


def test_histograms_count_all_examples_and_then_the_selected_ones():
    frame = small_map(60)
    places = map_places(frame)
    sent = unpack(places.content)
    assert sent.x_counts.sum() == sent.y_counts.sum() == sent.correctness_counts.sum() == 60
    selected = (frame["correctness"] > 0.5).to_numpy()
    x, y, correctness = places.bar_counts(selected)
    assert sum(x) == sum(y) == sum(correctness) == selected.sum()
    assert correctness[:2] == [0, 0]
    assert places.bar_counts(np.zeros(60, dtype=bool)) == [[0] * 40, [0] * 40, [0] * 4]


def test_correctness_has_a_bar_for_every_number_of_epochs():
    frame = small_map().assign(correctness=[0.0, 1 / 3, 2 / 3, 1.0, 1.0, np.nan])
    sent = unpack(map_places(frame).content)
    assert sent.correctness_names == ["0/3", "1/3", "2/3", "3/3"]
    assert sent.correctness_counts.tolist() == [1, 1, 1, 2]
    many = unpack(map_places(frame, num_epochs=24).content)
    assert len(many.correctness_names) == 13
    assert (many.correctness_names[0], many.correctness_names[-1]) == ("0 %", "100 %")


def test_what_cannot_be_drawn_is_said():
    assert unpack(map_places(small_map(), x="first_learnt_epoch").content).remarks == [
        "1 example has no first learnt epoch"
    ]
    frame = small_map().assign(loss=[np.nan, np.nan, 1, 2, 3, 4])
    places = map_places(frame, x="loss", y="loss")
    assert unpack(places.content).remarks == ["2 examples have no loss"]
    assert places.rows.tolist() == [2, 3, 4, 5]


def test_an_earlier_epoch_draws_the_same_rows_in_the_same_ranges():
    final = data_map_figure(small_map(50), colour="loss")
    earlier = small_map(50).assign(variability=0.9, loss=7.0)
    earlier.loc[3, "confidence"] = np.nan
    made = data_map_figure(earlier, colour="loss", like=final)
    assert made.places.rows.tolist() == final.places.rows.tolist()
    assert made.places.ranges == final.places.ranges
    assert made.colours.limits == final.colours.limits
    assert np.isnan(unpack(made.places.content).y[3])


def test_the_colour_range_does_not_depend_on_what_is_in_view():
    frame = small_map(50)
    part = data_map_figure(frame, colour="loss", window=(0.0, 0.1, 0.0, 1.0))
    assert part.colours.limits == data_map_figure(frame, colour="loss").colours.limits
    assert part.places.ranges == map_places(frame).ranges


def test_correctness_is_shown_between_0_and_1_with_a_bar_for_each_value():
    sent = unpack(data_map_figure(small_map().assign(correctness=[0, 1 / 3, 1 / 3, 1, 1, 1])).colours.content)
    assert (sent.scale, sent.limits) == ("correctness", [0.0, 1.0])
    np.testing.assert_allclose(sent.bars, [[0, 0], [1 / 3, 1 / 3], [1, 1]])
    assert sent.counts.tolist() == [1, 2, 3]


def test_a_score_has_a_histogram_that_counts_its_far_ends_too():
    frame = small_map(200)
    frame.loc[0, "loss"] = 1_000.0
    colours = data_map_figure(frame, colour="loss").colours
    sent = unpack(colours.content)
    assert len(sent.bars) == 24
    assert sent.counts.sum() == 200
    assert sent.limits[1] < sent.ends[1] == 1_000.0
    assert colours.bars[0][0] == sent.limits[0]


def test_labels_have_chips_in_the_suites_order_with_their_counts():
    made = data_map_figure(small_map(5), colour="label", labels=("yes", "no"))
    assert [(chip.name, chip.values, chip.count, chip.colour) for chip in made.colours.chips] == [
        ("yes", ("yes",), 2, 0),
        ("no", ("no",), 3, 1),
    ]
    assert unpack(made.colours.content).values.tolist() == [1, 0, 1, 0, 1]


def test_the_ninth_value_and_further_ones_are_other():
    names = [f"label {number}" for number in range(10)]
    made = data_map_figure(small_map(10).assign(label=names), colour="label", labels=names)
    assert unpack(made.colours.content).values.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 8]
    other = made.colours.chips[-1]
    assert (other.name, other.values, other.count, other.colour) == ("other", ("label 8", "label 9"), 2, None)


def test_the_most_frequent_values_have_colours_and_before_them_those_that_were_chosen():
    names = [f"label {number}" for number in range(10)]
    frame = small_map(12).assign(label=[*names, "label 9", "label 9"])
    chips = data_map_figure(frame, colour="label", labels=names).colours.chips
    assert [chip.name for chip in chips] == [*names[:7], "label 9", "other"]
    chosen = map_colours(frame, map_places(frame), "label", labels=names, first=["label 8"])
    assert [chip.name for chip in chosen.chips] == [*names[:6], "label 8", "label 9", "other"]
    early = map_colours(frame.assign(label="label 7"), map_places(frame), "label", labels=names, like=chosen)
    assert [chip.name for chip in early.chips] == [chip.name for chip in chosen.chips]


def test_a_column_of_the_pages_own_colours_the_map():
    frame = small_map(4)
    mask = np.array([True, False, False, True])
    column = pd.Series(pd.Categorical.from_codes(mask.astype("int8"), ["not in X", "in X"]), name="subset")
    colours = map_colours(frame, map_places(frame), column, quiet=["not in X"])
    assert colours.name == "subset"
    assert [(chip.name, chip.count, chip.colour) for chip in colours.chips] == [("not in X", 2, None), ("in X", 2, 0)]
    assert unpack(colours.content).values.tolist() == [1, 0, 0, 1]
    truth = map_colours(frame, map_places(frame), pd.Series(mask, name="seen"))
    assert [chip.name for chip in truth.chips] == ["no", "yes"]
    with pytest.raises(ValueError, match="3 values to colour 4 examples"):
        map_colours(frame, map_places(frame), column.iloc[:3])


def test_examples_without_a_value_have_a_chip_that_stands_for_nothing():
    frame = small_map(4).assign(group=pd.Categorical(["a", None, "a", None]))
    colours = data_map_figure(frame, colour="group").colours
    assert [(chip.name, chip.values, chip.count) for chip in colours.chips] == [("a", ("a",), 2), ("no group", (), 2)]
    assert unpack(colours.content).values.tolist() == [0, 1, 0, 1]
    nothing = data_map_figure(small_map(2).assign(group=pd.Categorical([None, None])), colour="group").colours
    assert [chip.name for chip in nothing.chips] == ["no group"]


def test_region_names_stand_only_on_the_axes_they_are_defined_on():
    assert unpack(map_places(small_map()).content).regions
    assert not unpack(map_places(small_map(), x="loss").content).regions


@pytest.mark.parametrize("num_examples", [1, 2])
@pytest.mark.parametrize("colour", ["loss", "label", "first_learnt_epoch"])
def test_the_smallest_maps_are_drawn(num_examples, colour):
    assert len(data_map_figure(small_map(num_examples), colour=colour).places.rows) == num_examples
