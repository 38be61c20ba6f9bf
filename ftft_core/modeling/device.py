"""Device and precision: the best that this machine has, or what was asked for.

Hugging Face Accelerate finds the device (CUDA, MPS, else the CPU) and runs one process or several; this module
chooses the precision and makes arithmetic repeatable.
"""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.tracking import GeneralTracker
from accelerate.utils import set_seed

from ftft_core.errors import InputError


@dataclass(frozen=True)
class DeviceFacts:
    """What a run was computed on; kept with the run."""

    device: str
    device_name: str
    precision: str
    num_processes: int
    num_threads: int

    def as_dict(self) -> dict[str, str | int]:
        """Plain values, for JSON."""
        return asdict(self)


def choose_precision(requested: str, device_type: str) -> str:
    """Give fp32, bf16 or fp16.

    :param requested: one of `config.PRECISIONS`.
    :param device_type: `cuda`, `mps`, `cpu` or another of torch's.
    :raises InputError: when the device can't do what was asked for.
    """
    if requested == "auto":
        if device_type == "cuda":
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        return "bf16" if device_type == "cpu" and _cpu_multiplies_bf16() else "fp32"
    if requested == "fp16" and device_type != "cuda":
        raise InputError(f"precision: fp16 needs CUDA, but this machine's device is {device_type}; use bf16 or fp32.")
    return requested


def make_accelerator(precision: str, *, trackers: Sequence[GeneralTracker] = ()) -> Accelerator:
    """Make the Accelerator of a run, with repeatable arithmetic.

    :param precision: one of `config.PRECISIONS`.
    :param trackers: what its `log` tells values to, once they have begun.
    """
    make_deterministic()
    device_type = _device_type()
    chosen = choose_precision(precision, device_type)
    # Accelerate keeps precision and gradient state for the whole process; what another training in it left behind,
    # such as a Trainer's, would make ours skip its optimizer steps.
    AcceleratorState._reset_state()
    GradientState._reset_state()
    return Accelerator(
        mixed_precision="no" if chosen == "fp32" else chosen, cpu=device_type == "cpu", log_with=list(trackers) or None
    )


def make_deterministic() -> None:
    """Have torch choose kernels that give the same bits every time, where it has them."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling memory that is about to be overwritten costs time and does not change results.
    torch.utils.deterministic.fill_uninitialized_memory = False
    # An operation without a deterministic kernel is used all the same; the run then repeats but for its last bits.
    warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, on every device."""
    set_seed(seed)


def describe_device(accelerator: Accelerator | None = None, *, precision: str = "auto") -> DeviceFacts:
    """Give the facts of the device that a run uses, or would use."""
    device_type = accelerator.device.type if accelerator else _device_type()
    chosen = choose_precision(precision, device_type)
    name = torch.cuda.get_device_name() if device_type == "cuda" else platform.processor() or platform.machine()
    num_processes = accelerator.num_processes if accelerator else 1
    return DeviceFacts(device_type, name, chosen, num_processes, torch.get_num_threads())


def library_versions() -> dict[str, str]:
    """Versions of Python and of the main libraries; a machine that only trains may lack the app's."""
    versions = {"python": platform.python_version()}
    for name in ("torch", "transformers", "accelerate", "tokenizers", "numpy", "duckdb", "streamlit"):
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def peak_memory_mib() -> float:
    """Largest memory that this process has held so far, in MiB: the GPU's where there is one, else the process's."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated()) / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (2**20 if platform.system() == "Darwin" else 2**10)


def _device_type() -> str:
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() in {"1", "true", "yes"}:
        # `accelerate launch --cpu`
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _cpu_multiplies_bf16() -> bool:
    # Without the processor's own instructions bf16 is emulated, and slower than fp32.
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    if any(getattr(torch.cpu, check, bool)() for check in checks):
        return True
    return platform.machine() in {"aarch64", "arm64"} and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
