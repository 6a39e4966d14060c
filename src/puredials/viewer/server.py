"""The server of a viewer: a page, its static files and its data, behind a random token, on the loopback interface.

What may be asked for is a table of names: no path of a request ever becomes the name of a file.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from puredials.errors import PuredialsError

__all__ = ["Reply", "ViewerServer"]

_TYPES = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Reply:
    """What a route answers; `encoding` is "deflate" where the body is compressed by zlib."""

    body: bytes
    type: str = "application/json"
    encoding: str = ""


Route = Callable[[Mapping[str, str]], Reply]


class ViewerServer(ThreadingHTTPServer):
    """Serves `routes` (name -> function of the query) and the files `static` of the package.

    The first of `static` is the page. Port 0 takes any that is free.
    """

    daemon_threads = True

    def __init__(self, routes: Mapping[str, Route], static: tuple[str, ...], *, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.token = secrets.token_urlsafe(24)
        folder = files("puredials.viewer") / "static"
        self.static = {name: (folder / name).read_bytes() for name in static}
        self.static_types = {name: _TYPES[name.rsplit(".", 1)[1]] for name in static}
        self.page = static[0]
        self.routes = dict(routes)
        self.hosts = {f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost")}

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://127.0.0.1:{self.server_port}/{self.token}/"


class _Handler(BaseHTTPRequestHandler):
    server: ViewerServer  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        try:
            self._answer()
        except (BrokenPipeError, ConnectionResetError):  # the page asked for another image meanwhile
            self.close_connection = True

    def _answer(self) -> None:
        # A page of another site that has its own name point to this address is told apart by the host it names.
        if self.headers.get("Host", "") not in self.server.hosts:
            return self._send(403, Reply(b"wrong host", "text/plain"))
        parts = urlsplit(self.path)
        token, _, name = parts.path.removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            return self._send(403, Reply(b"wrong token", "text/plain"))
        name = name or self.server.page
        if name in self.server.static:
            return self._send(200, Reply(self.server.static[name], self.server.static_types[name]))
        if name not in self.server.routes:
            return self._send(404, Reply(b"not found", "text/plain"))
        try:
            reply = self.server.routes[name](dict(parse_qsl(parts.query)))
        except (PuredialsError, OSError, ValueError, KeyError) as error:
            return self._send(400, Reply(str(error).encode(), "text/plain; charset=utf-8"))
        return self._send(200, reply)

    def _send(self, status: int, reply: Reply) -> None:
        self.send_response(status)
        for key, value in _HEADERS.items():
            self.send_header(key, value)
        self.send_header("Content-Type", reply.type)
        if reply.encoding:
            self.send_header("Content-Encoding", reply.encoding)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests hold the token: they are not logged."""
