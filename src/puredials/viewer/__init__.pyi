from .home import HOME_STATIC, Mountable, Opener, RunView
from .image import STATIC, ImageView
from .params import ServerParams, ViewerOutput
from .server import Action, Reply, Route, ViewerServer, arrays_reply, json_reply

__all__ = [
    "HOME_STATIC",
    "STATIC",
    "Action",
    "ImageView",
    "Mountable",
    "Opener",
    "Reply",
    "Route",
    "RunView",
    "ServerParams",
    "ViewerOutput",
    "ViewerServer",
    "arrays_reply",
    "json_reply",
]
