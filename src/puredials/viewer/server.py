"""The server of a viewer: a page, its static files, its data and what it saves, behind a random token.

What may be asked for is a table of names: no path of a request ever becomes the name of a file.

    GET  /TOKEN/            the page: the first of the static files
    GET  /TOKEN/NAME        a static file, or a route: a function of the query
    POST /TOKEN/NAME        an action: a function of a JSON value, sent by the page itself
    .... /TOKEN/SITE/...    the same of another page, which was mounted
"""

import json
import secrets
import socket
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray

from puredials.errors import PuredialsError

__all__ = ["Action", "Reply", "Route", "ViewerServer", "arrays_reply", "json_reply"]

_TYPES = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
_POLICY = "Content-Security-Policy"
_HEADERS = {
    # A notebook on the same computer may show the page within its own.
    _POLICY: "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self' http://127.0.0.1:* http://localhost:*",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_LOOPBACK = ("127.0.0.1", "localhost")
_LARGEST_BODY = 1 << 20
# What a question that makes no sense leads to, numbers that are none and nests without end included.
_REFUSED = (PuredialsError, OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class Reply:
    """What a route answers; `encoding` is "deflate" where the body is compressed by zlib.

    `policy` replaces the Content-Security-Policy of our own pages.
    """

    body: bytes
    type: str = "application/json"
    encoding: str = ""
    policy: str = ""


Route = Callable[[Mapping[str, str]], Reply]
Action = Callable[[Any], Reply]


def json_reply(value: Any) -> Reply:
    """A value of JSON types."""
    return Reply(_deflated(json.dumps(value).encode()), encoding="deflate")


def arrays_reply(arrays: Mapping[str, NDArray[Any]], about: Any = None, *, compress: bool = True) -> Reply:
    """Named arrays and a JSON value, which `arrays` in ``common.js`` reads:

    the length of a JSON text (uint32), the text ``{"about": ..., "arrays": [{"name", "type", "shape", "start"}]}``, and
    little-endian items, each array starting at a multiple of 8 bytes after the text.
    """
    parts, heads, start = [], [], 0
    for name, values in arrays.items():
        data = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
        heads.append({"name": name, "type": values.dtype.name, "shape": values.shape, "start": start})
        padding = -data.nbytes % 8
        parts += [data.tobytes(), b"\0" * padding]
        start += data.nbytes + padding
    text = json.dumps({"about": about, "arrays": heads}).encode()
    text += b" " * (-(len(text) + 4) % 8)
    body = b"".join([len(text).to_bytes(4, "little"), text, *parts])
    if not compress:
        return Reply(body, "application/octet-stream")
    return Reply(_deflated(body), "application/octet-stream", "deflate")


def _deflated(data: bytes) -> bytes:
    # Counts are noise, with runs where nothing was measured: longer repetitions are not worth the search.
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    return packer.compress(data) + packer.flush()


@dataclass(frozen=True)
class _Site:
    """A page, and what it may ask for."""

    static: Mapping[str, Reply]
    routes: Mapping[str, Route]
    actions: Mapping[str, Action]


class ViewerServer(ThreadingHTTPServer):
    """Serves the page ``static[0]`` of the package, its other `static` files, `routes` and `actions`.

    Port 0 takes any that is free. Of the names of this computer those are answered that lead to `host`, with any port:
    the other end of a tunnel may have another.
    """

    daemon_threads = True

    def __init__(
        self,
        routes: Mapping[str, Route],
        static: tuple[str, ...],
        *,
        actions: Mapping[str, Action] | None = None,
        host: str = _LOOPBACK[0],
        port: int = 0,
    ) -> None:
        super().__init__((host, port), _Handler)
        self.token = secrets.token_urlsafe(24)
        self._sites: dict[str, _Site] = {}
        self.mount("", static, routes, actions or {})
        names = {*_LOOPBACK} if host in _LOOPBACK else {*_LOOPBACK, host, socket.gethostname(), socket.getfqdn()}
        self.names = names
        self.name = host if host not in ("", "0.0.0.0") else socket.gethostname()

    def mount(
        self, name: str, static: tuple[str, ...], routes: Mapping[str, Route], actions: Mapping[str, Action]
    ) -> None:
        """Serve another page, with what belongs to it, beneath `name`."""
        folder = files("puredials.viewer") / "static"
        pages = {file: Reply((folder / file).read_bytes(), _TYPES[file.rsplit(".", 1)[1]]) for file in static}
        self._sites[name] = _Site({**pages, "": pages[static[0]]}, dict(routes), dict(actions))

    def site(self, path: str) -> tuple[_Site, str]:
        """The page that a path behind the token belongs to, and the name that remains."""
        name, slash, rest = path.partition("/")
        if slash and name in self._sites:
            return self._sites[name], rest
        return self._sites[""], path

    def unmount(self, name: str) -> None:
        """Serve that page no more."""
        del self._sites[name]

    def answers_to(self, host: str) -> bool:
        """Whether a request names this computer, and a port of it."""
        name, _, port = host.partition(":")
        return name in self.names and port.isdecimal()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Browsers hang up as they please, which is nobody's fault."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{self.name}:{self.server_port}/{self.token}/"


class _Handler(BaseHTTPRequestHandler):
    server: ViewerServer  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"
    timeout = 60
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer(lambda name, query: self._get(name, query))

    def do_POST(self) -> None:
        self._answer(lambda name, _: self._post(name))

    def _answer(self, find: Callable[[str, str], tuple[int, Reply]]) -> None:
        try:
            # A page of another site whose own name points to this address is told apart by the host it names.
            if not self.server.answers_to(self.headers.get("Host", "")):
                return self._send(403, _text("wrong host"))
            path, _, query = self.path.partition("?")
            token, _, name = path.removeprefix("/").partition("/")
            if not secrets.compare_digest(token.encode(), self.server.token.encode()):
                return self._send(403, _text("wrong token"))
            try:
                return self._send(*find(name, query))
            except _REFUSED as error:
                return self._send(400, _text(str(error)))
        except (BrokenPipeError, ConnectionResetError, TimeoutError):  # the page asked for something else meanwhile
            self.close_connection = True

    def _get(self, name: str, query: str) -> tuple[int, Reply]:
        site, name = self.server.site(name)
        if name in site.static:
            return 200, site.static[name]
        if name in site.routes:
            return 200, site.routes[name](dict(parse_qsl(query)))
        return 404, _text("not found")

    def _post(self, name: str) -> tuple[int, Reply]:
        origin = self.headers.get("Origin")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LARGEST_BODY:
            return 413, _text("The request is too long.")
        body = self.rfile.read(int(length))
        # Other sites cannot send this type without asking first, which is never answered.
        if self.headers.get_content_type() != "application/json" or origin not in self._origins():
            return 403, _text("wrong origin")
        site, name = self.server.site(name)
        if name not in site.actions:
            return 404, _text("not found")
        return 200, site.actions[name](json.loads(body))

    def _origins(self) -> tuple[str | None, ...]:
        return None, f"http://{self.headers.get('Host')}"

    def _send(self, status: int, reply: Reply) -> None:
        self.send_response(status)
        for key, value in {**_HEADERS, **({_POLICY: reply.policy} if reply.policy else {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Type", reply.type)
        if reply.encoding:
            self.send_header("Content-Encoding", reply.encoding)
        if status >= 400:  # what was sent with a refused request may not have been read
            self.close_connection = True
            self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests hold the token: they are not logged."""


def _text(message: str) -> Reply:
    return Reply(message.encode(), "text/plain; charset=utf-8")
