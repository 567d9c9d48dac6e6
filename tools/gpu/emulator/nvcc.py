#!/usr/bin/env python3
"""Stand-in for nvcc: compiles kernels with g++ for the CPU.

"PTX" made here is a short text that names a shared object. With -c it makes
an object whose extern "C" functions abort: host launchers are not emulated.
With --nvrtc it serves libnvrtc: errors on stderr, the text in OUT.
"""
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "include"
VERSION = """nvcc: NVIDIA (R) Cuda compiler driver
Copyright (c) 2005-2025 NVIDIA Corporation
Built on the CPU (stand-in for tests)
Cuda compilation tools, release 13.0, V13.0.0
Build cuda_13.0.r13.0/compiler.0
"""
FLAGS = ["-std=c++20", "-O2", "-fPIC", "-fvisibility=hidden", "-fno-gnu-unique",
         "-fno-strict-aliasing", "-fwrapv", "-ffp-contract=off", "-w",
         "-fno-stack-protector"]
# __align__(n), after the preprocessor, or alignas(n).
ALIGNAS = r"alignas\s*\([^()]*(?:\([^()]*\)[^()]*)*\)"
ALIGN = rf"(?:(?:__attribute__\s*\(\(.*?\)\)|{ALIGNAS})\s*)?"
TAKES_VALUE = {"-o", "--output-file", "--output-directory", "-odir", "--default-stream",
               "-ccbin", "-Xcompiler", "-Xptxas", "-Xlinker", "-arch", "-code", "-gencode",
               "--gpu-architecture", "-t", "--threads"}


def cxx():
    return os.environ.get("CUDA_EMU_CXX", "g++")


def fail(text):
    sys.stderr.write(text)
    sys.exit(1)


def match_paren(text, start):
    """The index just after the parenthesis that closes the one at `start`."""
    depth = 0
    for i in range(start, len(text)):
        if text[i] == "(":
            depth += 1
        elif text[i] == ")":
            depth -= 1
            if depth == 0:
                return i + 1
    return len(text)


def in_c_block(text, at):
    """Whether `at` lies inside an extern "C" { ... } block."""
    for m in re.finditer(r'extern\s*"C"\s*\{', text[:at]):
        depth = 1
        for c in text[m.end():at]:
            depth += (c == "{") - (c == "}")
            if depth == 0:
                break
        if depth > 0:
            return True
    return False


def kernels_of(text):
    """The names of extern "C" kernels with their launch bounds."""
    out = []
    for m in re.finditer(r"__emu_global__", text):
        end = m.end()
        bounds = None
        stop = re.compile(r"[;{]").search(text, end)
        head = text[end:stop.start()] if stop else ""
        mark = re.search(r"__emu_bounds__\s*\(", head)
        if mark:
            close = match_paren(head, mark.end() - 1)
            bounds = head[mark.end() - 1:close].strip()[1:-1]
            head = head[:mark.start()] + head[close:]
        name = re.match(r"\s*(?:static\s+|inline\s+)*void\s+(\w+)\s*\(", head)
        if not name:
            continue
        before = text[max(0, m.start() - 40):m.start()]
        plain = re.search(r'extern\s*"C"\s*(?:\n#[^\n]*\n)?\s*$', before)
        if (plain or in_c_block(text, m.start())) and stop.group() == "{":
            out.append((name.group(1), bounds))
    return out


def strip_bounds(text):
    out, pos = [], 0
    for m in re.finditer(r"__emu_bounds__\s*\(", text):
        if m.start() < pos:
            continue
        out.append(text[pos:m.start()])
        pos = match_paren(text, m.end() - 1)
    return "".join(out) + text[pos:]


def split_top(text):
    """Splits at the commas outside brackets."""
    parts, depth, last = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "<[({") - (c in ">])}")
        if c == "," and depth == 0:
            parts.append(text[last:i])
            last = i + 1
    return parts + [text[last:]]


