#!/usr/bin/env python3
"""Inference against ONNX Runtime, OpenVINO or tract: one network, both in turn, the same threads on the same cores.

    cargo build --release -p star-cli
    pip install onnxruntime openvino numpy               (and onnx, where --batch is not the model file's; nncf for --precision int8)
    python3 crates/star-model/benches/peers/inference.py --onnx hourglass_wflw_b1.onnx --threads 2
    python3 crates/star-model/benches/peers/inference.py --against tract --onnx hourglass_wflw_b1.onnx       (built by cargo, batch 1)
    python3 crates/star-model/benches/peers/inference.py --against openvino --precision bf16 --onnx MODEL.onnx --weights DIR

ONNX is the reference's 98-point network as a graph, or what `star export` wrote of the weights; values of weights do not matter.
Ours has random ones of the full-size shape (`star bench --preset reference`) unless --weights names others. A pair is one process of ours and one of theirs, each warmed up before its timed
runs; the order changes from pair to pair. Printed are the ratio of the two medians over the pairs, the quartiles of the
single ratios, and the peak memory of the two processes.
"""
import argparse
import copy
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time


def peer(args):
    """Times the peer in this process and prints what it measured."""
    import numpy

    start = time.perf_counter()
    run, shape, version = (openvino_peer if args.against == "openvino" else onnxruntime_peer)(args)
    started = time.perf_counter() - start
    images = numpy.random.default_rng(0).uniform(-1, 1, shape).astype(numpy.float32)
    times = []
    for n in range(2 + args.runs):
        start = time.perf_counter()
        run(images)
        if n >= 2:
            times.append((time.perf_counter() - start) * 1e3)
    print(json.dumps({
        "median_ms": statistics.median(times),
        "min_ms": min(times),
        "start_ms": started * 1e3,
        "process_peak_mib": peak_memory(),
        "version": version,
    }))


def onnxruntime_peer(args):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model_for_batch(args), options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    shape = [args.batch] + [int(side) for side in entry.shape[1:]]
    return lambda images: session.run(None, {entry.name: images}), shape, onnxruntime.__version__


