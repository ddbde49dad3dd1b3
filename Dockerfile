# Build:  docker build -t llm-gateway .
# Run:    docker run --rm -p 127.0.0.1:8400:8400 -e GATEWAY_API_KEY=... llm-gateway

# The Python version that the lock files are made for and the tests run on.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# These include the clients of PostgreSQL and Redis, which are imported only if a URL names a server.
COPY requirements-team.lock requirements-build.lock ./
# Wheels only: no downloaded package runs code during the build, except the pinned build back-end.
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements-build.lock \
    && python3 -m venv --without-pip /opt/gateway \
    && /opt/build/bin/pip --python /opt/gateway/bin/python install \
        --no-cache-dir --require-hashes --only-binary :all: -r requirements-team.lock
COPY pyproject.toml README.md LICENSE ./
COPY gateway ./gateway
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
    && /opt/build/bin/pip --python /opt/gateway/bin/python install --no-cache-dir --no-deps --no-index /tmp/wheel/*.whl

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Gateway" \
      org.opencontainers.image.description="One OpenAI-compatible endpoint in front of every model you can reach" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/gateway /opt/gateway
# A new volume takes its owner from the directory that it is mounted on.
RUN install -d -m 0700 -o 10001 -g 10001 /data && install -d -m 0755 /etc/gateway
ENV PATH=/opt/gateway/bin:/usr/local/bin:/usr/bin:/bin \
    GATEWAY_STATE_DIR=/data \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /etc/gateway
VOLUME ["/data"]
# A number, so that Kubernetes can see that the user is not root.
USER 10001:10001
EXPOSE 8400
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 CMD ["gateway", "healthcheck"]
ENTRYPOINT ["gateway"]
# Beyond loopback the gateway needs a key: without GATEWAY_API_KEY it ends with a message that says so.
CMD ["run", "--host", "0.0.0.0"]
