"""Is DeepSpeed's CPU communication op compiled, and how is it compiled before a run needs it?

DeepSpeed compiles `deepspeed_shm_comm` when the first process group on CPU starts: about a minute in which a new user
sees nothing. `python -m eagleray.train.prebuild` does it once, at set-up, and says so.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import torch
from torch.utils.cpp_extension import get_default_build_root

from eagleray.errors import EaglerayError

OP = "deepspeed_shm_comm"
ANNOUNCEMENT = "compiling DeepSpeed's CPU communication op, about a minute, once"

# The compilation runs in a process of its own: DeepSpeed fixes its accelerator when it is imported.
_BUILD = "from deepspeed.ops.op_builder.cpu import ShareMemCommBuilder; ShareMemCommBuilder().load(verbose=True)"

# A compilation takes about a minute. A lock this old was left by one that was killed; torch would wait for it for ever.
_STALE_LOCK_S = 600.0


def prepare_environment() -> None:
    """Let torch find `ninja` and the compiled op: to be called before DeepSpeed is imported.

    torch calls `ninja` by name even where the op is already compiled, and a virtual environment that is used without
    being activated has its `bin` on no PATH. What it compiles goes into the virtual environment: two environments that
    share the user's cache compile anew whenever the other was used in between.
    """
    scripts = sysconfig.get_path("scripts")
    entries = os.environ.get("PATH", "").split(os.pathsep)
    if scripts not in entries:
        os.environ["PATH"] = os.pathsep.join([scripts, *entries])
    if sys.prefix != sys.base_prefix and os.access(sys.prefix, os.W_OK):
        os.environ.setdefault("TORCH_EXTENSIONS_DIR", str(Path(sys.prefix) / "torch_extensions"))


def is_built() -> bool:
    """Whether the op is there, compiled from the DeepSpeed and the torch of this environment."""
    prepare_environment()
    library = build_directory() / f"{OP}.so"
    recipe = build_directory() / "build.ninja"
    if not (library.is_file() and recipe.is_file()):
        return False
    commands = recipe.read_text(encoding="utf-8")
    inputs = [*_sources(), Path(torch.__file__)]
    return all(str(source) in commands for source in _sources()) and all(
        source.stat().st_mtime <= library.stat().st_mtime for source in inputs
    )


def build(*, now: float) -> None:
    """Compile the op into torch's extension cache; quick where it is there and up to date.

    `now` is the time as seconds since the epoch. Raises EaglerayError where a tool is missing or the compiler fails.
    """
    prepare_environment()
    _require_tools()
    _remove_stale_lock(now)
    environment = os.environ | {"DS_ACCELERATOR": "cpu"}
    done = subprocess.run([sys.executable, "-c", _BUILD], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise EaglerayError(f"DeepSpeed's CPU communication op did not compile:\n{(done.stdout + done.stderr)[-4000:]}")


def main() -> int:
    """Build where needed, and say what happens. Returns the exit code."""
    if is_built():
        return 0
    sys.stderr.write(f"{ANNOUNCEMENT}\n")
    started = time.time()
    try:
        build(now=started)
    except EaglerayError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stderr.write(f"compiled in {time.time() - started:.0f} s\n")
    return 0


def build_directory() -> Path:
    """Where torch keeps the compiled op: the rule of torch.utils.cpp_extension, which offers no public name for it."""
    root = os.environ.get("TORCH_EXTENSIONS_DIR")
    if root is not None:
        return Path(root) / OP
    kind = f"cu{torch.version.cuda.replace('.', '')}" if torch.version.cuda else "cpu"
    if torch.version.hip:
        kind = f"rocm{torch.version.hip.replace('.', '')}"
    python = f"py{sys.version_info.major}{sys.version_info.minor}{sys.abiflags}"
    return Path(get_default_build_root()) / f"{python}_{kind}" / OP


def _sources() -> tuple[Path, ...]:
    # Found without importing DeepSpeed, which takes seconds.
    spec = importlib.util.find_spec("deepspeed")
    if spec is None or spec.origin is None:
        raise EaglerayError("DeepSpeed is not installed: pip install 'eagleray[train]'")
    folder = Path(spec.origin).parent / "ops" / "csrc" / "cpu" / "comm"
    return folder / "shm_interface.cpp", folder / "shm.cpp"


def _require_tools() -> None:
    compiler = os.environ.get("CXX", "c++")
    for tool, remedy in ((compiler, "apt-get install g++"), ("ninja", "pip install ninja")):
        if shutil.which(tool) is None:
            raise EaglerayError(f"`{tool}` is not on the PATH, and DeepSpeed compiles with it on CPU: {remedy}")
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    if not headers.is_file():
        raise EaglerayError(f"{headers} is missing; DeepSpeed compiles against it on CPU: apt-get install python3-dev")


def _remove_stale_lock(now: float) -> None:
    lock = build_directory() / "lock"
    if lock.exists() and now - lock.stat().st_mtime > _STALE_LOCK_S:
        lock.unlink(missing_ok=True)


if __name__ == "__main__":
    raise SystemExit(main())
