import subprocess
import sys

import numpy as np
import pytest

from ftft_core.cartography import compute_data_map
from ftft_core.dynamics import DynamicsCallback, DynamicsRecorder, TrainingDynamics
from ftft_core.errors import InputError, RunError


def test_dynamics_are_made_from_plain_lists():
    dynamics = TrainingDynamics.from_arrays([7, 8], [0, 1], [[[1, 0], [0, 1]]])
    assert dynamics.example_ids.tolist() == ["7", "8"]
    assert dynamics.label_names == ("0", "1")
    assert dynamics.logits.dtype == np.float32
    assert dynamics.counted_epochs.tolist() == [0]
    assert (dynamics.num_epochs, dynamics.num_examples, dynamics.num_classes) == (1, 2, 2)


def test_labels_may_be_names():
    dynamics = TrainingDynamics.from_arrays("ab", ["yes", "no"], np.zeros((1, 2, 2)), label_names=["no", "yes"])
    assert dynamics.labels.tolist() == [1, 0]
    with pytest.raises(InputError, match=r"There is no label 'yess' .* Did you mean 'yes'"):
        TrainingDynamics.from_arrays("ab", ["yess", "no"], np.zeros((1, 2, 2)), label_names=["no", "yes"])


def test_all_problems_are_reported_together():
    logits = np.zeros((2, 4, 3), dtype=np.float32)
    logits[1, 2, 0] = np.nan
    with pytest.raises(InputError) as caught:
        TrainingDynamics.from_arrays(["a", "a", "", "b"], [0, 3, -1, 1], logits, label_names=["x", "x"])
    problems = "\n".join(caught.value.problems)
    assert "label_names has 2 names; the logits have 3 classes." in problems
    assert "label_names must differ from one another; received x, x." in problems
    assert "2 labels are outside 0 to 2: 3 at row 1, -1 at row 2." in problems
    assert "1 example ids occur more than once: 'a'." in problems
    assert "1 example ids are empty" in problems
    assert "1 rows of logits are not finite though seen: epoch 1 example 2." in problems


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros((2, 2)), r"logits has shape \(2, 2\); it must be \(epochs, examples, classes\)"),
        (np.zeros((0, 2, 2)), "at least 1 epoch, 1 example and 2 classes are needed"),
        (np.zeros((1, 2, 1)), "at least 1 epoch, 1 example and 2 classes are needed"),
        (np.zeros((1, 3, 2)), r"example_ids has shape \(2,\); it must be \(3,\)"),
        ([[["a", "b"]]], "logits must be an array of numbers"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(logits, message):
    with pytest.raises(InputError, match=message):
        TrainingDynamics.from_arrays("ab", [0, 0], logits)


def test_labels_that_are_no_whole_numbers_are_refused():
    with pytest.raises(InputError, match="labels must be whole numbers"):
        TrainingDynamics.from_arrays("ab", [0.5, 0], np.zeros((1, 2, 2)))


def test_what_was_not_seen_need_not_be_finite():
    logits = np.zeros((2, 2, 2), dtype=np.float32)
    logits[1, 0] = np.nan
    dynamics = TrainingDynamics.from_arrays("ab", [0, 0], logits, seen=[[True, True], [False, True]])
    assert dynamics.counted_epochs.tolist() == [0]
    assert dynamics.first(1).num_epochs == 1
    with pytest.raises(InputError, match="whole number from 1 to 1"):
        dynamics.first(2)


def test_recorder_collects_batches_by_id_and_by_position():
    recorder = DynamicsRecorder(["a", "b", "c"], ["no", "yes", "no"], label_names=["no", "yes"])
    recorder.record(0, ["c", "a"], [[3, 0], [1, 0]])
    frame = recorder.epoch_frame()
    assert (frame.epoch, frame.positions.tolist(), frame.finished) == (0, [0, 2], False)
    assert frame.logits.tolist() == [[1, 0], [3, 0]]
    recorder.record(0, np.array([1]), np.array([[2.0, 0.0]]))
    recorder.record(1, [0], [[9, 9]])
    assert recorder.epoch_frame(0).finished
    assert recorder.epochs == [0, 1]
    dynamics = recorder.dynamics()
    assert dynamics.counted_epochs.tolist() == [0]
    assert dynamics.logits[0].tolist() == [[1, 0], [2, 0], [3, 0]]
    assert dynamics.labels.tolist() == [0, 1, 0]


def test_recorder_takes_tensors_of_any_precision():
    torch = pytest.importorskip("torch")
    recorder = DynamicsRecorder("ab", [0, 1], num_classes=2)
    logits = torch.tensor([[0.5, 1.0], [2.0, 0.25]], dtype=torch.bfloat16, requires_grad=True)
    recorder.record(0, torch.tensor([1, 0]), logits)
    assert recorder.dynamics().logits[0].tolist() == [[2.0, 0.25], [0.5, 1.0]]


def test_an_example_seen_twice_in_an_epoch_keeps_its_first_logits():
    recorder = DynamicsRecorder("ab", [0, 1], num_classes=2)
    recorder.record(0, [0, 0], [[1, 0], [2, 0]])
    recorder.record(0, [0, 1], [[3, 0], [4, 0]])
    assert recorder.epoch_frame().logits.tolist() == [[1, 0], [4, 0]]


def test_recorder_goes_on_from_its_state():
    recorder = DynamicsRecorder("abc", [0, 1, 0], num_classes=2)
    recorder.record(2, [0, 1], [[1, 2], [3, 4]])
    state = recorder.state_arrays()
    recorder.record(2, [2], [[5, 6]])
    resumed = DynamicsRecorder("abc", [0, 1, 0], num_classes=2)
    resumed.load_state_arrays(state)
    assert resumed.current_epoch == 2
    assert resumed.epoch_frame().positions.tolist() == [0, 1]
    resumed.record(2, [2], [[5, 6]])
    assert resumed.epoch_frame().logits.tolist() == recorder.epoch_frame().logits.tolist()
    assert resumed.dynamics().counted_epochs.tolist() == [2]
    with pytest.raises(InputError, match="it belongs to other training examples"):
        DynamicsRecorder("ab", [0, 1], num_classes=2).load_state_arrays(state)
    with pytest.raises(InputError, match="lacks seen"):
        resumed.load_state_arrays({"epoch": 0, "logits": []})


@pytest.mark.parametrize(
    ("epoch", "examples", "logits", "message"),
    [
        (0, [2], [[0, 0]], "Position 2 is outside 0 to 1"),
        (0, ["z"], [[0, 0]], "There is no example 'z'"),
        (0, [0], [[0, 0, 0]], r"logits has shape \(1, 3\); it must be \(1, 2\)"),
        (-1, [0], [[0, 0]], "epoch is -1"),
        (0, [[0]], [[0, 0]], r"examples has shape \(1, 1\)"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(epoch, examples, logits, message):
    with pytest.raises(InputError, match=message):
        DynamicsRecorder("ab", [0, 1], num_classes=2).record(epoch, examples, logits)


def test_diverged_logits_stop_the_run():
    recorder = DynamicsRecorder("ab", [0, 1], num_classes=2)
    with pytest.raises(RunError, match="example 'b' in epoch 0 are not finite: the model has diverged"):
        recorder.record(0, [0, 1], [[0, 0], [float("nan"), 0]])
    with pytest.raises(InputError, match="Nothing was recorded yet"):
        recorder.dynamics()


def test_a_recorder_needs_to_know_the_classes():
    with pytest.raises(InputError, match="needs label_names or num_classes"):
        DynamicsRecorder("ab", [0, 1])
    with pytest.raises(InputError, match="num_classes is 3, but label_names has 2 names"):
        DynamicsRecorder("ab", [0, 1], label_names=["x", "y"], num_classes=3)
    with pytest.raises(InputError, match="1 labels are outside 0 to 1"):
        DynamicsRecorder("ab", [0, 2], num_classes=2)


def test_importing_dynamics_cartography_and_selection_imports_nothing_heavy():
    code = (
        "import sys, ftft_core.dynamics, ftft_core.cartography, ftft_core.selection, ftft_core.interchange;"
        "heavy = {'torch', 'transformers', 'datasets', 'shapely', 'scipy', 'sklearn', 'duckdb'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def tiny_bert():
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=16, id2label={0: "no", 1: "maybe", 2: "yes"}, label2id={"no": 0, "maybe": 1, "yes": 2},
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return transformers.BertForSequenceClassification(config)


def rows(num_examples=10):
    generator = np.random.default_rng(0)
    return [
        {
            "input_ids": generator.integers(1, 40, 6).tolist(),
            "attention_mask": [1] * 6,
            "labels": int(generator.integers(0, 3)),
            "example_id": f"e{position}",
        }
        for position in range(num_examples)
    ]


class ListDataset:
    def __init__(self, examples):
        self.examples = examples

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, position):
        return self.examples[position]


def make_trainer(tmp_path, data, **options):
    transformers = pytest.importorskip("transformers")
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, report_to=[], num_train_epochs=2, per_device_train_batch_size=3,
        gradient_accumulation_steps=2, save_strategy="no", logging_strategy="no", eval_strategy="epoch", seed=1,
        learning_rate=1e-2, disable_tqdm=True, dataloader_pin_memory=False, **options,
    )  # fmt: skip
    trainer = transformers.Trainer(model=tiny_bert(), args=arguments, train_dataset=data, eval_dataset=data)
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


@pytest.mark.parametrize("kind", ["datasets", "list"])
def test_one_line_records_a_hugging_face_trainer(tmp_path, kind):
    data = pytest.importorskip("datasets").Dataset.from_list(rows()) if kind == "datasets" else ListDataset(rows())
    plain = make_trainer(tmp_path / "plain", data)
    plain.train()

    trainer = make_trainer(tmp_path / "recorded", data)
    callback = DynamicsCallback(trainer)
    trainer.add_callback(callback)
    before = trainer.model(**{key: callback_tensor([row[key] for row in rows()]) for key in ("input_ids",)}).logits
    trainer.train()

    dynamics = callback.dynamics()
    assert dynamics.example_ids.tolist() == [f"e{position}" for position in range(10)]
    assert dynamics.labels.tolist() == [row["labels"] for row in rows()]
    assert dynamics.label_names == ("no", "maybe", "yes")
    assert dynamics.counted_epochs.tolist() == [0, 1]
    assert len(compute_data_map(dynamics)) == 10
    # The first optimizer step spans 6 examples, seen before any weight changed: theirs are the initial logits.
    same = np.isclose(dynamics.logits[0], before.detach().numpy(), atol=1e-5).all(axis=1)
    assert same.sum() == 6
    # Recording changes nothing about the training, and leaves no hook behind.
    for name, value in plain.model.state_dict().items():
        assert value.equal(trainer.model.state_dict()[name]), name
    assert not trainer.model._forward_hooks
    assert not trainer.model._forward_pre_hooks


def callback_tensor(values):
    return pytest.importorskip("torch").tensor(values)


def test_a_collator_that_drops_the_position_is_told(tmp_path):
    trainer = make_trainer(tmp_path, ListDataset(rows()))
    callback = DynamicsCallback(trainer)
    trainer.add_callback(callback)
    collate = trainer.data_collator
    trainer.data_collator = lambda batch: {k: v for k, v in collate(batch).items() if k != "ftft_position"}
    with pytest.raises(InputError, match="the data collator or the data loader drops it"):
        trainer.train()
    callback.remove_hooks()


def test_a_trainer_without_labels_or_length_is_refused(tmp_path):
    unlabelled = [{key: row[key] for key in ("input_ids", "attention_mask")} for row in rows()]
    with pytest.raises(InputError, match="have no column 'labels' or 'label'"):
        DynamicsCallback(make_trainer(tmp_path, ListDataset(unlabelled)))
    trainer = make_trainer(tmp_path, ListDataset(rows()))
    with pytest.raises(InputError, match="9 example ids were given for 10 rows"):
        DynamicsCallback(trainer, example_ids=range(9))
    trainer.train_dataset = iter([])
    with pytest.raises(InputError, match="must have a length"):
        DynamicsCallback(trainer)


def test_batches_are_counted_through_a_resume_and_repeats_keep_their_first():
    recorder = DynamicsRecorder("abc", [0, 1, 0], num_classes=2)
    recorder.record(0, [2], [[1, 0]])
    state = recorder.state_arrays()
    resumed = DynamicsRecorder("abc", [0, 1, 0], num_classes=2)
    resumed.load_state_arrays(state)
    for each in (recorder, resumed):
        each.record(0, [2, 0], [[3, 0], [4, 0]])
        each.record(0, [1], [[5, 0]])
        assert each.dynamics().steps.tolist() == [[1, 2, 0]]
        assert each.epoch_frame().steps.tolist() == [1, 2, 0]
    old = {name: values for name, values in state.items() if name not in {"steps", "num_batches"}}
    resumed.load_state_arrays(old)
    resumed.record(0, [0, 1], [[3, 0], [4, 0]])
    assert resumed.dynamics().steps.tolist() == [[-1, -1, -1]], "of the first batch it is not known"
