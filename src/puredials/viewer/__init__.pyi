from .image import STATIC, ImageView
from .server import Reply, ViewerServer

__all__ = ["STATIC", "ImageView", "Reply", "ViewerServer"]
