"""HTTP helpers, shared by the downloader and the client for served models."""

from __future__ import annotations

import requests


def anonymous(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """An authentication that sends nothing; by default, requests sends credentials from ~/.netrc."""
    return request


def first_cause(error: BaseException) -> BaseException:
    """Returns the operating system's error inside those of requests and urllib3."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error
