from .page import Section, figure, plain, write_json, write_page

__all__ = [
    "Section",
    "figure",
    "plain",
    "write_json",
    "write_page",
]
