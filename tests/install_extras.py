"""Install houndsight with each extra alone, in an environment of its own, and try what it is for.

Run it by hand where the tools for development are installed, it takes minutes:
``python tests/install_extras.py [EXTRA ...]``; all extras of pyproject.toml unless some are named.
It prints a row for each, and ends with 1 if one fails.
"""

import argparse
import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
import venv
from pathlib import Path

import pillow_heif
from PIL import Image

from dng import dng, plain

HERE = Path(__file__).resolve().parents[1]
EXTRAS = tomllib.loads((HERE / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]
PATIENCE_S = 120
DRAW = """
import random, sys
from pathlib import Path
from PIL import Image
for n in range(12):
    folder = Path(sys.argv[1], "even" if n % 2 else "odd")
    folder.mkdir(parents=True, exist_ok=True)
    coarse = Image.frombytes("RGB", (6, 5), random.Random(n).randbytes(90))
    coarse.resize((96, 80)).save(folder / f"{n}.jpg")
"""


THERE = """
from importlib.util import find_spec
from houndsight.diagnosis import EXTRAS
print(*[name for name, (_, modules) in EXTRAS.items() if all(map(find_spec, modules))])
"""


class Failed(Exception):
    """What was tried did not do what it should."""


class Environment:
    """A fresh virtual environment with houndsight, and a folder to try it in."""

    def __init__(self, folder, extra):
        self.folder = folder
        place = folder / "venv"
        venv.create(place, with_pip=True)
        self.python = place / "bin" / "python"
        before, began = _size(place), time.monotonic()
        wanted = f"{HERE}[{extra}]" if extra else str(HERE)
        self._do(self.python, "-m", "pip", "install", "--quiet", wanted)
        self.seconds, self.size = time.monotonic() - began, _size(place) - before
        self._do(self.python, "-c", DRAW, "photos")
        self.hs("index", "photos", "-g", "gallery", "--model", "efficientnet-lite0")

    def _do(self, *words, code=0):
        done = subprocess.run(words, **self._where(), check=False)
        if code is not None and done.returncode != code:
            raise Failed(
                f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout}"
            )
        return done.stdout

    def _where(self):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HOUNDSIGHT", "PYTHON"))}
        return {
            "cwd": self.folder,
            "env": {**clean, "HOUNDSIGHT_CACHE": "cache", "HOUNDSIGHT_OFFLINE": "1"},
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
        }

    def hs(self, *words, code=0):
        """Run houndsight; returns all that it wrote."""
        return self._do(self.python, "-m", "houndsight", *words, code=code)

    def extras(self):
        """Return the extras of which all modules are there."""
        return set(self._do(self.python, "-c", THERE).split())

    @contextlib.contextmanager
    def running(self, *words):
        """Start houndsight, and stop it at the end; yields its output."""
        command = [self.python, "-m", "houndsight", *words]
        with subprocess.Popen(command, **self._where()) as process:
            guard = signal.signal(signal.SIGALRM, lambda *_: process.kill())
            signal.alarm(PATIENCE_S)
            try:
                yield process.stdout
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait()
                signal.alarm(0)
                signal.signal(signal.SIGALRM, guard)


def _size(folder):
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink())


# What each extra is for: does it, or says what is to be installed


