from .contents import Report, report
from .page import Section, band, figure, figures_of, plain, stacked, write_json, write_page

__all__ = [
    "Report",
    "Section",
    "band",
    "figure",
    "figures_of",
    "plain",
    "report",
    "stacked",
    "write_json",
    "write_page",
]
