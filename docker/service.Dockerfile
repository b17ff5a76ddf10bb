# The service: Python, the hash-locked packages, the code, the committed model. No torch, no compiler, no pip.
#
#     docker build -f docker/service.Dockerfile -t glimpse-service .
#
# CUDA=1 takes the CUDA libraries in, as wheels: the machine needs NVIDIA's driver and container toolkit, no more.

FROM python:3.11-slim-bookworm AS packages
ARG CUDA=0
RUN python -m venv --without-pip /opt/venv
COPY requirements/service.txt requirements/gpu.txt /tmp/requirements/
# Without CUDA's own libraries onnxruntime's half for it, most of the whole, could never be loaded.
RUN case "$CUDA" in \
      0) locked=service ;; \
      1) locked=gpu ;; \
      *) echo "CUDA: expected 0 or 1, got $CUDA" >&2; exit 1 ;; \
    esac \
 && python -m pip --python /opt/venv/bin/python install --quiet --no-cache-dir --root-user-action=ignore \
      --require-hashes -r "/tmp/requirements/$locked.txt" \
 && if [ "$CUDA" = 0 ]; then \
      rm -f /opt/venv/lib/python*/site-packages/onnxruntime/capi/libonnxruntime_providers_cuda.so \
            /opt/venv/lib/python*/site-packages/onnxruntime/capi/libonnxruntime_providers_tensorrt.so; \
    fi

FROM python:3.11-slim-bookworm AS code
COPY LICENSE /app/
COPY docker/start.sh docker/healthy.py /app/docker/
COPY models /app/models
COPY scenes /app/scenes
COPY service /app/service
# Compiled here, since nobody may write there later; not by time stamps, which a copy may change.
RUN python -m compileall -q --invalidation-mode unchecked-hash /app

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="Glimpse, the service" \
      org.opencontainers.image.description="Finds, frames and reads a handwritten digit in a cluttered scene" \
      org.opencontainers.image.licenses="Apache-2.0"
# The folders are where volumes are mounted: empty ones take their owner from here.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python*/site-packages/* \
 && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin glimpse \
 && install -d -o glimpse -g glimpse /models /mnist
COPY --from=packages /opt/venv /opt/venv
COPY --from=code /app /app
# onnxruntime would tell its maker about each start; numpy would keep a thread for each core in each process.
ENV PATH=/opt/venv/bin:$PATH \
    ORT_DISABLE_TELEMETRY=1 \
    OPENBLAS_NUM_THREADS=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    XDG_CACHE_HOME=/mnist \
    GLIMPSE_HOST=0.0.0.0
WORKDIR /app
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=4s --start-period=30s --retries=3 CMD ["python", "docker/healthy.py"]
ENTRYPOINT ["sh", "docker/start.sh"]
