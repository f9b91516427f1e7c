"""A small web server on this machine, for tests of downloads: it answers as it is told to, also wrongly."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers each request by the next of the server's answers; the last one stays."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            answer(self)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


class Server(ThreadingHTTPServer):
    """A server on a free port, with what it was asked."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()

    def url(self, path: str = "/file.zip") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, *_: object) -> None:
        """A client that left is nobody's trouble."""


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """A server that runs as long as the block."""
    server = Server()
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def whole(body: bytes, *, etag: str = '"1"', ranges: bool = True, kind: str = "application/zip") -> Answer:
    """The file, or the part of it that is asked for, as a good server gives it."""

    def answer(handler: Handler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        fresh = handler.headers.get("If-Range", etag) == etag
        tag = {"ETag": etag} if etag else {}
        if not (asked and ranges and fresh):
            handler.head(200, Content_Length=len(body), Content_Type=kind, **tag)
            handler.wfile.write(body)
            return
        start = int(asked[1])
        if start >= len(body):
            handler.head(416, Content_Range=f"bytes */{len(body)}", Content_Length=0)
            return
        span = f"bytes {start}-{len(body) - 1}/{len(body)}"
        handler.head(206, Content_Range=span, Content_Length=len(body) - start, **tag)
        handler.wfile.write(body[start:])

    return answer


def cut(body: bytes, at: int, *, etag: str = '"1"') -> Answer:
    """The length of the whole file and its first bytes, then the end of the connection."""

    def answer(handler: Handler) -> None:
        handler.head(200, Content_Length=len(body), ETag=etag)
        handler.wfile.write(body[:at])
        handler.close_connection = True

    return answer


def stalled(body: bytes, at: int) -> Answer:
    """The first bytes, then silence until the server closes."""

    def answer(handler: Handler) -> None:
        handler.head(200, Content_Length=len(body), ETag='"1"')
        handler.wfile.write(body[:at])
        handler.wfile.flush()
        handler.server.closing.wait(5)
        handler.close_connection = True

    return answer


def chunked(body: bytes, *, broken: bool = False) -> Answer:
    """The file without its length, in chunks; broken: without the last one."""

    def answer(handler: Handler) -> None:
        handler.head(200, Transfer_Encoding="chunked")
        for start in range(0, len(body), 10_000):
            block = body[start : start + 10_000]
            handler.wfile.write(f"{len(block):x}\r\n".encode() + block + b"\r\n")
        handler.wfile.write(b"" if broken else b"0\r\n\r\n")
        handler.close_connection = broken

    return answer


def status(code: int, **headers: object) -> Answer:
    """An answer without a file."""
    return lambda handler: handler.head(code, Content_Length=0, **headers)


def raw(answer: bytes) -> Answer:
    """These very bytes, from the status line on, then the end of the connection."""

    def write(handler: Handler) -> None:
        handler.wfile.write(answer)
        handler.close_connection = True

    return write


def redirect(location: str) -> Answer:
    """Another address."""
    return status(302, Location=location)
