"""Files of a repository over HTTP(S) or from a folder, for python-tuf's client.

A poll that finds nothing new costs two small requests on one connection: one for a newer root,
which is absent, and one for the timestamp, with the ETag of the one at hand (RFC 9110, 13.1.2).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import urllib3
from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from tuf.ngclient import FetcherInterface

from edge.updates import durable
from edge.updates.archive import is_repository_file

CONDITIONAL = "/timestamp.json"
CHUNK_BYTES = 2**14
CONNECT_TIMEOUT_S = 15.0
READ_TIMEOUT_S = 30.0
REDIRECTS = 3
SHORT_ANSWER_BYTES = 4096


class FolderFetcher(FetcherInterface):
    """Reads a repository from a folder, such as a USB stick; never outside it.

    Args:
        folder: a handle of the folder; whoever opened it closes it.
    """

    def __init__(self, folder: int) -> None:
        self._folder = folder

    def _fetch(self, url: str) -> Iterator[bytes]:
        inside = unquote(urlsplit(url).path).lstrip("/")
        if not is_repository_file(inside):
            raise DownloadError(f"{inside} is no file of a repository")
        try:
            handle = self._open(inside)
        except FileNotFoundError:
            raise DownloadHTTPError(f"{inside} is missing", 404) from None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):  # what O_NOFOLLOW makes of a link
                raise DownloadError(f"{inside} is no plain file") from None
            raise DownloadError(f"{inside}: {error.strerror}") from None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise DownloadError(f"{inside} is no plain file")
        return self._chunks(handle, inside)

    def _open(self, inside: str) -> int:
        """Open a file step by step, so that no link leads out of the folder."""
        *folders, name = inside.split("/")
        folder = os.dup(self._folder)
        try:
            for step in folders:
                outer = folder
                folder = os.open(step, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=outer)
                os.close(outer)
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)

    def _chunks(self, handle: int, inside: str) -> Iterator[bytes]:
        with os.fdopen(handle, "rb") as file:
            try:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
            except OSError as error:
                raise DownloadError(f"{inside}: {error.strerror}") from None


class HttpFetcher(FetcherInterface):
    """Reads a repository over HTTP(S), with a limit on the time that it may take in all.

    Args:
        cached_timestamp: the timestamp metadata that the device holds.
        memory: small file that keeps the ETag of it.
        deadline_s: time for everything this fetcher reads, seconds.
        user_agent: how it introduces itself.
        monotonic_s: a clock that never jumps, seconds.
    """

    def __init__(
        self,
        cached_timestamp: Path,
        memory: Path,
        deadline_s: float,
        user_agent: str = "earwitness",
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cached_timestamp = cached_timestamp
        self._memory = memory
        self._monotonic_s = monotonic_s
        self._ends_s = monotonic_s() + deadline_s
        self._headers = {"User-Agent": user_agent}
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._seen_etag: tuple[str, str] | None = None

    def remember(self) -> None:
        """Keep the ETag of the timestamp just read, after the whole state has been accepted."""
        if self._seen_etag is None:
            return
        url, etag = self._seen_etag
        held = _digest(self._cached_timestamp)
        entry = json.dumps({"url": url, "etag": etag, "sha256": held}, sort_keys=True)
        if held is not None and entry != _text(self._memory):
            durable.write_file(self._memory, entry.encode())

    def _fetch(self, url: str) -> Iterator[bytes]:
        etag = self._known_etag(url) if url.endswith(CONDITIONAL) else None
        headers = {**self._headers, **({"If-None-Match": etag} if etag else {})}
        try:
            response = self._pool(url).request(
                "GET",
                url,
                headers=headers,
                preload_content=False,
                decode_content=False,
                retries=urllib3.Retry(REDIRECTS, connect=0, read=0, status=0, other=0),
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
            )
        except urllib3.exceptions.HTTPError as error:
            raise DownloadError(_reason(error)) from None
        if response.status == 304 and etag:
            self._drain(response)
            return iter([self._cached_timestamp.read_bytes()])
        if response.status != 200:
            self._drain(response)
            raise DownloadHTTPError(f"{url} answers HTTP {response.status}", response.status)
        if url.endswith(CONDITIONAL):
            new_etag = response.headers.get("ETag")
            self._seen_etag = (url, new_etag) if new_etag else None
        return self._chunks(response)

    def _known_etag(self, url: str) -> str | None:
        """The ETag of the timestamp at hand, if this URL gave exactly those bytes."""
        try:
            entry = json.loads(_text(self._memory) or "{}")
            known = entry.get("url") == url and entry.get("sha256") == _digest(
                self._cached_timestamp
            )
            return str(entry["etag"]) if known else None
        except (ValueError, KeyError, AttributeError):
            return None

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxy = urllib.request.getproxies().get(parts.scheme)
        if proxy and urllib.request.proxy_bypass(parts.hostname or ""):
            proxy = None
        key = proxy or ""
        if key not in self._pools:
            self._pools[key] = urllib3.ProxyManager(proxy) if proxy else urllib3.PoolManager()
        return self._pools[key]

    def _drain(self, response: urllib3.BaseHTTPResponse) -> None:
        """Free the connection for the next request, unless the answer does not end."""
        try:
            complete = len(response.read(SHORT_ANSWER_BYTES)) < SHORT_ANSWER_BYTES
        except urllib3.exceptions.HTTPError:
            complete = False
        if complete:
            response.release_conn()
        else:
            response.close()

    def _chunks(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        try:
            # read1, because read waits for a whole chunk from a server that drips.
            while chunk := response.read1(CHUNK_BYTES, decode_content=False):
                if self._monotonic_s() > self._ends_s:
                    raise SlowRetrievalError("the server takes too long")
                yield chunk
            response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise DownloadError(f"the connection broke ({_reason(error)})") from None
        finally:
            response.close()


def _reason(error: urllib3.exceptions.HTTPError) -> str:
    inner = getattr(error, "reason", None) or error
    return str(inner).split(": ", 1)[-1] or type(inner).__name__


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