def openvino_peer(args):
    import openvino

    core = openvino.Core()
    int8 = args.precision == "int8"
    model = core.read_model(quantised(args) if int8 else model_for_batch(args))
    shape = [args.batch] + [int(side.get_length()) for side in list(model.input(0).partial_shape)[1:]]
    model.reshape(shape)
    settings = {
        "INFERENCE_NUM_THREADS": args.threads,
        "INFERENCE_PRECISION_HINT": "bf16" if int8 else args.precision,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda images: request.infer({0: images}), shape, openvino.__version__.split("-")[0]


def quantised(args):
    """A file with the model as OpenVINO's own tools make it int8, made once and kept: on random images, since only its time counts."""
    digest = hashlib.sha256(pathlib.Path(args.onnx).read_bytes()).hexdigest()[:16]
    at = pathlib.Path(tempfile.gettempdir()) / f"{digest}-{args.batch}-int8.xml"
    if not at.exists():
        import nncf
        import numpy
        import openvino

        model = openvino.Core().read_model(model_for_batch(args))
        shape = [args.batch] + [int(side.get_length()) for side in list(model.input(0).partial_shape)[1:]]
        random = numpy.random.default_rng(0)
        images = [random.uniform(-1, 1, shape).astype(numpy.float32) for _ in range(16)]
        openvino.save_model(nncf.quantize(model, nncf.Dataset(images), subset_size=len(images)), at)
    return at


def model_for_batch(args):
    """The model file, or its bytes with another batch size where it has a fixed one."""
    import onnxruntime

    entry = onnxruntime.InferenceSession(args.onnx, providers=["CPUExecutionProvider"]).get_inputs()[0] \
        if args.batch > 1 else None
    if entry is None or entry.shape[0] == args.batch or isinstance(entry.shape[0], str):
        return args.onnx
    import numpy
    import onnx
    from onnx import numpy_helper

    model = onnx.load(args.onnx)
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = args.batch
    del model.graph.value_info[:]
    # What is joined to the images' features but does not depend on them (coordinates) is repeated for every image.
    of_image, nodes = {entry.name}, []
    repeats = numpy_helper.from_array(numpy.array([args.batch, 1, 1, 1]), "star_repeats")
    model.graph.initializer.append(repeats)
    for node in model.graph.node:
        if of_image.intersection(node.input):
            of_image.update(node.output)
            if node.op_type == "Concat":
                for at, name in enumerate(node.input):
                    if name not in of_image:
                        repeated = f"{node.output[0]}/repeated{at}"
                        nodes.append(onnx.helper.make_node("Tile", [name, repeats.name], [repeated]))
                        node.input[at] = repeated
        nodes.append(node)
    nodes = [copy.deepcopy(node) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model.SerializeToString()


def peak_memory():
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024


def measured(command, cores):
    """What a process on `cores` prints."""
    pinned = lambda: os.sched_setaffinity(0, cores)
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, preexec_fn=pinned)
    return json.loads(done.stdout)


def main():
    root = pathlib.Path(__file__).resolve().parents[4]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onnx", required=True, help="the peer's model file")
    parser.add_argument("--star", default=str(root / "target/release/star"), help="the star program, a release build")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--runs", type=int, default=5, help="timed runs a process")
    parser.add_argument("--against", choices=["onnxruntime", "openvino", "tract"], default="onnxruntime")
    parser.add_argument("--precision", choices=["f32", "bf16", "int8"], default="f32", help="of ours, and of OpenVINO (int8: of weights quantised by its own tools; ours by star quantize)")
    parser.add_argument("--ours", choices=["f32", "bf16", "int8"], help="of ours, where it is another")
    parser.add_argument("--weights", help="our weights [default: the full-size shape with random ones]")
    parser.add_argument("--isa", help="instruction set of our kernels, such as avx2")
    parser.add_argument("--maps", action="store_true", help="ours returns every stage's maps too, not landmarks alone")
    parser.add_argument("--json", help="file for every pair's figures")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return peer(args)

    cores = sorted(os.sched_getaffinity(0))[:args.threads]
    if len(cores) < args.threads:
        sys.exit(f"--threads {args.threads}: this process may use {len(cores)} cores only")
    if args.against != "openvino" and args.precision != "f32":
        parser.error(f"--precision {args.precision}: {args.against} computes in f32")
    name = args.against
    ours = [args.star, "bench", "--json", "-", "--precision", args.ours or args.precision]
    ours += ["--weights", args.weights] if args.weights else ["--preset", "reference"]
    ours += ["--threads", str(args.threads), "--batch-size", str(args.batch), "--runs", str(args.runs)]
    ours += ["--isa", args.isa] if args.isa else []
    ours += ["--maps"] if args.maps else []
    theirs = [sys.executable, __file__, "--peer", "--onnx", args.onnx, "--against", name, "--precision", args.precision]
    theirs += ["--threads", str(args.threads), "--batch", str(args.batch), "--runs", str(args.runs)]
    if name == "tract":
        if args.batch > 1:
            parser.error("--batch: tract takes the model file's")
        folder = pathlib.Path(__file__).with_name("tract")
        subprocess.run(["cargo", "build", "--quiet", "--release", "--manifest-path", folder / "Cargo.toml"], check=True)
        theirs = [folder / "target/release/tract-peer", args.onnx, str(args.threads), str(args.runs)]
    pairs = []
    for pair in range(args.pairs):
        commands = {"ours": ours, "theirs": theirs}
        order = ["ours", "theirs"] if pair % 2 == 0 else ["theirs", "ours"]
        result = {side: measured(commands[side], cores) for side in order}
        result["ours"].pop("steps", None)
        pairs.append(result)
        a, b = (result[side]["median_ms"] for side in ("ours", "theirs"))
        print(f"pair {pair + 1:2}: ours {a:8.1f} ms, {name} {b:8.1f} ms, ratio {a / b:.3f}", flush=True)

    def column(side, field):
        return [pair[side][field] for pair in pairs]

    ratios = sorted(a / b for a, b in zip(column("ours", "median_ms"), column("theirs", "median_ms")))
    a, b = (statistics.median(column(name, "median_ms")) for name in ("ours", "theirs"))
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    peaks = [max(column(name, "process_peak_mib")) for name in ("ours", "theirs")]
    first = pairs[0]
    print(f"\nstar {first['ours']['isa']} {args.ours or args.precision} against {name} {first['theirs']['version']} {args.precision}: "
          f"batch {args.batch}, {args.threads} threads on cores {cores}, {args.pairs} pairs of {args.runs} runs")
    print(f"time:   ours {a:.1f} ms, {name} {b:.1f} ms; ratio of medians {a / b:.3f}, "
          f"of pairs {middle:.3f} (quartiles {low:.3f} to {high:.3f})")
    print(f"memory: ours {peaks[0]:.0f} MiB, {name} {peaks[1]:.0f} MiB at most; ratio {peaks[0] / peaks[1]:.2f}")
    starts = [statistics.median(column(name, "start_ms")) for name in ("ours", "theirs")]
    print(f"start:  ours {starts[0]:.0f} ms, {name} {starts[1]:.0f} ms")
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(pairs, indent=1) + "\n")


if __name__ == "__main__":
    main()
