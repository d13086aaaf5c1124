# Trains in a container, on the CPU. In the folder of this repository:
#   docker build -f docker/train.Dockerfile -t pix2pix .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" pix2pix train --dataset my_pairs
# On NVIDIA GPUs: docker build … --build-arg EXTRA=[gpu], then docker run --gpus all …
# BASE_IMAGE can be any image with Python 3.11 or later and pip. This file is linted, but no image was built from it.
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}

ARG EXTRA=""
COPY pyproject.toml setup.cfg README.md LICENSE /source/
COPY pix2pix_tf /source/pix2pix_tf
RUN pip install --no-cache-dir "/source${EXTRA}"

# Downloads and runs go to the mounted folder, also for a user without an account in the image.
ENV HOME=/work NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /work
ENTRYPOINT ["pix2pix"]
CMD ["train"]
