"""What a plan expects of runs beside what they then took: seconds, processor seconds, FLOPs, steps and memory.

Real runs of MiniLM on the sample suite, each planned and then trained at once, in processes of their own as the worker
starts them. Prints JSON: `seconds_ratio` is taken over expected by the clock. Other programs slow down warm-up and run
differently, so `processor_ratio` says the same of the processor's seconds, and load averages are noted around each.
`python benchmarks/plans.py [NUMBER]` plans and trains the first so many of the configurations.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ftft_core.config import RunConfig
from ftft_core.jobs.queue import child_environment
from ftft_core.planning.asked import as_config
from ftft_core.selection import Recipe
from ftft_core.suites import build_sample_suite
from ftft_core.workspace import Workspace

CONFIGS: tuple[dict[str, Any], ...] = (
    {"epochs": 1},
    {"layers": 3, "epochs": 2, "method": "reference"},
    {"subset": "third", "method": "random", "epochs": 2},
    {"layers": 4, "batch_size": 16, "max_steps": 150, "snapshots": 3},
    {"layers": 2, "max_length": 32, "epochs": 3, "stop": "patience", "patience": 1000},
    {"layers": 4, "epochs": 1, "max_length": 256, "batch_size": 64},
    {"max_flops": 4e12},
    {"precision": "fp32", "layers": 3, "max_steps": 60},
)
"""Fields of runs, flat; suite and model are those below."""


def main(number: int) -> None:
    results = []
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "workspace")
        workspace.add_suite("sample", build_sample_suite(Path(folder) / "sample"))
        workspace.save_subset(Recipe(strategy="random", fraction=1 / 3), suite="sample", name="third")
        for fields in CONFIGS[:number]:
            config, problems = as_config({"suite": "sample", "model": "minilm", **fields})
            assert config is not None, problems
            results.append({"run": fields, **plan_and_train(workspace, config)})
            print(json.dumps(results[-1]), file=sys.stderr)
    ratios = [each["seconds_ratio"] for each in results]
    summary = {
        "runs": results,
        "median_seconds_ratio": statistics.median(ratios),
        "within_25_percent": sum(abs(ratio - 1) <= 0.25 for ratio in ratios),
        "within_25_percent_by_processor": sum(abs(each["processor_ratio"] - 1) <= 0.25 for each in results),
        "median_warm_up_seconds": statistics.median(each["warm_up_seconds"] for each in results),
        "num_cores": os.cpu_count(),
    }
    json.dump(summary, sys.stdout, indent=1)
    print()


def plan_and_train(workspace: Workspace, config: RunConfig) -> dict[str, Any]:
    loads, began = [os.getloadavg()[0]], time.perf_counter()
    workspace.start_measuring([config])
    while workspace.measuring([config]) is not None:
        time.sleep(0.1)
    warm_up_seconds = time.perf_counter() - began
    plan = workspace.plan([config])
    assert plan.is_measured, (plan.problems, plan.measuring_failed)
    expected = plan.runs[0]
    assert expected is not None
    loads.append(os.getloadavg()[0])

    run = workspace.queue_run(config)
    folder = workspace.run_folder(run)
    began = time.perf_counter()
    with folder.log.open("wb") as log:
        command = [sys.executable, "-m", "ftft_core.training", str(folder.path)]
        child = subprocess.Popen(command, stdout=log, stderr=log, env=child_environment())
        _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, folder.log.read_text(encoding="utf-8")
    loads.append(os.getloadavg()[0])
    state = folder.read_state()
    processor_seconds = usage.ru_utime + usage.ru_stime
    return {
        "expected_seconds": round(expected.seconds, 1),
        "taken_seconds": round(seconds, 1),
        "seconds_ratio": round(seconds / expected.seconds, 3),
        "processor_ratio": round(processor_seconds / expected.processor_seconds, 3),
        "processor_share": round(processor_seconds / seconds, 2),
        "expected_train_seconds": round(expected.train_seconds, 1),
        "taken_train_seconds": round(state["train_seconds"], 1),
        "parts": {name: round(value, 1) for name, value in expected.parts.items()},
        "steps": [expected.num_steps, state["num_optimizer_steps"]],
        "flops_ratio": state["train_flops"] / expected.train_flops,
        "peak_memory_mib": [round(expected.peak_memory_mib), round(state["peak_memory_mib"])],
        "warm_up_seconds": round(warm_up_seconds, 1),
        "load_before_between_after": [round(load, 1) for load in loads],
    }


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else len(CONFIGS))
