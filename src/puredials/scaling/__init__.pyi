from .error_model import ErrorModel, fit_error_model
from .filtering import FilterResult, scale_and_filter
from .leave_out import DeltaCCHalf, delta_cc_half, without_groups
from .leave_out_params import DeltaCCHalfParams, FilteringParams
from .leave_out_tables import delta_cc_half_report, filter_cycle_report, filter_report
from .params import ScaleParams
from .scaling import ScaleResult, scale
from .tables import scaling_report, selection_report, statistics_report

__all__ = [
    "DeltaCCHalf",
    "DeltaCCHalfParams",
    "ErrorModel",
    "FilterResult",
    "FilteringParams",
    "ScaleParams",
    "ScaleResult",
    "delta_cc_half",
    "delta_cc_half_report",
    "filter_cycle_report",
    "filter_report",
    "fit_error_model",
    "scale",
    "scale_and_filter",
    "scaling_report",
    "selection_report",
    "statistics_report",
    "without_groups",
]
