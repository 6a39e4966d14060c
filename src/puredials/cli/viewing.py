"""A viewer's server, run until the user ends it."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from puredials.cli.job import Job
from puredials.errors import InputError

if TYPE_CHECKING:
    from puredials.viewer import ServerParams, ViewerServer

__all__ = ["serve"]


def serve(
    job: Job,
    params: "ServerParams",
    static: tuple[str, ...],
    *,
    ready: "Callable[[ViewerServer], object] | None" = None,
    **tables: Any,
) -> None:
    """Serve a page until Ctrl-C; `tables` are the `routes` and `actions` of `ViewerServer`, which `ready` gets."""
    from puredials.viewer import ViewerServer

    try:
        server = ViewerServer(static=static, host=params.host, port=params.port, **tables)
    except OSError as error:
        raise InputError(f"No server can listen on {params.host}, port {params.port}: {error.strerror}.") from None
    if ready is not None:
        ready(server)
    with server, contextlib.suppress(KeyboardInterrupt), _sigterm_is_ctrl_c():
        job.say(_hint(server))
        # The address opens the door to the data: it goes to the terminal, not to the log.
        print(f"The viewer is at {server.address}", flush=True)  # noqa: T201
        if params.browser:
            threading.Thread(target=_open, args=(server.address,), daemon=True).start()
        server.serve_forever()


def _hint(server: "ViewerServer") -> str:
    port = server.server_port
    return (
        f"From another computer: ssh -L {port}:127.0.0.1:{port} HOST, then the address below. Ctrl-C ends the viewer."
    )


def _open(address: str) -> None:
    import webbrowser

    with contextlib.suppress(webbrowser.Error):
        webbrowser.open(address)


@contextlib.contextmanager
def _sigterm_is_ctrl_c() -> Iterator[None]:
    """To be told to end is no failure of a viewer."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
