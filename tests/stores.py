"""An object store on loopback: moto's S3, in a thread of the tests' process."""

import contextlib
import os
from unittest import mock

import pytest
import requests


@contextlib.contextmanager
def object_store(cache):
    """Starts a store with the bucket ``bucket``; sets what clients, also in other processes, find it by."""
    server_of = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    import boto3
    import s3fs

    server = server_of.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    found_by = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "XDG_CACHE_HOME": str(cache),
    }
    try:
        with mock.patch.dict(os.environ, found_by):
            s3fs.S3FileSystem.clear_instance_cache()
            requests.post(f"http://127.0.0.1:{port}/moto-api/reset", timeout=10).raise_for_status()
            boto3.client("s3").create_bucket(Bucket="bucket")
            yield s3fs.S3FileSystem(use_listings_cache=False)
    finally:
        server.stop()
