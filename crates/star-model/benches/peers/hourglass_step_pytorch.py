"""Time and memory of a training step (forward and backward, no optimiser) of the stacked hourglass in PyTorch, or of HRNet-W18.

Written from the architecture as star-model documents it: coordinate channels, pre-activation residual blocks, attention maps, all
heads; HRNet's trunk is timm's, with the landmark head. The loss is the mean square of every stage's maps, as in the bench `step`. With that bench as a command after `--`, runs it
after every round, so that both are measured in alternation, and prints the ratios of the medians:

    python hourglass_step_pytorch.py --rounds 5 [--shape offline|hrnet] [--channels-last] [--bf16] -- target/release/deps/step-<hash>
"""

import argparse
import os
import re
import resource
import statistics
import subprocess
import time

import torch
from torch import nn
from torch.nn import functional as F


def coordinates(x, boundary=None):
    """x with channels that vary along rows, along columns, their radius, and both coordinates on the boundary."""
    b, _, h, w = x.shape
    rows = torch.linspace(-1, 1, h).view(1, 1, h, 1).expand(b, 1, h, w)
    columns = torch.linspace(-1, 1, w).view(1, 1, 1, w).expand(b, 1, h, w)
    radius = (rows.square() + columns.square()).sqrt()
    parts = [x, rows, columns, radius / radius.max()]
    if boundary is not None:
        on = (boundary.clamp(0, 1) > 0.05).to(x.dtype)
        parts += [rows * on, columns * on]
    return torch.cat(parts, 1)


