"""What the two clients of HTTP share: the download of archives and models behind a server."""

from __future__ import annotations

import requests


def anonymous(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authentication that sends nothing; without any, requests sends what ~/.netrc has for the host."""
    return request


def first_cause(error: BaseException) -> BaseException:
    """Returns the system's own error, which requests and urllib3 wrap in several of theirs."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error
