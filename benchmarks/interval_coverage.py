"""How often the 95 % interval of a difference holds the true difference, on data whose truth is known.

Prints JSON. Found with the defaults (500 examples, 1,000 trials per row, so about +-1.4 points at 95 %), coverage in
percent of our interval with paired seeds / with unpaired seeds / of plain two-level percentile resampling:

    seeds   small seed noise       large seed noise
    1       93.9 / 93.9 / 93.7     37.3 / 37.3 / 37.2    one seed cannot show seed noise: never read it as certain
    2       99.3 / 99.8 / 99.0     95.8 / 99.7 / 72.6    right, but so wide that it says nothing
    3       99.4 / 99.9 / 99.4     95.9 / 98.9 / 82.7
    5       99.4 / 99.4 / 99.7     96.1 / 98.0 / 88.5

So from two seeds on ours reaches its 95 % where plain resampling has 73 to 89 %; where seeds hardly matter both are
too wide, since the noise of the examples is counted in each seed's score and once more. The price of few seeds is
width: with large seed noise 40 points at 3 seeds, 21 at 5 (about 14 to 16 for the plain one, which is wrong).
(Measured before intervals were cut to [-1, 1], which changes widths at 2 seeds only, and no coverage.)
"""

from __future__ import annotations

import argparse
import json
import math

import numpy as np
import numpy.typing as npt

from ftft_core.comparison.bootstrap import SeedScores, difference

EXAMPLE_SPREAD = 1.5
SHIFT = 0.15  # the second method's advantage, in the latent scale
SEED_NOISE = {"small": 0.02, "large": 0.3}  # standard deviation of a run's shift, in the latent scale


def simulate(
    num_seeds: int, num_examples: int, seed_noise: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], float]:
    """Right or wrong (2 methods, seeds, examples), and the true difference in accuracy.

    Right is: difficulty of the example (shared by all) + shift of the method + shift of the run + noise > 0.
    """
    shifts = np.array([0.5, 0.5 + SHIFT])
    latent = (
        rng.normal(0, EXAMPLE_SPREAD, num_examples)
        + (shifts[:, None] + rng.normal(0, seed_noise, (2, num_seeds)))[:, :, None]
        + rng.normal(0, 1, (2, num_seeds, num_examples))
    )
    spread = math.sqrt(EXAMPLE_SPREAD**2 + seed_noise**2 + 1)
    expected = [0.5 * (1 + math.erf(shift / spread / math.sqrt(2))) for shift in shifts]
    return (latent > 0).astype(np.float64), expected[1] - expected[0]


def measure(
    num_seeds: int, seed_noise: float, *, num_trials: int, num_examples: int, num_resamples: int, seed: int
) -> dict[str, float]:
    """Coverage and mean width of our interval (paired and unpaired seeds) and of plain two-level percentiles."""
    rng = np.random.default_rng(seed)
    hits = {"paired": 0, "unpaired": 0, "plain_percentile": 0}
    widths = dict.fromkeys(hits, 0.0)
    seeds = tuple(range(num_seeds))
    for trial in range(num_trials):
        right, truth = simulate(num_seeds, num_examples, seed_noise, rng)
        counts = rng.multinomial(num_examples, np.full(num_examples, 1 / num_examples), num_resamples)
        resampled = right @ counts.T / num_examples  # (2, seeds, resamples)
        points = right.mean(axis=2)
        baseline, method = (SeedScores(seeds, points[m], resampled[m]) for m in (0, 1))
        other_seeds = SeedScores(tuple(s + num_seeds for s in seeds), points[1], resampled[1])
        drawn = rng.integers(0, num_seeds, (num_resamples, num_seeds))
        per_seed = resampled[1] - resampled[0]
        plain = np.quantile(per_seed[drawn, np.arange(num_resamples)[:, None]].mean(axis=1), [0.025, 0.975])
        paired, unpaired = difference(method, baseline, seed=trial), difference(other_seeds, baseline, seed=trial)
        intervals = {
            "paired": (paired.low, paired.high),
            "unpaired": (unpaired.low, unpaired.high),
            "plain_percentile": tuple(plain),
        }
        for name, (low, high) in intervals.items():
            hits[name] += low <= truth <= high
            widths[name] += high - low
    return {
        **{f"{name}_coverage": count / num_trials for name, count in hits.items()},
        **{f"{name}_mean_width_points": round(100 * width / num_trials, 2) for name, width in widths.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000, help="simulated comparisons per row")
    parser.add_argument("--examples", type=int, default=500, help="test examples")
    parser.add_argument("--resamples", type=int, default=400, help="bootstrap resamples")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = [
        {
            "num_seeds": num_seeds,
            "seed_noise": name,
            **measure(
                num_seeds,
                noise,
                num_trials=options.trials,
                num_examples=options.examples,
                num_resamples=options.resamples,
                seed=options.seed,
            ),
        }
        for num_seeds in (1, 2, 3, 5)
        for name, noise in SEED_NOISE.items()
    ]
    print(json.dumps({"aimed_at": 0.95, **vars(options), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