class Residual(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        half = o // 2
        self.bn1, self.conv1 = nn.BatchNorm2d(i), nn.Conv2d(i, half, 1)
        self.bn2, self.conv2 = nn.BatchNorm2d(half), nn.Conv2d(half, half, 3, padding=1)
        self.bn3, self.conv3 = nn.BatchNorm2d(half), nn.Conv2d(half, o, 1)
        self.skip = nn.Conv2d(i, o, 1) if i != o else None

    def forward(self, x):
        y = self.conv1(F.relu(self.bn1(x)))
        y = self.conv2(F.relu(self.bn2(y)))
        y = self.conv3(F.relu(self.bn3(y)))
        return y + (x if self.skip is None else self.skip(x))


class Level(nn.Module):
    def __init__(self, n, c):
        super().__init__()
        self.up1, self.low1, self.low3 = Residual(c, c), Residual(c, c), Residual(c, c)
        self.low2 = Level(n - 1, c) if n > 1 else Residual(c, c)

    def forward(self, x):
        low = self.low3(self.low2(self.low1(F.max_pool2d(x, 2))))
        return self.up1(x) + F.interpolate(low, scale_factor=2, mode="nearest")


class Hourglass(nn.Module):
    def __init__(self, keypoints, edges, stacks, levels, c):
        super().__init__()
        self.stem = nn.Conv2d(6, 64, 7, stride=2, padding=3)
        self.stem_bn = nn.BatchNorm2d(64)
        self.pre = nn.ModuleList([Residual(64, 128), Residual(128, 128), Residual(128, c)])
        self.entry = nn.ModuleList([nn.Conv2d(c + (3 if s == 0 else 5), c, 1) for s in range(stacks)])
        self.levels = nn.ModuleList([Level(levels, c) for _ in range(stacks)])
        self.block = nn.ModuleList([Residual(c, c) for _ in range(stacks)])
        self.feature = nn.ModuleList([nn.Sequential(nn.Conv2d(c, c, 1), nn.BatchNorm2d(c), nn.ReLU()) for _ in range(stacks)])
        head = lambda n: nn.ModuleList([nn.Conv2d(c, n, 1) for _ in range(stacks)])
        self.heat, self.point, self.edge = head(keypoints), head(keypoints), head(edges)
        back = lambda n: nn.ModuleList([nn.Conv2d(n, c, 1) for _ in range(stacks - 1)])
        self.merge = nn.ModuleList([back(c), back(keypoints), back(keypoints), back(edges)])
        on_edge = torch.zeros(keypoints, edges)
        on_edge[torch.arange(keypoints), torch.arange(keypoints) * edges // keypoints] = 1
        self.register_buffer("on_edge", on_edge.view(keypoints, edges, 1, 1))

    def forward(self, x):
        x = F.relu(self.stem_bn(self.stem(coordinates(x))))
        x = F.max_pool2d(self.pre[0](x), 2)
        x = self.pre[2](self.pre[1](x))
        boundary, stages = None, []
        for s, level in enumerate(self.levels):
            y = self.entry[s](coordinates(x, boundary))
            y = self.feature[s](self.block[s](level(y)))
            heat = F.relu(F.instance_norm(self.heat[s](y)))
            point, edge = torch.sigmoid(self.point[s](y)), torch.sigmoid(self.edge[s](y))
            fused = F.conv2d(edge, self.on_edge) * point * heat
            stages.append((fused, point, edge))
            if s + 1 < len(self.levels):
                parts = zip(self.merge, (y, heat, point, edge))
                x = x + sum(merge[s](part) for merge, part in parts)
                boundary = heat[:, -1:]
        return stages


class HrNet(nn.Module):
    """timm's trunk with bilinear upsampling, as landmark networks have it, and their head."""

    def __init__(self, keypoints):
        super().__init__()
        import timm

        self.trunk = timm.create_model("hrnet_w18", pretrained=False)
        for name in ("incre_modules", "downsamp_modules", "final_layer", "classifier"):
            setattr(self.trunk, name, None)
        for module in self.trunk.modules():
            if isinstance(module, nn.Upsample):
                module.mode, module.align_corners = "bilinear", False
        c = 18 + 36 + 72 + 144
        self.head = nn.Sequential(nn.Conv2d(c, c, 1), nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, keypoints, 1))

    def forward(self, x):
        t = self.trunk
        x = t.act2(t.bn2(t.conv2(t.act1(t.bn1(t.conv1(x))))))
        first, *others = t.stages(x)
        parts = [F.interpolate(y, size=first.shape[-2:], mode="bilinear", align_corners=False) for y in others]
        return [(F.relu(F.instance_norm(self.head(torch.cat([first, *parts], 1)))),)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shape", choices=["full", "offline", "hrnet"], default="full")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--bf16", action="store_true", help="both in bf16: torch.autocast, STAR_BF16=1; the bench in f32, too")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    stacks, levels, channels, batch, size = (1, 3, 64, 8, 64) if options.shape == "offline" else (4, 4, 256, 4, 256)
    model = (HrNet(98) if options.shape == "hrnet" else Hourglass(98, 9, stacks, levels, channels)).train()
    images = torch.rand(batch, 3, size, size) * 2 - 1
    if options.channels_last:
        model, images = (x.to(memory_format=torch.channels_last) for x in (model, images))
    parameters = sum(p.numel() for p in model.parameters())
    print(f"pytorch {torch.__version__}, {options.threads} threads, {parameters / 1e6:.2f} M parameters, batch {batch}")
    command = [part for part in options.command if part != "--"]
    # The same network and as many threads in the bench.
    environment = {**os.environ, "STAR_STEP": options.shape, "RAYON_NUM_THREADS": str(options.threads)}
    environment["STAR_BF16"] = str(int(options.bf16))
    # glibc keeps freed memory, as `star train` has it.
    environment |= {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}

    def step():
        model.zero_grad(set_to_none=True)
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
            stages = model(images)
        loss = sum(m.float().square().mean() for stage in stages for m in stage)
        loss.backward()
        return 1e3 * (time.perf_counter() - start)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step()
    steps = 20 if options.shape == "offline" else 2
    theirs, ours, single = [], [], []
    for turn in range(options.rounds):
        theirs.append(statistics.median(step() for _ in range(steps)))
        line = f"round {turn + 1}: pytorch {theirs[-1]:.1f} ms"
        if command:
            times, peak = bench(command, environment)
            ours.append(times)
            line += f", star {ours[-1]:.1f} ms, ratio {ours[-1] / theirs[-1]:.2f}"
            if options.bf16:
                single.append(bench(command, environment | {"STAR_BF16": "0"})[0])
                line += f"; in f32 {single[-1]:.1f} ms, ratio {ours[-1] / single[-1]:.2f}"
        print(line, flush=True)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    mebibytes = (after - before) / 1024
    print(f"pytorch: median {statistics.median(theirs):.1f} ms, peak over the model {mebibytes:.0f} MiB")
    if ours:
        print(f"star: median {statistics.median(ours):.1f} ms, peak over the model {peak:.0f} MiB")
        print(f"{ratio(ours, theirs)}, of memory {peak / mebibytes:.2f}")
    if single:
        print(f"star in f32: median {statistics.median(single):.1f} ms; bf16 to f32: {ratio(ours, single)}")


def bench(command, environment):
    """The median time of a step, ms, and the peak memory over the model, MiB, that the bench prints."""
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    times = map(float, re.findall(r"star ([0-9.]+) ms", output))
    return statistics.median(times), float(re.search(r"peak over the model: ([0-9]+)", output)[1])


def ratio(ours, theirs):
    ratios = [a / b for a, b in zip(ours, theirs)]
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    medians = statistics.median(ours) / statistics.median(theirs)
    return f"ratio of medians {medians:.3f} (quartiles of rounds {low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
