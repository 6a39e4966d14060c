"""Viewers within notebooks."""

import html
import threading
from pathlib import Path
from typing import Any

from puredials.io.formats import open_images
from puredials.model import Experiments, ReflectionTable
from puredials.viewer.image import STATIC, ImageView
from puredials.viewer.server import ViewerServer

__all__ = ["ShownPage", "show_images"]


class ShownPage:
    """A page of a viewer, whose server runs beside the notebook until `stop` is called."""

    def __init__(self, static: tuple[str, ...], *, height: int = 800, **tables: Any) -> None:
        self.height = height
        self._server = ViewerServer(static=static, **tables)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return self._server.address

    def _repr_html_(self) -> str:
        return f'<iframe src="{html.escape(self.address)}" width="100%" height="{self.height}"></iframe>'

    def stop(self) -> None:
        """End the server; the page gets nothing more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def show_images(
    experiments: Experiments, reflections: ReflectionTable | None = None, *, folder: Path = Path(), height: int = 800
) -> ShownPage:
    """The image viewer, as the last line of a cell. Relative names of images start from `folder`."""
    view = ImageView.opened(experiments, lambda e: open_images(e, base=folder), reflections)
    return ShownPage(STATIC, routes=view.routes, actions=view.actions, height=height)
