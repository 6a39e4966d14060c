from .integrating import IntegrationResult, integrate
from .params import IntegrateParams

__all__ = [
    "IntegrateParams",
    "IntegrationResult",
    "integrate",
]
