"""Compiles every kernel for every type of values by NVRTC, which needs no card: what programs do when they first use one.

    python kernels.py TOOLKIT     (the folder with lib/libnvrtc.so)
"""

import ctypes
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CRATES = ROOT / "crates"


def compiled(nvrtc, text, name, options):
    """Bytes of PTX, or exit with the compiler's log."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), name.encode(), 0, None, None)
    arguments = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
    if nvrtc.nvrtcCompileProgram(program, len(options), arguments):
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        sys.exit(log.value.decode())
    nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size))
    return size.value


def main():
    nvrtc = ctypes.CDLL(str(pathlib.Path(sys.argv[1]) / "lib" / "libnvrtc.so"))
    architecture = f"--gpu-architecture=compute_{os.environ.get('CUDA_COMPUTE_CAP', '90')}"
    head = (CRATES / "star-model" / "src" / "cuda" / "values.cuh").read_text()
    for source in sorted(CRATES.glob("*/src/**/*.cu")):
        of_loss = source.is_relative_to(CRATES / "star-loss")
        for dtype in ("f32", "f64", "f16", "bf16"):
            # Adaptive Wing is compiled behind the loss.
            before = (source.parent / "star.cu").read_text() if source.name == "awing.cu" else "" if of_loss else head
            text = before + source.read_text()
            size = compiled(nvrtc, text, source.name, [architecture, f"-D{'MAP' if of_loss else 'VALUE'}={dtype}"])
            print(f"{source.relative_to(ROOT)} {dtype}: {size} bytes of PTX")


if __name__ == "__main__":
    main()
