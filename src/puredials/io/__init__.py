"""Files: images, experiments, reflections, and the formats of other programs."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "expt": ["read_experiments", "write_experiments"],
        "refl": ["read_reflections", "write_reflections"],
    },
)
