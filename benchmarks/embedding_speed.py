"""Images a second from photos on disk to vectors, beside what else could be used, in one run.

    python benchmarks/embedding_speed.py PHOTOS --weights FILE [--sizes 224,500,4000] [--part 160]

PHOTOS are real ones; from an even part of them JPEGs of other sizes are made, of the shape 4:3
(enlarged by Pillow's LANCZOS; those of more than 1,000 pixels with noise, so that a 12-megapixel
JPEG has some 4 MB, as a camera's has; those of 500 get some 40 kB without). For every size
and in each round, one after the other: the network alone on prepared pixels; `houndsight.index`
into a new gallery, in float32 and in integers, every commit included; fastembed with the same
network in an ONNX file; and a loop over PyTorch as img2vec has it, one photo after the other. What
is not installed is left out. Ratios are taken within a round.

Under each table is the arithmetic limit: what the CPUs could do if they only decoded and computed;
and what a new file takes where the galleries are: half a millisecond where ext4 has deleted many
within the last minutes, and then indexing is slower by as much for each photo.

The network in integers is quantized before, as `houndsight index --precision int8` does, on all of
PHOTOS; what that measures is printed: the whole frontier of speed and common neighbours.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from houndsight import Embedder, images, index, narrowed
from houndsight.machine import usable_cpus

BATCH = 16  # of the network alone and of fastembed
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def made(photos, side, place):
    """Write the photos with this longer side; at 224 pixels they are linked as they are."""
    place.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for photo in photos:
        target = place / photo.name
        with Image.open(photo) as image:
            if max(image.size) == side:
                target.symlink_to(photo)
                continue
            size = side, side * 3 // 4
            large = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        if side > 1000:
            noise = rng.normal(0, 6, (size[1] // 2, size[0] // 2, 1)).repeat(2, 0).repeat(2, 1)
            noisy = np.clip(np.asarray(large, np.float32) + noise, 0, 255).astype(np.uint8)
            large = Image.fromarray(noisy)
        large.save(target, quality=92)
    return place


def network_alone(embedder, folder):
    paths = sorted(folder.iterdir())[:BATCH]
    pixels = np.stack([embedder.pixels(path) for path in paths])
    embedder.runtime.run(pixels, ["vector"])
    runs, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < 6:
        embedder.runtime.run(pixels, ["vector"])
        runs += 1
    return runs * len(pixels) / (time.perf_counter() - begin)


def indexed(embedder, folder, place):
    # Galleries stay to the end: where files were just deleted, ext4 takes half a millisecond for a
    # new one, and a gallery makes one for each photo.
    gallery = Path(tempfile.mkdtemp(dir=place)) / "gallery"
    begin = time.perf_counter()
    report = index(folder, gallery, embedder=embedder)
    return report.embedded / (time.perf_counter() - begin)


def creating(place):
    """Return the seconds that a new file takes there; a gallery makes one for each photo."""
    folder = Path(tempfile.mkdtemp(dir=place))
    begin = time.perf_counter()
    for n in range(100):
        (folder / str(n)).touch()
    return (time.perf_counter() - begin) / 100


def fastembed(graph, folder):
    """Return what embeds a folder with fastembed; None where it is not installed."""
    try:
        from fastembed import ImageEmbedding
    except ImportError:
        return None
    import onnx

    model = onnx.load_model_from_string(graph)
    del model.graph.output[1:]  # it takes the only output
    onnx.save(model, folder / "model.onnx")
    settings = {
        "do_resize": True,
        "size": {"width": 224, "height": 224},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": STD,
        "image_processor_type": "CLIPImageProcessor",
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return ImageEmbedding("Qdrant/resnet50-onnx", specific_model_path=str(folder))


def with_fastembed(model, folder):
    paths = [str(path) for path in sorted(folder.iterdir())]
    begin = time.perf_counter()
    count = sum(1 for _ in model.embed(paths, batch_size=BATCH))
    return count / (time.perf_counter() - begin)


def pytorch(weights):
    """Return ResNet-50 in PyTorch's own operators, pixels to vectors; None without PyTorch."""
    try:
        import torch
        import torch.nn.functional as nn
        from safetensors.torch import load_file
    except ImportError:
        return None
    w = load_file(weights)

    def conv(x, name, norm, stride=1):
        kernel = w[f"{name}.weight"]
        x = nn.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        parts = (w[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return nn.batch_norm(x, *parts)

    def network(x):
        x = nn.max_pool2d(nn.relu(conv(x, "conv1", "bn1", 2)), 3, 2, 1)
        for stage, blocks in enumerate((3, 4, 6, 3), 1):
            for n in range(blocks):
                at, stride = f"layer{stage}.{n}", 2 if stage > 1 and not n else 1
                y = nn.relu(conv(x, f"{at}.conv1", f"{at}.bn1"))
                y = nn.relu(conv(y, f"{at}.conv2", f"{at}.bn2", stride))
                y = conv(y, f"{at}.conv3", f"{at}.bn3")
                if not n:
                    x = conv(x, f"{at}.downsample.0", f"{at}.downsample.1", stride)
                x = nn.relu(x + y)
        return x.mean((2, 3))

    def embed(pixels):
        with torch.inference_mode():
            return network(torch.from_numpy(pixels)[None])[0].numpy()

    return embed


def with_pytorch(network, folder):
    paths = sorted(folder.iterdir())
    begin = time.perf_counter()
    for path in paths:
        with Image.open(path) as image:
            shaped = image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
        pixels = (np.asarray(shaped, np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
        network(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
    return len(paths) / (time.perf_counter() - begin)


def cosines(embedder, folder):
    """Cosine of vectors from reduced decoding and from the whole photo."""
    found = []
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            whole = embedder.embed(image.convert("RGB")).values[0]
        found.append(float(embedder.embed(path).values[0] @ whole))
    return found


def decoding(embedder, folder):
    """Return the seconds that a photo takes to be decoded on one core, as small as it may be."""
    least = embedder.preprocessing.decode_at_least
    files = [(os.fsencode(path), path.read_bytes()) for path in sorted(folder.iterdir())[:32]]
    begin = time.perf_counter()
    for path, data in files:
        images.decode(data, path=path, at_least=least)
    return (time.perf_counter() - begin) / len(files)


def ratio(speeds, others):
    """Return the median over rounds of how many times as fast; nothing where there is no other."""
    if others is None:
        return ""
    return f"{statistics.median(a / b for a, b in zip(speeds, others, strict=True)):.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--sizes", default="224,500,4000")
    parser.add_argument("--part", type=int, default=160)
    parser.add_argument("--large", type=int, default=48, help="photos of 12 megapixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cosines", type=int, default=0, help="compare so many large photos")
    arguments = parser.parse_args()
    photos = sorted(path for path in arguments.photos.rglob("*") if path.is_file())
    float32 = Embedder.load("resnet50", weights=arguments.weights)
    labels = [path.parent.name for path in photos]
    int8, report = narrowed(float32, [str(path).encode() for path in photos], labels)
    print(f"\n{report.photos:,} photos, k = {report.k}\n")
    print("| network | images a second, alone | overlap | precision |\n|---|---|---|---|")
    for trial in report.trials:
        taken = " (taken)" if trial.name == report.chosen else ""
        print(f"| {trial.name}{taken} | {trial.speed:.1f} | {trial.overlap:.4f} ", end="")
        print(f"| {trial.precision:.4f} |")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "model").mkdir()
        theirs = fastembed(float32.float_graph(), folder / "model")
        net = pytorch(arguments.weights)
        ways = {"network alone": lambda at: network_alone(float32, at)}
        ways["houndsight, float32"] = lambda at: indexed(float32, at, folder)
        ways["houndsight, int8"] = lambda at: indexed(int8, at, folder)
        if theirs is not None:
            ways["fastembed, float32"] = lambda at: with_fastembed(theirs, at)
        if net is not None:
            ways["PyTorch, one by one"] = lambda at: with_pytorch(net, at)
        for side in map(int, arguments.sizes.split(",")):
            count = arguments.large if side > 1000 else arguments.part
            some = [photos[n] for n in np.linspace(0, len(photos) - 1, count).astype(int)]
            place = made(some, side, folder / str(side))
            size = sum(path.stat().st_size for path in place.iterdir()) / count / 1e6
            print(f"\n{count} photos of {side} pixels, {size:.2f} MB each\n")
            found = {name: [] for name in ways}
            new_file = []
            for _ in range(arguments.rounds):
                for name, way in ways.items():
                    found[name].append(way(place))
                new_file.append(creating(folder))
            print("| way | images a second (rounds) | of the network alone | of fastembed |")
            print("|---|---|---|---|")
            for name, speeds in found.items():
                alone, fast = (
                    ratio(speeds, found.get(other))
                    for other in ("network alone", "fastembed, float32")
                )
                listed = ", ".join(f"{speed:.1f}" for speed in speeds)
                print(f"| {name} | {statistics.median(speeds):.1f} ({listed}) | {alone} | {fast} |")
            seconds = decoding(float32, place)
            limits = [
                f"{trial.name} {usable_cpus() / (seconds + usable_cpus() / trial.speed):.1f}"
                for trial in report.trials
                if trial.name in ("float32", report.chosen)
            ]
            print(f"\ndecoding {1e3 * seconds:.1f} ms on one core; arithmetic limit: ", end="")
            print(", ".join(limits))
            listed = ", ".join(f"{1e3 * took:.2f}" for took in new_file)
            print(f"a new file took {listed} ms there (0.02 where none were deleted lately)")
        if arguments.cosines:
            some = [
                photos[n] for n in np.linspace(0, len(photos) - 1, arguments.cosines).astype(int)
            ]
            same = cosines(float32, made(some, 4000, folder / "cosines"))
            print(
                f"\nreduced decoding against whole, {len(same)} photos of 12 megapixels: cosine ",
                end="",
            )
            print(f"{statistics.median(same):.5f} in the median, {min(same):.5f} at worst")


if __name__ == "__main__":
    main()
