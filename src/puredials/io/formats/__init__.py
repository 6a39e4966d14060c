"""Image files: what their headers say, and their pixels. One module a file type, one table of beamline quirks."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "source": ["FileSource", "StackSource", "image_file", "open_images"],
        "lookup": ["read_mask"],
        "hdf5_images": ["Hdf5Images"],
    },
)