def shared_static(m):
    """A static shared variable: launches are serial, so a static will do.

    The note poisons it when the first thread of a block arrives, and counts
    the shared memory that the block uses.
    """
    plain = re.sub(rf"__attribute__\s*\(\(.*?\)\)|{ALIGNAS}", "", m.group(1), flags=re.S)
    notes = []
    for part in split_top(plain):
        name = re.findall(r"\w+", part.split("[", 1)[0])[-1]
        notes.append(f"[[maybe_unused]] int emu_note_{name} = emu_shared_note((void *)&{name}, sizeof({name}));")
    # alignas must come before "static".
    align = " ".join(re.findall(ALIGNAS, m.group(1)))
    rest = re.sub(ALIGNAS, "", m.group(1))
    return f"{align} static {rest}; " + " ".join(notes)


def rewrite(text):
    """Takes the markers out and appends one entry per kernel."""
    entries = []
    for name, bounds in dict(kernels_of(text)).items():
        entries.append(
            'extern "C" __attribute__((visibility("default"))) '
            f"void emu_entry_{name}(void **p) {{ emu_call(&{name}, p); }}")
        if bounds:
            entries.append(
                'extern "C" __attribute__((visibility("default"))) const unsigned '
                f"emu_bounds_{name} = emu_first{bounds};")
    text = strip_bounds(text)
    text = text.replace("__emu_global__", "")
    # extern __shared__ T name[]: one buffer for each launch.
    text = re.sub(
        rf"extern\s+__emu_shared__\s+{ALIGN}([\w:<>,\s]+?)\s*{ALIGN}\b(\w+)\s*\[\s*\]\s*;",
        r"static \1 *const \2 = static_cast<\1 *>(emu_dynamic_shared());", text)
    text = re.sub(r"__emu_shared__([^;]*);", shared_static, text)
    entries.append('extern "C" __attribute__((visibility("default"))) int emu_module_marker = 1;')
    return text + "\n" + "\n".join(entries) + "\n"


def compile_kernels(source, out_object, extra, name=None):
    """Compiles a .cu file to a shared object; exits with g++'s messages."""
    with tempfile.TemporaryDirectory(prefix="cuda-emu-") as tmp:
        pre = subprocess.run(
            [cxx(), "-E", "-x", "c++", "-std=c++20", "-I", str(INCLUDE), *extra,
             "-include", str(INCLUDE / "emu_kernel.h"), str(source)],
            capture_output=True, text=True)
        if pre.returncode != 0:
            fail(pre.stderr)
        text = rewrite(pre.stdout)
        if name:
            text = text.replace(str(source), name)
        middle = Path(tmp) / "kernels.ii"
        middle.write_text(text)
        part = f"{out_object}.{os.getpid()}.tmp"
        run = subprocess.run(
            [cxx(), *FLAGS, "-shared", "-Wl,-Bsymbolic", "-o", part, str(middle),
             "-L", str(ROOT / "lib64"), "-lcuda_emu", f"-Wl,-rpath,{ROOT / 'lib64'}"],
            capture_output=True, text=True)
        if run.returncode != 0:
            fail(run.stderr)
        os.replace(part, out_object)


def ptx_text(path):
    return ("//\n// Kernels compiled for the CPU: not PTX.\n//\n"
            f"// cuda-emulator-object: {path}\n.version 9.0\n.target sm_90\n")


def launchers(source):
    """Names of the host functions that a launcher source stands for."""
    for folder in list(source.resolve().parents)[:3]:
        ffi = folder / "ffi.rs"
        if ffi.exists():
            return re.findall(r"\bfn\s+(\w+)\s*\(", ffi.read_text())
    text = source.read_text()
    return re.findall(r'extern\s+"C"\s+(?:void|int)\s+(\w+)\s*\(', text)


