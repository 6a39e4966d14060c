"""Parameters that all viewers share."""

from puredials.params import Params, param

__all__ = ["ServerParams", "ViewerOutput"]


class ServerParams(Params):
    """The local server of a viewer."""

    host: str = param("127.0.0.1", "The address to listen on; others than this are seen by other computers.", expert=1)
    port: int = param(0, "The port to listen on (0: any that is free).", ge=0, le=65535)
    browser: bool = param(True, "Open the page in a browser; otherwise only its address is printed.")


class ViewerOutput(Params):
    """Names of output files."""

    log: str | None = param(None, "File of all that is printed (None: not written).")
