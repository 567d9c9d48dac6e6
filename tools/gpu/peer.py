"""What PyTorch takes on the same card for what the bench `gpu` of star-train measures, under the same names.

    python peer.py loss | step f32|tf32|bf16 [--channels-last] | inference f32|tf32|bf16 | folder PHOTOGRAPHS

The network and the loss are those of the peers of star-model and star-loss, run on the card.
"""

import argparse
import pathlib
import statistics
import sys
import time

import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
for crate in ("star-loss", "star-model"):
    sys.path.insert(0, str(ROOT / "crates" / crate / "benches" / "peers"))

from hourglass_step_pytorch import Hourglass  # noqa: E402
from star_loss_pytorch import star  # noqa: E402


def milliseconds(f, rounds=15, calls=1):
    """Of one call, the median of some rounds after a warm-up."""
    for _ in range(3):
        f()
    times = []
    for _ in range(rounds):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            f()
        torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start) / calls)
    return statistics.median(times)


def allow(precision):
    """Whether products of f32 may be rounded to TF32."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    # The fastest algorithm for each shape.
    torch.backends.cudnn.benchmark = True


def loss():
    b, k, height, width = 32, 98, 64, 64
    centre = torch.rand(b, k, 2, 1, 1) * 0.75 * width + 0.125 * width
    xs, ys = torch.arange(width).view(1, 1, 1, width), torch.arange(height).view(1, 1, height, 1)
    maps = torch.exp(-((xs - centre[:, :, 0]) ** 2) / 8 - (ys - centre[:, :, 1]) ** 2 / 3)
    maps = (maps - 1e-4).clamp(min=0)
    target = torch.rand(b, k, 2) * 1.6 - 0.8

    def once():
        leaf = maps.detach().requires_grad_(True)
        star(leaf, target).backward()

    took = milliseconds(once, rounds=5)
    for name in ("loss_at_once_f32", "loss_by_graph_f32"):
        print(f"{name} {took:.4f} ms")


def network():
    return Hourglass(98, 9, 4, 4, 256)


def step(precision, channels_last):
    allow(precision)
    model, images = network().train(), torch.rand(32, 3, 256, 256) * 2 - 1
    if channels_last:
        model, images = (x.to(memory_format=torch.channels_last) for x in (model, images))
    adam = torch.optim.Adam(model.parameters(), lr=1e-4)
    suffix = precision + ("_channels_last" if channels_last else "")

    def forward():
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
            stages = model(images)
        return sum(maps.float().square().mean() for stage in stages for maps in stage)

    def both():
        model.zero_grad(set_to_none=True)
        forward().backward()

    def whole():
        both()
        adam.step()

    print(f"forward_{suffix} {milliseconds(forward, 8):.2f} ms")
    print(f"forward_backward_{suffix} {milliseconds(both, 8):.2f} ms")
    print(f"step_{suffix} {milliseconds(whole, 8):.2f} ms")


def decoded(maps):
    """Centres of mass of maps [B, K, H, W]: [B, K, 2]."""
    _, _, height, width = maps.shape
    p = maps / maps.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)
    x, y = torch.linspace(-1, 1, width), torch.linspace(-1, 1, height)
    return torch.stack([(p.sum(2) * x).sum(-1), (p.sum(3) * y).sum(-1)], -1)


def inference(precision):
    allow(precision)
    model = network().eval()
    for batch in (1, 64):
        images = torch.rand(batch, 3, 256, 256) * 2 - 1

        def once():
            with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
                decoded(model(images)[-1][0].float())

        print(f"inference_{precision}_{batch} {milliseconds(once, calls=10 if batch == 1 else 2):.3f} ms")


class Photographs(torch.utils.data.Dataset):
    """Photographs decoded, and the middle of each cut out as bytes [3, 256, 256]."""

    def __init__(self, folder):
        self.paths = sorted(path for path in pathlib.Path(folder).iterdir() if path.suffix in (".jpg", ".png"))

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        import cv2
        import numpy

        image = cv2.imread(str(self.paths[index]))
        height, width = image.shape[:2]
        scale = 256 / min(height, width)
        shift = [[scale, 0, 127.5 - scale * (width - 1) / 2], [0, scale, 127.5 - scale * (height - 1) / 2]]
        crop = cv2.warpAffine(image, numpy.array(shift), (256, 256))
        return torch.from_numpy(crop).permute(2, 0, 1).contiguous()


def folder(path):
    allow("tf32")
    model = network().eval()
    data, done, start = Photographs(path), 0, None
    # On the CPU: samples are made by other processes.
    with torch.device("cpu"):
        loader = torch.utils.data.DataLoader(data, batch_size=16, num_workers=14, pin_memory=True)
        with torch.inference_mode():
            for images in loader:
                images = images.cuda(non_blocking=True).float() / 127.5 - 1
                with torch.device("cuda"):
                    decoded(model(images)[-1][0]).cpu()
                # From the second batch on: the first starts the processes and cuDNN.
                done, start = (done + len(images), start) if start else (0, time.perf_counter())
    print(f"folder {done / (time.perf_counter() - start):.1f} images/s")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["loss", "step", "inference", "folder"])
    parser.add_argument("argument", nargs="?")
    parser.add_argument("--channels-last", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_default_device("cuda")
    if options.what == "loss":
        loss()
    elif options.what == "step":
        step(options.argument, options.channels_last)
    elif options.what == "inference":
        inference(options.argument)
    else:
        folder(options.argument)


if __name__ == "__main__":
    main()
