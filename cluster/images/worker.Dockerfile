# The image of all pods: trains, sweeps and serves.
#   docker build -f cluster/images/worker.Dockerfile -t eagleray/worker:VERSION .
FROM python:3.11-slim-bookworm AS build
RUN python -m venv /opt/eagleray
ENV PATH=/opt/eagleray/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements.lock ./
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY src ./src
# The lock as constraints: what only tests need is not installed.
RUN grep -Ev '^(#|pip=|setuptools=)' requirements.lock > constraints.txt \
 && pip install --constraint constraints.txt ".[submit,train,serve,track]"

FROM python:3.11-slim-bookworm
RUN useradd --uid 1000 --create-home --home-dir /home/eagleray --shell /bin/bash eagleray
COPY --from=build /opt/eagleray /opt/eagleray
ENV PATH=/opt/eagleray/bin:$PATH HOME=/home/eagleray PYTHONDONTWRITEBYTECODE=1
USER 1000:1000
WORKDIR /home/eagleray
# KubeRay gives the command: `ray start` on head and workers, `ray job submit` in the pod that submits.
CMD ["eagleray", "--help"]
