"""Training: from a queued run's folder to dynamics, scores, predictions and a model.

`batches` orders the examples, `setup` loads everything, `loop` trains, `checkpoint` saves and restores, `reporting`
writes the files that others read. `python -m ftft_core.training RUN_FOLDER` is a training process; it never opens the
database.
"""