def _keras(env):
    # No weights of Keras, but a file of that kind: to see that, it must be read.
    (env.folder / "weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    photo = ("photos/odd/0.jpg", "-o", "v.npz")
    said = env.hs("embed", *photo, "--model", "resnet50-keras", "--weights", "weights.h5", code=1)
    if "weights.h5" not in said and "pip install" not in said:
        raise Failed(said)
    return said


def _photo(name, made):
    """Return what embeds a photo of a kind that only one extra reads."""

    def trial(env):
        (env.folder / name).write_bytes(made())
        said = env.hs("embed", name, "-o", "v.npz", "--model", "efficientnet-lite0", code=None)
        if not (env.folder / "v.npz").exists() and "pip install" not in said:
            raise Failed(said)
        (env.folder / "v.npz").unlink(missing_ok=True)
        return said

    return trial


def _heic():
    photo = io.BytesIO()
    pillow_heif.from_pillow(Image.radial_gradient("L").convert("RGB")).save(photo)
    return photo.getvalue()


def _dng():
    return dng(plain((640, 480), (20_000, 40_000, 5_000)))


def _map(env):
    said = env.hs("map", "-g", "gallery", "-o", "map.png")
    if "t-SNE in map.png" not in said and "houndsight[map]" not in said:
        raise Failed(said)
    return said


def _watch(env):
    said = ""
    with env.running("watch", "photos", "-g", "gallery") as output:
        for line in output:
            said += line
            if "12 unchanged" in line or "houndsight[watch]" in line:
                return said
    raise Failed(said)


def _web(env):
    with env.running("serve", "-g", "gallery", "--port", "0") as output:
        said = output.readline()
        if "houndsight[web]" in said:
            return said
        if " is at http://127.0.0.1:" not in said:
            raise Failed(said + output.read())
        address = said.split(" is at ")[1].strip()
        with urllib.request.urlopen(
            f"{address.rstrip('/')}/api/info", timeout=PATIENCE_S
        ) as answer:
            return said + answer.read().decode()


def _exported(name):
    def trial(env):
        said = env.hs("export", "-g", "gallery", name, code=None)
        if not (env.folder / name).exists() and "pip install" not in said:
            raise Failed(said)
        return said

    return trial


def _milvus(env):
    said = env.hs("copy", "gallery", "milvus-lite:m.db", code=None)
    if "the same 12 vectors in both" not in said and "pip install" not in said:
        raise Failed(said)
    return said


def _address(address):
    """Nobody answers there: with the library that is said, without it, what to install."""

    def trial(env):
        said = env.hs("index", address, "-g", "other", "--model", "efficientnet-lite0", code=1)
        if "pip install" not in said and "cannot be listed" not in said:
            raise Failed(said)
        return said

    return trial


def _ray(env):
    address = ("--ray", "127.0.0.1:9")
    said = env.hs("index", "photos", "-g", "gallery", *address, code=1)
    if "no Ray cluster answers" not in said and "pip install" not in said:
        raise Failed(said)
    return said


TRIALS = {
    "faiss": _exported("out.faiss"),
    "gs": _address("gs://houndsight.invalid/dogs"),
    "heic": _photo("photo.heic", _heic),
    "keras": _keras,
    "map": _map,
    "milvus": _milvus,
    "parquet": _exported("out.parquet"),
    "ray": _ray,
    "raw": _photo("photo.dng", _dng),
    "remote": _address("http://127.0.0.1:9/dogs"),
    "s3": _address("s3://houndsight.invalid/dogs"),
    "watch": _watch,
    "web": _web,
}


def _check(env, extras):
    """Try all: with the extras installed each works, without one it says how to install it.

    What one brings may be all that another needs.
    """
    there = env.extras()
    if not set(extras) <= there:
        raise Failed(f"{', '.join(extras)}: what was installed cannot be loaded")
    for name, trial in TRIALS.items():
        said = trial(env)
        advice = f"pip install 'houndsight[{name}]'"
        if (advice in said) == (name in there) or "Traceback" in said:
            raise Failed(f"{name}, with {', '.join(extras) or 'no extra'}: {said}")


def main():
    """Try the extras that were asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help=", ".join(EXTRAS))
    asked = parser.parse_args().extras or list(EXTRAS)
    for name in asked:
        if name not in EXTRAS:
            parser.error(f"there is no extra {name}; there are {', '.join(EXTRAS)}")
    bare, code = 0, 0
    for name in [None, *asked]:
        extras = list(TRIALS) if name == "all" else [name] if name else []
        with tempfile.TemporaryDirectory(prefix="houndsight-") as folder:
            try:
                env = Environment(Path(folder), name)
                _check(env, extras)
            except Failed as error:
                print(f"{name or 'bare'}: failed\n{error}", file=sys.stderr)
                code = 1
                continue
        bare = bare or env.size
        size = f"{env.size / 1e6:.0f}" if name is None else f"{(env.size - bare) / 1e6:+.0f}"
        print(f"| {name or 'none'} | {size} MB | {env.seconds:.0f} s |", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
