# docker build -t tunesmith .
# docker run --rm -v "$PWD/runs:/data/runs" tunesmith quickstart
#
# The processor build of torch. For a GPU: docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu129 .
# and run with --gpus all.
FROM python:3.11-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
COPY recipes ./recipes
RUN pip install --extra-index-url "$TORCH_INDEX" . -c src/tunesmith/core/constraints.txt \
 && rm -rf /src

RUN useradd --create-home --uid 1000 user && mkdir /data && chown user /data
USER user
WORKDIR /data
ENTRYPOINT ["tunesmith"]
CMD ["--help"]
