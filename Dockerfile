# houndsight for serving and indexing, without a GPU. With --build-arg LOCK=requirements-cluster.lock it is a node of a Ray
# cluster too, and knows Milvus and S3: docs/more-than-one-machine.md.
#
# This file was written where there is no Docker, and was not built there. If something is wrong with it, please say
# so. How to use it: docs/docker.md.
FROM python:3.11.13-slim-bookworm AS build

ARG LOCK=requirements.lock
WORKDIR /src
COPY requirements.lock requirements-cluster.lock ./
RUN python -m venv /opt/houndsight \
    && /opt/houndsight/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r "$LOCK"
COPY pyproject.toml README.md CHANGELOG.md CONTRIBUTING.md LICENSE ./
COPY src ./src
RUN /opt/houndsight/bin/pip install --no-cache-dir --no-deps --no-build-isolation .


FROM python:3.11.13-slim-bookworm

RUN groupadd --gid 10001 houndsight \
    && useradd --uid 10001 --gid houndsight --no-create-home --home-dir /nonexistent houndsight \
    && install -d -o houndsight -g houndsight /gallery /cache /photos
COPY --from=build /opt/houndsight /opt/houndsight

ENV PATH=/opt/houndsight/bin:$PATH \
    HOUNDSIGHT_GALLERY=/gallery/main \
    HOUNDSIGHT_CACHE=/cache \
    HOUNDSIGHT_CONFIG=/dev/null \
    PYTHONDONTWRITEBYTECODE=1
USER houndsight
WORKDIR /photos
VOLUME ["/gallery", "/cache"]
EXPOSE 8000
# A stop is like Ctrl-C: indexing keeps what it has stored, and goes on there the next time.
STOPSIGNAL SIGINT
# Only a server can be asked; with other commands, run the container with --no-healthcheck.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/api/health', timeout=4)"]

ENTRYPOINT ["houndsight"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
