"""What benchmarks/scaling.py reckons with: measured here, stated by others, or chosen.

A figure is changed here, and then in the pages, by `python benchmarks/scaling.py --write`.
"""

from dataclasses import dataclass

DIM = 2048
SIZES = {"1 million": 10**6, "100 million": 10**8, "10 billion": 10**10}
KINDS = {"float32": 4, "float16": 2, "int8": 1}
LOOKED_UP = "2026-11-28"
GIB, GB, TB = 2**30, 10**9, 10**12


@dataclass(frozen=True)
class Given:
    """A figure that was not reckoned here: its value, how it is shown, of what, and from where."""

    value: float
    shown: str
    what: str
    source: str


def page(name, address):
    return f"[{name}]({address})"


RECORD = "[benchmarks](benchmarks.md)"
SPEED = f"{RECORD}, indexing beside others"
ONE = f"{RECORD}, one process"
MEASURED = {
    "small": Given(20.8, "20.8 a second", "photos of 500 pixels embedded, 2 cores", SPEED),
    "large": Given(14.7, "14.7 a second", "photos of 12 MP embedded, 2 cores", SPEED),
    "small int8": Given(49.5, "49.5 a second", "the same, network in int8", SPEED),
    "large int8": Given(24.4, "24.4 a second", "the same of 12 MP, network in int8", SPEED),
    "plan": Given(
        2.04 / 1e5,
        "2.04 s",
        "100,000 unchanged files listed and compared",
        f"{RECORD}, indexing again",
    ),
    "write": Given(
        1 / 1011,
        "1,011 a second",
        "photos taken into a folder, 32 with one commit",
        f"{RECORD}, a Ray cluster",
    ),
    "shorten": Given(73 / 1e6, "73 s", "shortened rows of 1,000,000 made", f"{RECORD}, search"),
    "exact": Given(
        0.03054 / 1e6, "30.54 ms", "an exact query among 1,000,000 rows", f"{RECORD}, search"
    ),
    "product": Given(
        0.21008 / 1e6,
        "210.08 ms",
        "a bare product over 1,000,000 rows, 2 cores",
        f"{RECORD}, search",
    ),
    "catalogue": Given(301, "301 bytes", "a photo in the catalogue", ONE),
    "shortened": Given(
        1938, "1,938 bytes", "a photo in the shortened rows, without their axes", ONE
    ),
    "thumbnail": Given(11_374, "11,374 bytes", "a thumbnail", ONE),
    "listed": Given(232, "232 bytes", "memory of a listed photo", ONE),
    "item": Given(494, "494 bytes", "memory of an item", ONE),
}

MILVUS = "https://milvus.io/docs/"
INDEXES = page("Milvus: Index Explained", MILVUS + "index-explained.md")
STATED = {
    "links": Given(32 * 4, "32 x 4 bytes", "HNSW: links of a vector, beside the vector", INDEXES),
    "sq8": Given(1, "1 byte", "IVF_SQ8: a number of a vector (an assignment beside it)", INDEXES),
    "pq": Given(
        0.25,
        "0.125 + 0.125",
        "DISKANN: memory for codes and for cached nodes, of the vectors' bytes",
        page("Milvus: On-disk Index", MILVUS + "disk_index.md"),
    ),
    "degree": Given(
        56 * 4,
        "56 x 4 bytes",
        "DISKANN: links of a vector, on the disk",
        page("Milvus: On-disk Index", MILVUS + "disk_index.md"),
    ),
    "load": Given(
        0.9,
        "90 %",
        "of the query nodes' memory may be loaded",
        page("Milvus: Limits", MILVUS + "limitations.md"),
    ),
    "log": Given(
        71e6,
        "71 MB/s",
        "one write-ahead log on MinIO (450 on a local disk, 750 on S3)",
        page("Milvus: Woodpecker", MILVUS + "woodpecker_architecture.md"),
    ),
    "graph": Given(
        5 * 3600 * 32 / 1e8 / 768,
        "4 to 6 h",
        "HNSW of 100 million x 768 numbers built on 32 CPUs; a rule of thumb, not Milvus's own",
        page(
            "System Overflow: Index Building",
            "https://www.systemoverflow.com/learn/ml-embeddings/index-management/"
            "index-building-batch-construction-vs-incremental-updates",
        ),
    ),
    "get rate": Given(
        5500,
        "5,500 a second",
        "GET requests to one partitioned prefix of S3, at least",
        page(
            "AWS: optimizing Amazon S3 performance",
            "https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html",
        ),
    ),
    "list": Given(
        0.15 / 1000,
        "0.1 to 0.2 s",
        "until S3 answers; up to 1,000 names in an answer to LIST",
        page(
            "AWS's white paper, as read here",
            "https://andrewcarlson.dev/rifm-best-practices-design-patterns-optimizing-amazon-s3-performance/",
        ),
    ),
    "queued": Given(
        1e6,
        "1,000,000+",
        "tasks queued on one node of Ray; 250+ nodes, 10,000+ tasks at once",
        page(
            "Ray: Scalability Envelope",
            "https://github.com/ray-project/ray/blob/master/release/benchmarks/README.md",
        ),
    ),
    "cpu price": Given(
        62.05 / 730 / 2,
        "$62.05",
        "730 h of a c6i.large (2 vCPUs), on demand",
        page(
            "Infracost's output",
            "https://gist.github.com/alikhajeh1/6107727c5218382b9cc6af69be562111",
        ),
    ),
    "server price": Given(
        0.172,
        "$0.172 an hour",
        "an i4i.large: 16 GiB, 468 GB of NVMe; larger ones in proportion to 1,024 GiB, $10.89",
        page(
            "Aerospike on I4i", "https://aerospike.com/blog/aws-i4i-instances-superior-performance/"
        ),
    ),
    "store price": Given(
        0.023,
        "$0.023",
        "a GB and month in S3 up to 50 TB; then 0.022 up to 500 TB, then 0.021",
        page(
            "Vantage's table (2022-07)",
            "https://gist.github.com/EverettBerry/a37438006529a55f42da6fdbc44a505c",
        ),
    ),
    "request price": Given(
        0.0004 / 1000,
        "$0.0004, $0.005",
        "1,000 GET requests, 1,000 LIST requests",
        page("S3 request fees", "https://c3x.dev/blog/s3-request-fees-explained"),
    ),
}
LIST_PRICE = 0.005 / 1000
# Bytes a second of one log, by where it is kept.
LOGS = {"MinIO": 71e6, "a local disk": 450e6, "S3": 750e6}
TIERS = ((50 * TB, 0.023), (450 * TB, 0.022), (float("inf"), 0.021))
UNIT_MEMORY, UNIT_DISK = 16 * GIB, 468 * GB

CHOSEN = {
    "link": Given(1.25e9, "10 Gbit/s", "a machine's network", "a parameter"),
    "small bytes": Given(0.08e6, "0.08 MB", "a photo of 500 pixels", SPEED),
    "large bytes": Given(3.09e6, "3.09 MB", "a photo of 12 MP", SPEED),
    "fields": Given(
        266,
        "266 bytes",
        "an item in Milvus beside its vector",
        "a row with a path of 27 characters",
    ),
}
GIVEN = MEASURED | STATED | CHOSEN
