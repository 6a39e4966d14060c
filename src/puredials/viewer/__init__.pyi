from .image import STATIC, ImageView
from .params import ServerParams, ViewerOutput
from .server import Action, Reply, Route, ViewerServer, arrays_reply, json_reply

__all__ = [
    "STATIC",
    "Action",
    "ImageView",
    "Reply",
    "Route",
    "ServerParams",
    "ViewerOutput",
    "ViewerServer",
    "arrays_reply",
    "json_reply",
]
