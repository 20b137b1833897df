"""What deploy/ has for containers and Kubernetes: checked as far as can be without them.

The commands of the Ray containers are run here, on addresses of this machine, and a folder is
indexed through them as the page says.
"""

import contextlib
import inspect
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import click
import numpy as np
import pytest

from fakes import write_photo
from houndsight import Gallery, cli, index
from houndsight.embedder import Embedder
from houndsight.stores.address import located
from test_documents import free_port
from test_project import read

yaml = pytest.importorskip("yaml", reason="PyYAML comes with the development tools")

FILES = ("compose.yaml", "milvus-values.yaml", "raycluster.yaml")
SECRET = re.compile(r"(?i)passw|token|secret|key")
PATIENCE_S = 120
ATTEMPTS = 4


def documents(name):
    return list(yaml.safe_load_all(read(f"deploy/{name}")))


@pytest.fixture(scope="module")
def services():
    (compose,) = documents("compose.yaml")
    return compose["services"]


@pytest.fixture(scope="module")
def pods():
    """The pod templates of the Ray cluster, head first."""
    spec = documents("raycluster.yaml")[0]["spec"]
    return [
        group["template"]["spec"] for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    ]


def found(node, name):
    """Yield the values of a key, wherever it is."""
    if isinstance(node, dict):
        yield from ([node[name]] if name in node else ())
    for below in (
        node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    ):
        yield from found(below, name)


def locked(lock, package):
    (version,) = re.findall(rf"^{package}(?:\[\w+\])?==(\S+)", read(lock), re.MULTILINE)
    return version


def parsed(arguments):
    """Let our own command line read arguments, without doing anything."""
    command, context = cli.app, click.Context(cli.app)
    while isinstance(command, click.Group):
        name, command, arguments = command.resolve_command(context, list(arguments))
        context = click.Context(command, info_name=name, parent=context)
    command.parse_args(context, list(arguments))
    return context.params


# What is named


@pytest.mark.parametrize("name", FILES)
def test_a_file_can_be_read_and_is_told_of(name):
    assert all(documents(name))
    assert f"](../deploy/{name})" in read("docs/more-than-one-machine.md")


def test_every_image_has_a_version():
    images = [one for name in FILES for one in found(documents(name), "image")]
    named = [f"{i['repository']}:{i['tag']}" for i in found(images, "all")]
    named += [f"woodpecker:{i['tag']}" for i in images if isinstance(i, dict) and "tag" in i]
    named += [i for i in images if isinstance(i, str)]
    assert len(named) > 8
    for image in named:
        _, _, tag = image.rpartition(":")
        assert re.search(r"\d+\.\d+|RELEASE\.\d", tag), image
        assert "latest" not in tag


def test_the_versions_are_those_of_the_project(services, pods):
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    ours = {one["image"] for name, one in services.items() if name.startswith(("ray", "page"))}
    ours |= {container["image"] for pod in pods for container in pod["containers"]}
    assert ours == {f"houndsight:{version}-cluster"}
    assert documents("raycluster.yaml")[0]["spec"]["rayVersion"] == locked(
        "requirements-cluster.lock", "ray"
    )
    # A server and its client are of the same major version, here and there of the same server.
    (tag,) = [one["tag"] for one in found(documents("milvus-values.yaml"), "all")]
    assert services["milvus"]["image"] == f"milvusdb/milvus:{tag}"
    assert tag[1:].split(".")[0] == locked("requirements-cluster.lock", "pymilvus").split(".")[0]


def test_the_cluster_s_image_has_what_it_needs(services):
    for package in ("ray", "pymilvus", "s3fs", "uvicorn", "onnxruntime", "hatchling"):
        # Nothing that was not tested: what the development tools are pinned to.
        theirs = locked("requirements-cluster.lock", package)
        assert theirs == locked("requirements-dev.lock", package)
    lock = services["ray-head"]["build"]["args"]["LOCK"]
    dockerfile = read("Dockerfile")
    assert re.search(rf"^COPY .*\b{re.escape(lock)}\b", dockerfile, re.MULTILINE)
    assert re.search(r'pip install .*-r "\$LOCK"$', dockerfile, re.MULTILINE)
    made = [name for name, one in services.items() if "build" in one]
    assert made == ["ray-head"]
    user = re.search(r"--uid (\d+)", dockerfile)[1]
    for pod in documents("raycluster.yaml")[0]["spec"]["workerGroupSpecs"]:
        assert pod["template"]["spec"]["securityContext"]["runAsUser"] == int(user)


