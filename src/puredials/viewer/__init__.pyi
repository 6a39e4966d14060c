from .home import HOME_STATIC, Mountable, Opener, RunView
from .image import STATIC, ImageView
from .notebook import ShownPage, show_images
from .params import ServerParams, ViewerOutput
from .reciprocal_lattice import LATTICE_COLUMNS, LATTICE_STATIC, LatticeView
from .server import Action, Reply, Route, ViewerServer, arrays_reply, json_reply

__all__ = [
    "HOME_STATIC",
    "LATTICE_COLUMNS",
    "LATTICE_STATIC",
    "STATIC",
    "Action",
    "ImageView",
    "LatticeView",
    "Mountable",
    "Opener",
    "Reply",
    "Route",
    "RunView",
    "ServerParams",
    "ShownPage",
    "ViewerOutput",
    "ViewerServer",
    "arrays_reply",
    "json_reply",
    "show_images",
]
