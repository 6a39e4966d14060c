from .hdf5_images import Hdf5Images
from .lookup import read_mask, write_mask
from .source import FileSource, StackSource, image_file, open_images

__all__ = [
    "FileSource",
    "Hdf5Images",
    "StackSource",
    "image_file",
    "open_images",
    "read_mask",
    "write_mask",
]