# What must not be there


@pytest.mark.parametrize("name", FILES)
def test_there_is_no_secret_in_it(name):
    for line in read(f"deploy/{name}").splitlines():
        key, colon, value = line.partition("#")[0].partition(":")
        if SECRET.search(key) and colon and value.strip():
            # Asked for, a reference to one elsewhere, a name, or a switch.
            assert re.search(r"\$\{\w+:\?|^ (\*token|milvus|token|houndsight-|milvus-)", value), (
                line
            )
    assert "minioadmin" not in read(f"deploy/{name}")


def test_what_is_asked_for_is_made_by_the_page():
    wanted = set(re.findall(r"\$\{(\w+):\?", read("deploy/compose.yaml")))
    page = read("docs/more-than-one-machine.md")
    (block,) = [
        b for b in re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL) if "> .env" in b
    ]
    assert all(re.search(rf"\b{name}\b", block) for name in wanted)
    assert "/deploy/.env" in read(".gitignore").splitlines()


def test_ports_are_open_to_this_machine_only(services):
    ports = [port for one in services.values() for port in one.get("ports", ())]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert list(found(documents("milvus-values.yaml"), "type")) == ["ClusterIP"]


# What holds it together


def test_containers_wait_for_what_is_there_and_say_when_they_are(services):
    (compose,) = documents("compose.yaml")
    for name, one in services.items():
        for other, how in one.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in services[other], (name, other)
        mounted = [v.split(":")[0] for v in one.get("volumes", ()) if not v.startswith("${")]
        assert set(mounted) <= set(compose["volumes"]), name
    # The image's own question is one for the page: Ray's containers are asked another.
    assert services["page"]["image"] == services["ray-head"]["image"]
    assert "healthcheck" not in services["page"]
    assert "healthcheck" in services["ray-head"]
    assert "healthcheck" in services["ray-worker"]


def test_our_commands_are_commands(services, monkeypatch):
    monkeypatch.delenv("HOUNDSIGHT_TOKEN", raising=False)
    gallery = services["page"]["environment"]["HOUNDSIGHT_GALLERY"]
    monkeypatch.setenv("HOUNDSIGHT_GALLERY", gallery)
    assert parsed(services["page"]["command"])["port"] == 8000
    page = read("docs/more-than-one-machine.md")
    lines = re.findall(r"^.*?\bray-head(?: --)? houndsight (.+)$", page, re.MULTILINE)
    lines += re.findall(r"^\$ houndsight (.+)$", page, re.MULTILINE)
    assert len(lines) > 4
    for line in lines:
        assert parsed(shlex.split(line, comments=True)), line


def test_what_is_asked_of_milvus_s_client_is_there():
    pymilvus = pytest.importorskip("pymilvus")
    page = read("docs/more-than-one-machine.md")
    (program,) = re.findall(r"-- python -c '\n(.*?)'\n", page, re.DOTALL)
    compile(program, "docs/more-than-one-machine.md", "exec")
    words = inspect.signature(pymilvus.MilvusClient.update_password).parameters
    assert list(words)[1:4] == ["user_name", "old_password", "new_password"]


def test_the_gallery_is_at_an_address(services, pods):
    places = {services[name]["environment"]["HOUNDSIGHT_GALLERY"] for name in ("ray-head", "page")}
    (container,) = pods[0]["containers"]
    places |= {e["value"] for e in container["env"] if e["name"] == "HOUNDSIGHT_GALLERY"}
    (place,) = places
    address = located(place)
    assert (address.server, address.name) == ("http://milvus:19530", "photos")


def test_a_ray_container_that_is_not_well_is_told(pods):
    # KubeRay's own probes ask Ray's dashboard, which needs packages that are not in the image.
    assert "aiohttp-cors==" not in read("requirements-cluster.lock")
    for pod in pods:
        for container in pod["containers"]:
            for probe in ("livenessProbe", "readinessProbe"):
                assert "health-check" in " ".join(container[probe]["exec"]["command"])


# Ray's commands, run


