from .error_model import ErrorModel, fit_error_model
from .params import ScaleParams
from .scaling import ScaleResult, scale
from .tables import scaling_report, selection_report, statistics_report

__all__ = [
    "ErrorModel",
    "ScaleParams",
    "ScaleResult",
    "fit_error_model",
    "scale",
    "scaling_report",
    "selection_report",
    "statistics_report",
]
