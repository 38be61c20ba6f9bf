"""What a model predicts on a split: logits of every example, in the split's order.

Evaluation changes nothing of a run: no random number is drawn, and the model is given back in the mode in which it
came. Scores of predictions are in `metrics`, which needs no torch.
"""

from __future__ import annotations

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from ftft_core.modeling.batching import make_batch
from ftft_core.modeling.lengths import evaluation_batches
from ftft_core.suites import TokenisedSplit


@torch.no_grad()
def predict(
    model: torch.nn.Module, tokens: TokenisedSplit, *, pad_token_id: int, accelerator: Accelerator
) -> NDArray[np.float32]:
    """Give the logits of every example, shape (examples, classes), the same on every process.

    Examples are sorted by length into batches and put back in their order; each process predicts its share.
    """
    was_training = model.training
    model.eval()
    # Called without its wrapper, which waits for all processes in every pass: they make different numbers of them.
    classifier = accelerator.unwrap_model(model)
    mine = np.arange(accelerator.process_index, len(tokens), accelerator.num_processes)
    predicted = [
        (rows, _forward(classifier, tokens, rows, length, pad_token_id, accelerator))
        for rows, length in evaluation_batches(tokens.lengths, mine)
    ]
    model.train(was_training)
    rows = torch.from_numpy(np.concatenate([mine[:0], *(rows for rows, _ in predicted)])).to(accelerator.device)
    none = torch.empty(0, classifier.config.num_labels, device=accelerator.device)
    logits = torch.cat([none, *(logits for _, logits in predicted)])
    if accelerator.num_processes > 1:
        # Shares differ by one example at most; the padding is marked by row -1.
        rows = accelerator.gather(accelerator.pad_across_processes(rows, pad_index=-1))
        logits = accelerator.gather(accelerator.pad_across_processes(logits))
        logits, rows = logits[rows >= 0], rows[rows >= 0]
    in_order = torch.empty_like(logits)
    in_order[rows] = logits
    return in_order.float().cpu().numpy()


def _forward(
    model: torch.nn.Module,
    tokens: TokenisedSplit,
    rows: NDArray[np.integer],
    length: int,
    pad_token_id: int,
    accelerator: Accelerator,
) -> torch.Tensor:
    batch = make_batch(tokens, rows, length, pad_token_id=pad_token_id, device=accelerator.device)
    with accelerator.autocast():
        logits: torch.Tensor = model(**batch).logits
    return logits.float()
