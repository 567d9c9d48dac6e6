"""Time of the same figures by a naive NumPy script, a loop over samples as reference code has it, and by vectorised NumPy.

    cargo bench -p star-eval --bench score --no-run      # prints the program's path
    python score_numpy.py --rounds 5 -- env SCORE_BENCH_RATIO=1 target/release/deps/score-<hash>

With a command after `--`, runs it after every round, so that both are measured in alternation, and prints ratios of medians.
"""

import argparse
import os
import statistics
import subprocess
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402

THRESHOLD = 0.10


def figures(errors):
    return np.mean(errors), np.mean(errors > THRESHOLD), np.mean(np.maximum(0.0, 1.0 - errors / THRESHOLD))


def curve_figures(errors):
    ordered = np.sort(errors)
    return figures(ordered)


def naive(predicted, truth):
    errors = []
    for p, t in zip(predicted, truth):
        length = np.linalg.norm(t[60] - t[72])
        errors.append(np.mean(np.linalg.norm(p - t, axis=1)) / length)
    return figures(np.array(errors))


def vectorised(predicted, truth):
    length = np.linalg.norm(truth[:, 60] - truth[:, 72], axis=1)
    return figures(np.linalg.norm(predicted - truth, axis=2).mean(1) / length)


def timed(work, *arguments):
    start = time.perf_counter()
    work(*arguments)
    return 1e3 * (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 200, (2500, 98, 2)).astype(np.float32)
    predicted = truth + rng.uniform(-4, 4, truth.shape).astype(np.float32)
    many = 0.3 * rng.uniform(size=10_000_000) ** 2
    times = {"naive": [], "vectorised": [], "sorted": [], "ours": [], "ours, many": []}
    command = [part for part in options.command if part != "--"]
    for _ in range(options.rounds):
        times["naive"].append(timed(naive, predicted, truth))
        times["vectorised"].append(timed(vectorised, predicted, truth))
        times["sorted"].append(timed(curve_figures, many))
        if command:
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            lines = dict(line.rsplit(" ", 2)[:2] for line in output.splitlines() if line.endswith(" ms"))
            times["ours"].append(float(lines["evaluate/2500x98"]))
            times["ours, many"].append(float(lines["ced/10000000"]))
    median = {name: statistics.median(values) for name, values in times.items() if values}
    for name, value in median.items():
        print(f"{name}: {value:.3f} ms")
    if command:
        for name in ("naive", "vectorised"):
            print(f"evaluate/2500x98: {name} NumPy takes {median[name] / median['ours']:.1f} times as long")
        print(f"ced/10000000: NumPy takes {median['sorted'] / median['ours, many']:.1f} times as long")


main()
