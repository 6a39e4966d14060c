"""Scales, outliers and standard deviations of integrated intensities, from the agreement of equivalents."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "error_model": ["ErrorModel", "fit_error_model"],
        "params": ["ScaleParams"],
        "scale": ["ScaleResult", "scale"],
        "tables": ["scaling_report", "selection_report", "statistics_report"],
    },
)
