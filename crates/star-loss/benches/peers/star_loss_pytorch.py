"""Time of the per-axis STAR loss, forward and backward, as composed PyTorch operations.

Written from the formulas: soft-argmax, unbiased weighted covariance, eigh, smooth-L1 along both axes, value restriction.
With a command after `--`, runs it after every round, so that both are measured in alternation:

    python star_loss_pytorch.py --rounds 5 -- env STAR_BENCH_RATIO=1 RAYON_NUM_THREADS=2 target/release/deps/star-<hash>
"""

import argparse
import resource
import statistics
import subprocess
import time

import torch


def star(h, target, eps=1e-5, weight=1.0, scale=0.01):
    """h: [B, K, H, W] >= 0; target: [B, K, 2] in [-1, 1]; a scalar."""
    _, _, height, width = h.shape
    y = torch.linspace(-1, 1, height, dtype=h.dtype).view(1, 1, height, 1)
    x = torch.linspace(-1, 1, width, dtype=h.dtype).view(1, 1, 1, width)
    p = h / h.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)
    mean = torch.stack([(p * x).sum(dim=(2, 3)), (p * y).sum(dim=(2, 3))], dim=-1)
    dx = x - mean[..., 0, None, None]
    dy = y - mean[..., 1, None, None]
    v1 = p.sum(dim=(2, 3)) + eps
    v2 = p.square().sum(dim=(2, 3)) + eps
    divisor = v1 - v2 / v1
    pdx, pdy = p * dx, p * dy
    a = (pdx * dx).sum(dim=(2, 3)) / divisor
    b = (pdx * dy).sum(dim=(2, 3)) / divisor
    c = (pdy * dy).sum(dim=(2, 3)) / divisor
    covariance = torch.stack([torch.stack([a, b], -1), torch.stack([b, c], -1)], -2)
    values, vectors = torch.linalg.eigh(covariance)
    along = (vectors.transpose(-1, -2) @ (target - mean).unsqueeze(-1)).squeeze(-1)
    r2 = along.square()
    r = r2.clamp(min=1e-6).sqrt()
    d = torch.where(r2 < scale * scale, 0.5 / scale * r2, r - 0.5 * scale)
    loss = (d / (values + eps).sqrt()).sum(-1) + weight * values.abs().sum(-1)
    return loss.mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shape", type=int, nargs=4, default=[32, 98, 64, 64])
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    b, k, height, width = options.shape
    torch.manual_seed(0)
    centre = torch.rand(b, k, 2, 1, 1) * 0.75 * width + 0.125 * width
    xs = torch.arange(width).view(1, 1, 1, width)
    ys = torch.arange(height).view(1, 1, height, 1)
    h = torch.exp(-((xs - centre[:, :, 0]) ** 2) / 8 - (ys - centre[:, :, 1]) ** 2 / 3)
    # Cut off as a ReLU does.
    h = (h - 1e-4).clamp(min=0)
    target = torch.rand(b, k, 2) * 1.6 - 0.8
    command = [part for part in options.command if part != "--"]
    times = []
    for iteration in range(options.rounds + 1):
        leaf = h.clone().requires_grad_(True)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        loss = star(leaf, target)
        loss.backward()
        elapsed = 1e3 * (time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if iteration == 0:
            print(f"peak over inputs of the first step: {(after - before) / 1024:.0f} MiB")
            continue
        times.append(elapsed)
        print(f"pytorch {torch.__version__} {options.threads} threads: {elapsed:.1f} ms", flush=True)
        if command:
            subprocess.run(command, check=True)
    print(f"pytorch median {statistics.median(times):.1f} ms of {len(times)}")


if __name__ == "__main__":
    main()
