"""From results to JSON-able figures to HTML pages."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__, submod_attrs={"page": ["Section", "figure", "plain", "write_json", "write_page"]}
)
