# TensorFlow Serving with the exported models in one image, gRPC on port 8500 and REST on port 8501.
# The build context is the folder that 'pix2pix export' wrote:
#   docker build -f docker/serve.Dockerfile -t facades-serving runs/facades/export
#   docker run --rm -p 127.0.0.1:8500:8500 -p 127.0.0.1:8501:8501 facades-serving
# To serve from the folder itself, without building an image, use its docker-compose.yml.
# SERVING_VERSION must be as new as the TensorFlow that wrote the models; for GPUs: latest-gpu.
# This file is linted, but no image was built from it.
ARG SERVING_VERSION=latest
FROM tensorflow/serving:${SERVING_VERSION}

COPY . /models/
# On a GPU, products in full float32: the same image as on a CPU.
ENV NVIDIA_TF32_OVERRIDE=0
EXPOSE 8500 8501
CMD ["--model_config_file=/models/models.config", "--rest_api_timeout_in_ms=120000"]
