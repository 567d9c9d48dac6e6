"""The checks of check.sh: golden numbers and comparisons with the CPU, then times beside PyTorch, as one table.

Figures of ours and of PyTorch's are taken in alternation, each round a process; the table has the medians of their rounds.
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / "tools" / "gpu" / "bin"
PEER = ROOT / "tools" / "gpu" / "peer.py"

# What is compared: the program, the crate in whose folder it runs, its arguments, and what passes where it passes.
TESTS = [
    ("star-loss-golden", "star-loss", [], "losses and gradients are the reference's (f64, f32)"),
    ("star-loss-card", "star-loss", [], "loss kernels agree with the CPU, hostile maps too"),
    ("star-model-star_model", "star-model", ["cuda::"], "layers and a whole step agree with the CPU (f64, f32, f16, bf16)"),
    ("star-model-golden_network", "star-model", [], "the golden network"),
    ("star-model-golden_training", "star-model", [], "golden gradients and training steps (f64, f32)"),
    ("star-model-mixed_precision", "star-model", [], "bf16 and f16 mixed precision agree with f32"),
    ("star-predict-star_predict", "star-predict", ["cuda", "card"], "batches come up as on the CPU"),
    ("star-train-star_train", "star-train", ["cuda", "card", "nccl"], "optimiser, averages, ranks and a training agree with the CPU"),
]

# Figures that both print: name, the largest ratio of ours to PyTorch's that passes; to the better of its memory formats.
RATIOS = [
    ("loss_at_once_f32", 0.2, "STAR loss forward and backward [32, 98, 64, 64]"),
    ("loss_by_graph_f32", 0.2, "the same through candle's graph"),
    ("step_f32", 1.3, "training step, full size, batch 32, f32"),
    ("step_tf32", 1.3, "the same, TF32"),
    ("step_bf16", 1.3, "the same, bf16"),
    ("inference_tf32_1", 1.3, "inference, batch 1, TF32"),
    ("inference_tf32_64", 1.3, "inference, batch 64, TF32"),
    ("inference_bf16_1", 1.3, "inference, batch 1, bf16"),
    ("inference_bf16_64", 1.3, "inference, batch 64, bf16"),
]


class Table:
    """Rows as they come; a failed one fails the whole."""

    def __init__(self):
        self.rows, self.failed = [], False

    def add(self, check, figure, bar, passed):
        word = {True: "pass", False: "FAIL", None: "-"}[passed]
        self.failed |= passed is False
        self.rows.append((check, figure, bar, word))
        print(f"  {word:5} {check}: {figure}", flush=True)

    def print(self, title):
        print(f"\n{title}\n")
        rows = [("check", "figure", "bar", "")] + self.rows
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        for n, row in enumerate(rows):
            print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
            if n == 0:
                print("|" + "|".join("-" * (width + 2) for width in widths) + "|")


def run(command, cwd=ROOT, limit=240):
    """Exit code and output of a command, which is stopped after `limit` seconds."""
    try:
        done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=limit)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
        return 124, output.decode(errors="replace") if isinstance(output, bytes) else output
    except OSError as error:
        return 127, str(error)


def compare(table, log):
    for program, crate, arguments, claim in TESTS:
        command = [str(BIN / program), *arguments, "--nocapture", "--test-threads", "2"]
        code, output = run(command, ROOT / "crates" / crate)
        log.write(f"== {program}\n{output}\n")
        passed = re.search(r"(\d+) passed; (\d+) failed", output)
        count = int(passed.group(1)) if passed else 0
        # A test that found no card says so and passes: here that is a failure.
        skipped = "skipped" in output
        figure = f"{count} tests" if passed else f"exit code {code}"
        if passed and int(passed.group(2)):
            figure += f", {passed.group(2)} failed"
        table.add(claim, figure + (", skipped" if skipped else ""), "all", code == 0 and count > 0 and not skipped)


def figures(command, log, into):
    """Takes the lines `NAME VALUE UNIT` of a command into lists by name."""
    code, output = run(command)
    log.write(f"== {' '.join(map(str, command))}: exit code {code}\n{output}\n")
    log.flush()
    for name, value, unit in re.findall(r"^(\w+) ([0-9.e+-]+) (ms|GB/s|images/s|absolute)$", output, re.M):
        into.setdefault(name, []).append(float(value))
        print(f"        {pathlib.Path(command[0]).name}: {name} {value} {unit}", flush=True)
    return code


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--photographs", help="a folder of photographs, for images a second")
    parser.add_argument("--profile", action="store_true", help="time of each kernel in a step, by ncu where it is")
    parser.add_argument("--stand-in", action="store_true", help="on the stand-in for CUDA: that all of it runs, at small sizes")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--limit", type=float, default=420, help="seconds after which what was not begun is left out")
    options = parser.parse_args()
    log = open(pathlib.Path(os.environ.get("OUT", ROOT / "tools" / "gpu")) / "check.log", "w")
    started, table = time.time(), Table()
    compare(table, log)

    ours, theirs = {}, {}
    small = ["--small"] if options.stand_in else []
    work = [["loss"], ["step", "tf32"], ["step", "bf16"], ["step", "f32"], ["inference", "tf32"], ["inference", "bf16"]]
    if options.photographs:
        work.append(["folder", options.photographs])
    if figures([str(BIN / "star-train-gpu"), *small, "ranks"], log, ours):
        table.add("sum over one rank by NCCL", "did not run", "runs", False)
    for _ in range(1 if options.stand_in else options.rounds):
        for words in work:
            if time.time() - started > options.limit:
                print(f"  left out: {' '.join(words)}", flush=True)
                continue
            code = figures([str(BIN / "star-train-gpu"), *small, *words], log, ours)
            if code:
                table.add(" ".join(words), f"exit code {code}", "runs", False)
            if not options.stand_in:
                figures([sys.executable, str(PEER), *words], log, theirs)
                if words[0] == "step" and words[1] != "f32":
                    figures([sys.executable, str(PEER), *words, "--channels-last"], log, theirs)

    def median(taken, name):
        return statistics.median(taken[name]) if taken.get(name) else None

    if median(ours, "nccl_difference") is not None:
        difference = median(ours, "nccl_difference")
        table.add("sum over one rank by NCCL", f"off by {difference:g}", "0", difference == 0)
    floor, once = median(ours, "loss_floor"), median(ours, "loss_at_once_f32")
    if floor and once:
        ratio, rate = once / floor, median(ours, "copy_rate")
        claim = f"loss at memory speed (two reads and a write at {rate:.0f} GB/s: {floor:.3f} ms)"
        table.add(claim, f"{ratio:.2f}x", "2x", None if options.stand_in else ratio <= 2)
    for name, bar, claim in RATIOS:
        # The stand-in takes batches of 2 in the place of 64.
        mine, other = median(ours, name) or median(ours, name.replace("_64", "_2")), median(theirs, name)
        if mine is None:
            table.add(claim, "not measured", f"{bar}x", False)
        elif other is None:
            table.add(claim, f"{mine:.3f} ms", f"{bar}x of PyTorch", None if options.stand_in else False)
        else:
            last = median(theirs, f"{name}_channels_last")
            ratio = mine / min(other, last or other)
            beside = f" ({last:.2f} channels-last)" if last else ""
            table.add(claim, f"{mine:.3f} ms, PyTorch {other:.3f}{beside}: {ratio:.2f}x", f"{bar}x", ratio <= bar)
    if median(ours, "folder"):
        mine, other = median(ours, "folder"), median(theirs, "folder")
        beside = f", PyTorch {other:.0f}: {mine / other:.2f}x" if other else ""
        table.add("photographs in a folder to landmarks", f"{mine:.0f} images/s{beside}", "", None)
    for name in sorted(set(ours) & {"forward_tf32", "forward_backward_tf32", "forward_bf16", "forward_backward_bf16"}):
        mine, other = median(ours, name), median(theirs, name)
        table.add(name.replace("_", " "), f"{mine:.2f} ms" + (f", PyTorch {other:.2f}" if other else ""), "", None)

    title = "the stand-in for CUDA on the CPU: no time here means anything" if options.stand_in else card()
    table.print(f"{title}, {time.time() - started:.0f} s")
    if options.profile:
        profile(log)
    sys.exit(1 if table.failed else 0)


def card():
    code, output = run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"])
    return output.strip() if code == 0 else "card unknown"


def profile(log):
    """Shares of the kernels of one training step, by ncu."""
    import csv

    for precision in ("tf32", "bf16"):
        command = ["ncu", "--clock-control", "none", "--metrics", "gpu__time_duration.sum", "--csv", "--print-units", "base",
                   "--profile-from-start", "off", str(BIN / "star-train-gpu"), "profile", precision]
        code, output = run(command, limit=120)
        lines = [line for line in output.splitlines() if line.startswith('"')]
        shares, calls = {}, {}
        for row in csv.DictReader(lines):
            name = re.sub(r"[<(].*", "", row.get("Kernel Name", "?"))
            value = float((row.get("Metric Value") or "0").replace(",", ""))
            shares[name], calls[name] = shares.get(name, 0) + value, calls.get(name, 0) + 1
        whole = sum(shares.values()) or 1
        print(f"\nkernels of steps in {precision}, by their time (ncu's exit code {code}):")
        for name in sorted(shares, key=shares.get, reverse=True)[:14]:
            print(f"  {100 * shares[name] / whole:5.1f} %  {calls[name]:5d} calls  {name}")
        log.write(f"== {' '.join(command)}\n{output[-4000:]}\n")


if __name__ == "__main__":
    main()
