# The image of the operator: no torch, no Ray.
#   docker build -f cluster/images/operator.Dockerfile -t eagleray/operator:VERSION .
FROM python:3.11-slim-bookworm AS build
RUN python -m venv /opt/eagleray
ENV PATH=/opt/eagleray/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements.lock ./
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY src ./src
RUN grep -Ev '^(#|pip=|setuptools=)' requirements.lock > constraints.txt \
 && pip install --constraint constraints.txt ".[operator]"

FROM python:3.11-slim-bookworm
RUN useradd --uid 1000 --create-home --home-dir /home/eagleray --shell /usr/sbin/nologin eagleray
COPY --from=build /opt/eagleray /opt/eagleray
ENV PATH=/opt/eagleray/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1
USER 1000:1000
WORKDIR /tmp
ENTRYPOINT ["eagleray"]
CMD ["operator", "--help"]
