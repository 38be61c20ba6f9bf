"""Training dynamics: what a model said about every training example, epoch by epoch, and the recorders of it.

Owns the data class `TrainingDynamics`, the recorder for any training loop and the callback for a Hugging Face
`Trainer`. It does not compute scores (`cartography`) and reads or writes no files (`store`, `interchange`).
Neither torch nor transformers is imported: tensors are asked for their numpy array.
"""

from ftft_core.dynamics.arrays import BoolArray, FloatArray, IdArray, IntArray, TrainingDynamics
from ftft_core.dynamics.callback import DynamicsCallback
from ftft_core.dynamics.recorder import DynamicsRecorder, EpochFrame

__all__ = [
    "BoolArray",
    "DynamicsCallback",
    "DynamicsRecorder",
    "EpochFrame",
    "FloatArray",
    "IdArray",
    "IntArray",
    "TrainingDynamics",
]
