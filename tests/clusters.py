"""Ray's nodes in network namespaces of their own, joined by links that can be slow, or cut."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

HUB, PORT = "10.77.0.1", 6379
# Ray takes a node that is not heard of for lost after some 5 seconds, not 30.
IMPATIENT = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "4",
}
ATTEMPTS = 4


def patiently(start, **how):
    """Start a head or a node; again where it was not up in Ray's 30 seconds, on a busy machine."""
    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(Exception):  # nothing finer is raised for a node
            return start(**how)
    return start(**how)


def decoding(cluster, shaper):
    """Return a cluster as an engine of `index` that decodes otherwise."""

    def taken(embedder, reader, work, taking):
        return cluster.taken(embedder, replace(reader, shaper=shaper), work, taking)

    return SimpleNamespace(find=cluster.find, taken=taken)


def missing():
    """Say why there can be no network namespaces here; None where there can."""
    if sys.platform != "linux":
        return "network namespaces are of Linux"
    if os.geteuid() != 0:
        return "network namespaces are for root"
    if shutil.which("ip") is None or shutil.which("tc") is None:
        return "ip and tc (iproute2) are not installed"
    name = f"hs-{os.getpid()}-probe"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if tried.returncode == 0:
        link = ["ip", "-n", name, "link", "add", "one", "type", "veth", "peer", "name", "other"]
        tried = subprocess.run(link, capture_output=True, text=True)
        subprocess.run(["ip", "netns", "del", name], check=True)
    return f"no network namespaces: {tried.stderr.strip()}" if tried.returncode else None


def run(*words):
    subprocess.run(words, check=True, capture_output=True, text=True)


class Network:
    """A head, and nodes, each in a namespace, on a bridge in that of the head."""

    def __init__(self, nodes, environment):
        self.environment = environment | IMPATIENT
        self.prefix = f"hs{os.getpid() % 100000}"
        self.folder = tempfile.mkdtemp(prefix="hs-ray-", dir="/tmp")  # sockets want short paths
        self.hub = f"{self.prefix}h"
        self.nodes = [f"{self.prefix}n{n}" for n in range(nodes)]
        self.spaces = []
        self.running = []

    def __enter__(self):
        try:
            self._link()
            words = ["--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false"]
            self._start(self.hub, HUB, *words, f"--temp-dir={self.folder}")
            for n, space in enumerate(self.nodes):
                self._start(space, self.address(n), f"--address={HUB}:{PORT}", "--num-cpus=1")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.running:
            process.terminate()
        for space in self.spaces:
            held = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True)
            for pid in held.stdout.split():  # what is in there is ours
                subprocess.run(["kill", "-9", pid], capture_output=True)
            subprocess.run(["ip", "netns", "del", space], capture_output=True)
        for process in self.running:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    def address(n):
        return f"10.77.0.{n + 2}"

    def inside(self, space, words, **options):
        """Start a process in a namespace."""
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | options
        process = subprocess.Popen(
            ["ip", "netns", "exec", space, *words], env=self.environment, **options
        )
        self.running.append(process)
        return process

    def slow_down(self, n):
        """Let a node's link carry little, and late; returns how."""
        space, hubs = self.nodes[n], f"v{n}"
        for how in ("netem delay 100ms rate 2mbit", "tbf rate 2mbit burst 16kb latency 4s"):
            words = ["root", *how.split()]
            there = ["tc", "-n", space, "qdisc", "add", "dev", "eth", *words]
            if subprocess.run(there, capture_output=True).returncode == 0:
                run("tc", "-n", self.hub, "qdisc", "add", "dev", hubs, *words)
                return how
        raise AssertionError("tc knows neither netem nor tbf")

    def cut(self, n):
        """Cut a node off."""
        run("ip", "-n", self.hub, "link", "set", f"v{n}", "down")

    def _link(self):
        for space in (self.hub, *self.nodes):
            run("ip", "netns", "add", space)
            self.spaces.append(space)
            run("ip", "-n", space, "link", "set", "lo", "up")
        hub = ["ip", "-n", self.hub]
        run(*hub, "link", "add", "bridge", "type", "bridge")
        run(*hub, "addr", "add", f"{HUB}/24", "dev", "bridge")
        run(*hub, "link", "set", "bridge", "up")
        for n, space in enumerate(self.nodes):
            end = ["peer", "name", "eth", "netns", space]
            run(*hub, "link", "add", f"v{n}", "type", "veth", *end)
            run(*hub, "link", "set", f"v{n}", "master", "bridge", "up")
            run("ip", "-n", space, "addr", "add", f"{self.address(n)}/24", "dev", "eth")
            run("ip", "-n", space, "link", "set", "eth", "up")

    def _start(self, space, address, *words):
        """Start a head or a node, and wait for it.

        Ray gives each 30 seconds, which may not do where other work runs: so more than once.
        """
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        common = [f"--node-ip-address={address}", "--object-store-memory=100000000"]
        said = Path(self.folder) / f"{space}.log"
        for _ in range(ATTEMPTS):
            with said.open("w") as log:
                process = self.inside(space, [*ray, *common, *words], stdout=log, stderr=log)
            while process.poll() is None:
                if "Ray runtime started" in said.read_text():
                    return
                time.sleep(0.2)
        raise AssertionError(f"Ray did not start {ATTEMPTS} times: {said.read_text()[-1000:]}")