@pytest.fixture
def ray_nodes(services, tmp_path):
    """Head and worker as their containers start them, with a token, on this machine."""
    pytest.importorskip("ray", reason="needs the extra ray")
    program = shutil.which("ray", path=os.path.dirname(sys.executable))
    if program is None:
        pytest.skip("the command ray is not beside Python")
    port = free_port()
    place = f"127.0.0.1:{port}"
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COVERAGE_PROCESS", "RAY_"))
    } | {"RAY_AUTH_TOKEN": "0123456789abcdef" * 3, "PYTHONPATH": os.pathsep.join(sys.path)}
    for name, value in services["ray-head"]["environment"].items():
        if name.startswith("RAY_") and not value.startswith("$"):
            environment[name] = value
    folder = f"/tmp/hs-{os.getpid()}"  # Ray's sockets want a short path
    started = []

    def left():
        """Processes of Ray's that have the folder."""
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if f"{folder}/".encode() in line.read_bytes():
                    yield int(line.parent.name)

    def clear():
        for process in started:
            process.kill()
            process.wait()
        started.clear()
        while running := list(left()):
            for number in running:
                with contextlib.suppress(OSError):
                    os.kill(number, signal.SIGKILL)
            time.sleep(0.2)
        shutil.rmtree(folder, ignore_errors=True)

    def up(service, *more):
        """Start a container's process; tell whether it came up."""
        words = [word.replace("ray-head:6379", place) for word in services[service]["command"]]
        words = [word.replace("--port=6379", f"--port={port}") for word in words]
        assert services[service]["entrypoint"] == ["ray"]
        with (tmp_path / f"{service}.txt").open("w") as log:
            process = subprocess.Popen(
                [program, *words, *more], env=environment, stdout=log, stderr=log
            )
        started.append(process)
        ends = time.monotonic() + PATIENCE_S
        while process.poll() is None and time.monotonic() < ends:
            if "Ray runtime started" in (tmp_path / f"{service}.txt").read_text():
                return True
            time.sleep(0.5)
        return False

    def well(limit=PATIENCE_S, **other):
        _, *question = services["ray-worker"]["healthcheck"]["test"]
        words = [word.replace("ray-head:6379", place) for word in question]
        try:
            asked = subprocess.run(
                [program, *words[1:]], env=environment | other, capture_output=True, timeout=limit
            )
        except subprocess.TimeoutExpired:  # as Docker takes it
            return False
        return asked.returncode == 0

    try:
        # Where much else is done, a node of Ray may not start in the time that it gives itself.
        # A container is then started again, and so it is here.
        assert services["ray-head"]["restart"] == "unless-stopped"
        for _ in range(ATTEMPTS):
            head = ("--node-ip-address=127.0.0.1", f"--temp-dir={folder}")
            if up("ray-head", *head) and up("ray-worker"):
                break
            clear()
        else:
            pytest.fail("\n".join(path.read_text() for path in tmp_path.glob("ray-*.txt")))
        yield place, environment, well
    finally:
        clear()


def test_ray_s_containers_index_as_the_page_says(ray_nodes, tmp_path):
    place, environment, well = ray_nodes
    for n in range(40):
        write_photo(tmp_path / "photos" / f"breed-{n % 4}" / f"{n}.jpg", n, (96, 80))
    begun = time.monotonic()
    assert well()
    # It is not told why, and asks again for ever.
    assert not well(3 * (time.monotonic() - begun), RAY_AUTH_TOKEN="f" * 48)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "houndsight", "index", str(tmp_path / "photos")),
            *("-g", str(tmp_path / "gallery"), "--model", "efficientnet-lite0", "--ray", place),
        ],
        env=environment
        | {"HOUNDSIGHT_CONFIG": os.devnull, "HOUNDSIGHT_CACHE": str(tmp_path / "c")},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
    )
    assert done.returncode == cli.DONE, done.stderr
    assert "40 photos, " in done.stdout
    index(tmp_path / "photos", tmp_path / "here", embedder=Embedder.load("efficientnet-lite0"))
    with Gallery(tmp_path / "gallery") as one, Gallery(tmp_path / "here") as other:
        items, others = one.items(), other.items()
        assert [item.id for item in items] == [item.id for item in others]
        np.testing.assert_allclose(
            one.vectors(items).values, other.vectors(others).values, rtol=0, atol=1e-5
        )
