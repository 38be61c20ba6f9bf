import json

import numpy as np
import pytest

from ftft_core.cartography import compute_data_map
from ftft_core.dynamics import TrainingDynamics
from ftft_core.errors import InputError
from ftft_core.interchange import from_ftft, read_cartography, read_ftft, write_cartography


def some_dynamics(**options):
    generator = np.random.default_rng(0)
    logits = (generator.normal(size=(3, 5, 3)) * 4).astype(np.float32)
    names = ["hate", "none", "ärgerlich"]
    return TrainingDynamics.from_arrays(list("edcba"), [0, 1, 2, 0, 1], logits, label_names=names, **options)


def write_epochs(folder, epochs):
    """Write records as allenai/cartography does: (guid, logits, gold) of each epoch."""
    target = folder / "training_dynamics"
    target.mkdir(parents=True)
    for epoch, records in epochs.items():
        keys = ("guid", f"logits_epoch_{epoch}", "gold")
        lines = [
            record if isinstance(record, str) else json.dumps(dict(zip(keys, record, strict=True)))
            for record in records
        ]
        (target / f"dynamics_epoch_{epoch}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_cartography_round_trip_keeps_every_bit(tmp_path):
    dynamics = some_dynamics()
    folder = write_cartography(dynamics, tmp_path / "out")
    assert sorted(file.name for file in folder.iterdir()) == [f"dynamics_epoch_{epoch}.jsonl" for epoch in range(3)]
    for path in (tmp_path / "out", folder):
        back = read_cartography(path)
        assert np.array_equal(back.logits, dynamics.logits)
        assert back.example_ids.tolist() == dynamics.example_ids.tolist()
        assert back.labels.tolist() == dynamics.labels.tolist()
        assert back.label_names == dynamics.label_names
        assert back.seen.all()
    assert compute_data_map(back).equals(compute_data_map(dynamics))


def test_records_have_the_keys_that_cartography_reads(tmp_path):
    folder = write_cartography(some_dynamics(), tmp_path)
    record = json.loads((folder / "dynamics_epoch_1.jsonl").read_text(encoding="utf-8").splitlines()[2])
    assert list(record) == ["guid", "logits_epoch_1", "gold"]
    assert record["guid"] == "c"
    assert record["gold"] == 2


def test_only_counted_epochs_are_written_and_numbered_anew(tmp_path):
    seen = np.ones((3, 5), dtype=bool)
    seen[1, 2] = False
    dynamics = some_dynamics(seen=seen)
    write_cartography(dynamics, tmp_path)
    back = read_cartography(tmp_path)
    assert np.array_equal(back.logits, dynamics.logits[[0, 2]])


def test_an_export_over_an_export_is_refused(tmp_path):
    write_cartography(some_dynamics(), tmp_path)
    with pytest.raises(InputError, match="holds files already; export to an empty folder"):
        write_cartography(some_dynamics(), tmp_path)


def test_epochs_may_list_the_examples_in_different_orders(tmp_path):
    write_epochs(tmp_path, {0: [(10, [1, 2], 0), (11, [3, 4], 1)], 1: [(11, [7, 8], 1), (10, [5, 6], 0)]})
    dynamics = read_cartography(tmp_path, label_names=["no", "yes"])
    assert dynamics.example_ids.tolist() == ["10", "11"]
    assert dynamics.logits.tolist() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    assert dynamics.label_names == ("no", "yes")
    assert read_cartography(tmp_path).label_names == ("0", "1")


def test_all_problems_of_a_folder_are_told_with_file_and_line(tmp_path):
    write_epochs(
        tmp_path,
        {
            0: [("a", [1, 2], 0), "{broken", ("b", [1, 2, 3], 1), ("c", [1, None], 0), ("a", [1, 2], 0),
                ("d", [1, 2], 2)],
            1: ['{"guid": "a", "gold": 0}', ("e", [1, 2], 0), "[1]"],
            3: [("a", [1, 2], 1), (1.5, [1, 2], 0)],
        },
    )  # fmt: skip
    with pytest.raises(InputError, match="cannot be read as training dynamics") as caught:
        read_cartography(tmp_path)
    problems = "\n".join(caught.value.problems)
    for expected in [
        "dynamics_epoch_2.jsonl is missing.",
        "dynamics_epoch_0.jsonl line 2: is no JSON (Expecting property name enclosed in double quotes at character 2).",
        "dynamics_epoch_0.jsonl line 3: has 3 logits; the first record has 2.",
        "dynamics_epoch_0.jsonl line 4: logits_epoch_0 must be a list of finite numbers; received [1, None].",
        "dynamics_epoch_0.jsonl line 5: guid 'a' stands on line 1 already.",
        "dynamics_epoch_0.jsonl line 6: gold is 2; it must be a class index from 0 to 1.",
        "dynamics_epoch_1.jsonl line 1: lacks logits_epoch_1; it has guid, gold.",
        "dynamics_epoch_1.jsonl line 2: guid 'e' is not in dynamics_epoch_0.jsonl.",
        'dynamics_epoch_1.jsonl line 3: must be an object {"guid", "logits_epoch_...", "gold"}.',
        "dynamics_epoch_1.jsonl: lacks 1 examples of dynamics_epoch_0.jsonl: 'a'.",
        "dynamics_epoch_3.jsonl line 1: gold is 1, but 0 in dynamics_epoch_0.jsonl.",
        "dynamics_epoch_3.jsonl line 2: guid is 1.5; it must be text or a whole number.",
    ]:
        assert expected in problems


@pytest.mark.parametrize("value", ["1e39", "NaN", "Infinity", "1" + "0" * 400, "true", '"1"', "null"])
def test_logits_that_no_float32_can_hold_are_refused(tmp_path, value):
    write_epochs(tmp_path, {0: ['{"guid": 1, "logits_epoch_0": [0, ' + value + '], "gold": 0}']})
    with pytest.raises(InputError) as caught:
        read_cartography(tmp_path)
    assert "line 1: logits_epoch_0 must be a list of finite numbers" in caught.value.problems[0]


def test_lines_that_no_parser_can_read_are_told(tmp_path):
    write_epochs(tmp_path, {0: ["[" * 100_000, "1" * 5000]})
    with pytest.raises(InputError) as caught:
        read_cartography(tmp_path)
    assert "line 1: holds a number too long or lists too deep to read." in caught.value.problems[0]
    assert "line 2: holds a number too long or lists too deep to read." in caught.value.problems[1]


def test_a_file_that_is_no_text_is_told(tmp_path):
    write_epochs(tmp_path, {0: []})
    (tmp_path / "training_dynamics" / "dynamics_epoch_0.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError) as caught:
        read_cartography(tmp_path)
    assert "dynamics_epoch_0.jsonl: is not UTF-8 text." in caught.value.problems


def test_many_problems_are_counted_after_the_first_twenty(tmp_path):
    write_epochs(tmp_path, {0: ["broken"] * 50})
    with pytest.raises(InputError) as caught:
        read_cartography(tmp_path)
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1] == "... and 31 more."


def test_folders_that_hold_no_dynamics_are_refused(tmp_path):
    with pytest.raises(InputError, match="There is no folder"):
        read_cartography(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds no dynamics_epoch_0\.jsonl"):
        read_cartography(tmp_path)
    write_epochs(tmp_path, {0: []})
    with pytest.raises(InputError, match="holds no usable record"):
        read_cartography(tmp_path)


def test_label_names_that_are_no_list_are_refused(tmp_path):
    write_cartography(some_dynamics(), tmp_path)
    (tmp_path / "label_names.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match="must hold a JSON list of label names"):
        read_cartography(tmp_path)


def test_ftft_is_read_without_unpickling_and_rows_of_zeros_are_not_seen(tmp_path):
    torch = pytest.importorskip("torch")
    logits = torch.tensor([[[1.0, 2], [3, 4]], [[5, 6], [7, 8]], [[0, 0], [9, 1]]])  # (epochs, N, classes)
    torch.save({11: logits[:, 0, :], 10: logits[:, 1, :]}, tmp_path / "uid_to_logits.pt")
    dynamics = read_ftft(
        tmp_path,
        {"10": "yes", "11": "no"},
        label_names=["no", "yes"],
        load_tensors=lambda file: torch.load(file, weights_only=True),
    )
    assert dynamics.example_ids.tolist() == ["10", "11"]
    assert dynamics.labels.tolist() == [1, 0]
    assert dynamics.logits[1].tolist() == [[7, 8], [5, 6]]
    assert dynamics.seen.tolist() == [[True, True], [True, True], [True, False]]
    assert dynamics.counted_epochs.tolist() == [0, 1]


def test_ftft_dynamics_that_do_not_fit_their_labels_are_refused(tmp_path):
    with pytest.raises(InputError, match="There is no file"):
        read_ftft(tmp_path, {}, load_tensors=lambda _: {})
    with pytest.raises(InputError, match="must hold a dictionary"):
        from_ftft([1, 2], {})
    with pytest.raises(InputError, match="label_names is needed"):
        from_ftft({"a": [[1, 2]]}, {"a": "yes"})
    with pytest.raises(InputError, match="must hold numbers only"):
        from_ftft({"a": [["x", "y"]]}, {"a": 0})
    with pytest.raises(InputError) as caught:
        from_ftft({"a": [[1, 2]], "b": [[1, 2, 3]]}, {"a": 0, "c": 1})
    problems = "\n".join(caught.value.problems)
    assert "found (1, 2), (1, 3)" in problems
    assert "1 examples have no labels: 'b'." in problems
    assert "1 examples have no logits: 'c'." in problems


@pytest.mark.parametrize("place", ["file", "file/below", "a" * 300, "nul\0", "", " ", "~no-such-user/x"])
def test_a_place_that_cannot_be_written_to_is_one_sentence(tmp_path, place):
    (tmp_path / "file").touch()
    path = tmp_path / place if place.strip() and not place.startswith("~") else place
    with pytest.raises(InputError) as caught:
        write_cartography(some_dynamics(), path)
    assert "\n" not in str(caught.value)
    assert "give a" in str(caught.value)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("place", ["", "nul\0", "~no-such-user", "a" * 300])
def test_a_place_that_cannot_be_read_is_one_sentence(place):
    for read in (read_cartography, lambda path: read_ftft(path, {}, load_tensors=lambda _: {})):
        with pytest.raises(InputError) as caught:
            read(place)
        assert "give" in str(caught.value)


def test_the_home_folder_may_be_meant(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_cartography(some_dynamics(), "~/out")
    assert (tmp_path / "out" / "training_dynamics").is_dir()
    assert len(read_cartography("~/out").example_ids) == 5


def test_an_export_that_broke_off_does_not_block_the_next(tmp_path, monkeypatch):
    real = json.dumps
    lines = []

    def breaks_off(value, **options):
        lines.append(value)
        if len(lines) == 7:
            raise OSError(28, "No space left on device")
        return real(value, **options)

    monkeypatch.setattr("ftft_core.interchange.json.dumps", breaks_off)
    with pytest.raises(InputError, match=r"can't be written to .* \(No space left on device\)"):
        write_cartography(some_dynamics(), tmp_path)
    assert not (tmp_path / "training_dynamics").exists()
    write_cartography(some_dynamics(), tmp_path)
    assert len(read_cartography(tmp_path).logits) == 3


def test_an_epoch_that_is_a_folder_is_told(tmp_path):
    write_epochs(tmp_path, {0: [("a", [1, 2], 0)]})
    (tmp_path / "training_dynamics" / "dynamics_epoch_1.jsonl").mkdir()
    with pytest.raises(InputError) as caught:
        read_cartography(tmp_path)
    assert "dynamics_epoch_1.jsonl: can't be read (Is a directory)." in caught.value.problems
