"""The page under load: a photo handed in until its neighbours are seen, and many users at once.

    python benchmarks/page_load.py GALLERY PHOTO... [--rows 20580] [--users 50] [--seconds 300]

GALLERY gives real vectors, labels and thumbnails; with more rows than it has, more are made of them
as in search_speed.py. The server is a process of its own, `houndsight serve` as anybody starts it.
First each PHOTO is handed in: how long until the page with its neighbours has come, and, where
there is a chromium, from its choice until the browser shows all of the thumbnails; less what the
network takes for one photo on an idle machine. Then so many users ask for the neighbours of an item
chosen at random once a second each, a part of the time as a page and a part through the API; the
generator is a single process, whose share of the CPU is stated, as is the server's memory from
minute to minute.
"""

import argparse
import asyncio
import contextlib
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
from search_speed import fill

from houndsight import Gallery

LIMIT_S = 30
BEGIN = """() => document.addEventListener("change", () => (window.begin = performance.now()),
    { capture: true, once: true })"""
ALL_SEEN = """() => new Promise((seen) => {
  const look = () => {
    const all = [...document.querySelectorAll(".answer .tiles img")];
    if (all.length === 20 && all.every((one) => one.complete && one.naturalWidth)) {
      seen(performance.now() - window.begin);
    } else requestAnimationFrame(look);
  };
  look();
})"""


def network_alone(gallery, photo):
    """Return the median time that the network takes for one photo, ms."""
    embedder = gallery.embedder()
    pixels = embedder.pixels(photo)[None]
    taken = []
    for _ in range(15):
        begin = time.perf_counter()
        embedder.runtime.run(pixels, ["vector"])
        taken.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(taken[3:])


def handed_in(address, photo):
    """Hand a photo in; return after how many ms its page has come."""
    edge = "----houndsight"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="image"; filename="q.jpg"\r\n\r\n'
    body = head.encode() + photo.read_bytes() + f"\r\n--{edge}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={edge}"}
    begin = time.perf_counter()
    with urllib.request.urlopen(urllib.request.Request(f"{address}/upload", body, kind)) as answer:
        page = answer.read()
    assert page.count(b'class="rank"') == 20
    return (time.perf_counter() - begin) * 1e3


def seen(address, photos):
    """Return after how many ms a browser shows all thumbnails of each photo's neighbours."""
    from playwright.sync_api import sync_playwright

    taken = []
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1600, "height": 2400})
        for photo in photos:
            page.goto(address)
            page.wait_for_load_state("networkidle")
            page.evaluate(BEGIN)  # what Playwright takes to bring the photo in is nobody's
            page.set_input_files("#choose", photo)
            taken.append(page.evaluate(ALL_SEEN))
        browser.close()
    return taken


def memory(pid):
    """Return what a process has in memory of its own, MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 1024


def cpu(pid):
    """Return the seconds of CPU that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def user(port, paths, until, taken, failed):
    """Ask once a second, at moments of one's own, over one connection."""
    await asyncio.sleep(random.random())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    due = time.perf_counter()
    while due < until:
        begin = time.perf_counter()
        writer.write(
            f"GET {random.choice(paths)} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        )
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LIMIT_S)).lower()
        size = int(re.search(rb"content-length: (\d+)", head)[1])
        await asyncio.wait_for(reader.readexactly(size), LIMIT_S)
        # From when it was due, so that a slow answer does not hide how long others would wait.
        taken.append((time.perf_counter() - min(begin, due)) * 1e3)
        failed.append(not head.startswith(b"http/1.1 200"))
        due += 1.0
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    writer.close()


async def load(port, pid, paths, users, seconds):
    """Return times in ms, failures, and memory from minute to minute."""
    taken, failed, kept = [], [], [memory(pid)]
    until = time.perf_counter() + seconds
    everybody = [asyncio.create_task(user(port, paths, until, taken, failed)) for _ in range(users)]
    while time.perf_counter() < until:
        await asyncio.sleep(min(60.0, max(0.1, until - time.perf_counter())))
        kept.append(memory(pid))
    await asyncio.gather(*everybody)
    return taken, failed, kept


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("gallery", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--rows", type=int, default=20580)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--place", type=Path, help="keep the gallery here, or use the one there is")
    arguments = parser.parse_args()
    place = arguments.place or Path(tempfile.mkdtemp()) / "gallery"
    if not Gallery.exists(place):
        with Gallery(arguments.gallery) as source:
            fill(place, source, arguments.rows, [source.thumbnail(one) for one in source.items()])
    with Gallery(place) as gallery:
        alone = network_alone(gallery, arguments.photos[0])
        keys = [item.key for item in gallery.items()]
    command = [sys.executable, "-m", "houndsight", "serve", "-g", str(place), "--port", "0"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(server.terminate)  # else a failure here would wait for the server's end
        address = server.stdout.readline().split()[-1]
        port = int(address.rsplit(":", 1)[1])
        handed_in(address, arguments.photos[-1])  # warms up
        print(f"gallery of {len(keys):,}; the network alone takes {alone:.0f} ms for one photo\n")
        print(
            "| a photo handed in, until | median ms | beyond the network | slowest |\n"
            "|---|---|---|---|"
        )
        # Different photos for each, as what was handed in is remembered.
        photos = arguments.photos[:-1]
        rows = {"its page has come": [handed_in(address, one) for one in photos[::2]]}
        if shutil.which("chromium"):
            rows["the browser shows all of it"] = seen(address, photos[1::2])
        for name, taken in rows.items():
            middle = statistics.median(taken)
            print(f"| {name} | {middle:.0f} | {middle - alone:.0f} | {max(taken):.0f} |")
        half = arguments.seconds / 2
        print(
            f"\n{arguments.users} users, one search by item a second each, {half:.0f} s of a kind\n"
        )
        print("| | answers | failed | median ms | p95 | p99 | slowest | CPU: server | generator |")
        print("|---|---|---|---|---|---|---|---|---|")
        memories = []
        for name, form in (("page", "/?q={}"), ("API", "/api/search?query={}")):
            paths = [form.format(key) for key in keys]
            before = cpu(server.pid), sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
            begin = time.perf_counter()
            taken, failed, kept = asyncio.run(load(port, server.pid, paths, arguments.users, half))
            wall = time.perf_counter() - begin
            mine = (sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) - before[1]) / wall
            theirs = (cpu(server.pid) - before[0]) / wall
            memories += kept
            figures = np.percentile(taken, [50, 95, 99, 100])
            words = " | ".join(f"{one:.1f}" for one in figures)
            print(
                f"| {name} | {len(taken):,} | {sum(failed)} | {words} | {theirs:.0%} | {mine:.0%} |"
            )
        print(
            "\nanonymous memory from minute to minute, MB:", ", ".join(f"{m:.0f}" for m in memories)
        )


if __name__ == "__main__":
    main()
