# The trainer: torch, the hash-locked packages, and a C++ compiler for compiled steps.
#
#     docker build -f docker/trainer.Dockerfile -t glimpse-trainer .
#
# TORCH is what pip installs; on Linux the registry's build is one with CUDA. TORCH_INDEX is the address of another
# index for it: that of PyTorch's builds for the CPU makes the image a good deal smaller.

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="Glimpse, the trainer" \
      org.opencontainers.image.description="Trains and exports the model that the service runs" \
      org.opencontainers.image.licenses="Apache-2.0"
# The folders are where volumes are mounted: empty ones take their owner from here.
RUN apt-get update -qq \
 && apt-get install -qq --yes --no-install-recommends g++ >/dev/null \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin glimpse \
 && install -d -o glimpse -g glimpse /models /mnist /runs \
 && python -m venv --without-pip /opt/venv
ARG TORCH=torch==2.13.0
ARG TORCH_INDEX=
RUN python -m pip --python /opt/venv/bin/python install --quiet --no-cache-dir --root-user-action=ignore \
      ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$TORCH"
# The export is compared with torch on the CPU, so onnxruntime's half for CUDA would only lie there.
COPY requirements/trainer.txt /tmp/requirements/
RUN python -m pip --python /opt/venv/bin/python install --quiet --no-cache-dir --root-user-action=ignore \
      --require-hashes -r /tmp/requirements/trainer.txt \
 && rm -f /opt/venv/lib/python*/site-packages/onnxruntime/capi/libonnxruntime_providers_cuda.so \
          /opt/venv/lib/python*/site-packages/onnxruntime/capi/libonnxruntime_providers_tensorrt.so
COPY LICENSE /app/
COPY docker/train.sh /app/docker/
COPY models /app/models
COPY scenes /app/scenes
COPY trainer /app/trainer
# onnxruntime would tell its maker about each start.
ENV PATH=/opt/venv/bin:$PATH \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    XDG_CACHE_HOME=/mnist
WORKDIR /app
USER 10001:10001
STOPSIGNAL SIGTERM
CMD ["sh", "docker/train.sh"]