def compile_launchers(source, out):
    lines = ["#include <cstdio>", "#include <cstdlib>"]
    for name in sorted(set(launchers(source))):
        lines.append(
            f'extern "C" __attribute__((weak)) void {name}() {{ '
            f'fprintf(stderr, "cuda emulator: {name} is not emulated\\n"); abort(); }}')
    subprocess.run([cxx(), "-O0", "-fPIC", "-w", "-x", "c++", "-c", "-o", out, "-"],
                   input="\n".join(lines) + "\n", text=True, check=True)


def defines(options):
    """The options that g++ must see: -D, -U, -I and --define-macro."""
    out, i = [], 0
    while i < len(options):
        o = options[i]
        if o in ("-D", "-I", "-U", "--define-macro", "--include-path"):
            i += 1
            out += [{"--define-macro": "-D", "--include-path": "-I"}.get(o, o), options[i]]
        elif re.match(r"-[DIU].", o):
            out.append(o)
        elif o.startswith("--define-macro="):
            out.append("-D" + o.split("=", 1)[1])
        elif o.startswith("--include-path="):
            out.append("-I" + o.split("=", 1)[1])
        i += 1
    return out


def nvrtc(source, out, name, options):
    """Compiles for NVRTC, with a cache of objects keyed by all that matters."""
    extra = defines(options) + ["-DEMU_NVRTC"]
    stamp = (ROOT / "stamp").read_text()
    key = hashlib.sha256("\0".join([source.read_text(), name, stamp, *extra]).encode()).hexdigest()[:32]
    cache = ROOT / "cache"
    target = cache / f"{key}.so"
    try:
        cache.mkdir(exist_ok=True)
        usable = os.access(cache, os.W_OK)
    except OSError:
        usable = False
    if not usable:
        target = out.with_suffix(".so")
    if not target.exists():
        compile_kernels(source, target, extra, name)
    out.write_text(ptx_text(target))


def main(argv):
    if "--version" in argv or "-V" in argv:
        sys.stdout.write(VERSION)
        return
    if "--list-gpu-code" in argv:
        print("sm_75\nsm_80\nsm_86\nsm_89\nsm_90\nsm_100\nsm_120")
        return
    if argv and argv[0] == "--nvrtc":
        nvrtc(Path(argv[1]), Path(argv[2]), argv[3], argv[4:])
        return
    out = out_dir = None
    inputs, i = [], 0
    while i < len(argv):
        a = argv[i]
        if a in ("-o", "--output-file"):
            out, i = argv[i + 1], i + 1
        elif a in ("--output-directory", "-odir"):
            out_dir, i = argv[i + 1], i + 1
        elif a in TAKES_VALUE or a in ("-D", "-I", "-U"):
            i += 1
        elif not a.startswith("-"):
            inputs.append(Path(a))
        i += 1
    if "--lib" in argv:
        Path(out).unlink(missing_ok=True)
        subprocess.run(["ar", "crs", out, *map(str, inputs)], check=True)
        return
    for source in inputs:
        if "--ptx" in argv or "-ptx" in argv:
            target = Path(out) if out else Path(out_dir or ".") / (source.stem + ".ptx")
            shared = target.absolute().with_suffix(".emu.so")
            # The quantised kernels use assembly: a module without functions.
            if source.name == "quantized.cu":
                with tempfile.TemporaryDirectory() as tmp:
                    empty = Path(tmp) / "empty.cu"
                    empty.write_text("\n")
                    compile_kernels(empty, shared, [])
            else:
                compile_kernels(source, shared, defines(argv))
            target.write_text(ptx_text(shared))
        elif "-c" in argv:
            compile_launchers(source, out or source.stem + ".o")
        else:
            fail("this stand-in for nvcc knows --ptx, -c and --lib only\n")


if __name__ == "__main__":
    if shutil.which(cxx()) is None:
        fail("the stand-in for nvcc needs g++\n")
    main(sys.argv[1:])
