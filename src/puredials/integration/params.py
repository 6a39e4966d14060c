"""Parameters of integration."""

from typing import Literal

from puredials.params import Params, param

__all__ = ["Background", "GaussianRS", "IntegrateParams", "Integration", "Prediction", "Profile"]


class GlmRobust(Params):
    tuning_constant: float = param(
        1.345, "Residuals beyond this many standard deviations lose influence on the background.", gt=0
    )


class GlmModel(Params):
    algorithm: Literal["constant2d", "constant3d"] = param(
        "constant3d", "One background for each image of a reflection, or one for all of them."
    )


class Glm(Params):
    robust: GlmRobust = GlmRobust()
    model: GlmModel = GlmModel()
    min_pixels: int = param(10, "The fewest pixels from which a background is estimated.", ge=1)


class NSigma(Params):
    lower: float = param(3.0, "Background pixels this many standard deviations below the mean are left out.", gt=0)
    upper: float = param(3.0, "Background pixels this many standard deviations above the mean are left out.", gt=0)


class Outlier(Params):
    algorithm: Literal["null", "nsigma"] = param("null", "How outliers of the background are found.")
    nsigma: NSigma = NSigma()


class SimpleModel(Params):
    algorithm: Literal["constant2d", "constant3d"] = param(
        "constant3d", "One background for each image of a reflection, or one for all of them."
    )


class Simple(Params):
    outlier: Outlier = Outlier()
    model: SimpleModel = SimpleModel()
    min_pixels: int = param(10, "The fewest pixels from which a background is estimated.", ge=1)


class Background(Params):
    algorithm: Literal["glm", "simple", "null"] | None = param(
        None,
        "glm: robust mean of Poisson counts; simple: mean; null: none. Auto: glm for counting detectors with gain 1 "
        "and X-rays, otherwise simple.",
    )
    glm: Glm = Glm()
    simple: Simple = Simple()
    shared: bool = param(
        True, "Backgrounds are made more certain by those of reflections nearby, as far as these agree (constant3d)."
    )

    @property
    def estimator(self) -> Glm | Simple:
        """How one background is estimated."""
        return self.simple if self.algorithm == "simple" else self.glm

    @property
    def is_shared(self) -> bool:
        """Whether one number is a reflection's background, and its neighbours count."""
        return self.shared and self.algorithm != "null" and self.estimator.model.algorithm == "constant3d"


class ProfileFitting(Params):
    fitting: bool = param(True, "Fit profiles where enough reference reflections allow it.")
    valid_foreground_threshold: float = param(
        0.75, "The fraction of foreground pixels that must be valid for a profile to be fitted.", ge=0, le=1
    )


class Filter(Params):
    min_zeta: float = param(
        0.05, "Reflections with a smaller |zeta|, close to the rotation axis, are not integrated.", ge=0
    )


class Mp(Params):
    nproc: int | None = param(None, "Threads at work. Auto: the processors that this process may use.", ge=1)


class Integration(Params):
    profile: ProfileFitting = ProfileFitting()
    background: Background = Background()
    filter: Filter = Filter()
    mp: Mp = Mp()


class MinSpots(Params):
    overall: int = param(50, "Reference reflections needed for a profile model of their own, over all.", ge=0)
    per_degree: float = param(20, "Reference reflections needed for a profile model of their own, a degree.", ge=0)


class Parameters(Params):
    n_sigma: float = param(3.0, "Radius of the foreground in standard deviations.", gt=0)
    sigma_b: float | None = param(None, "Divergence of the diffracted beams, instead of the one found.", unit="deg")
    sigma_m: float | None = param(None, "Mosaicity, instead of the one found.", unit="deg")


class GaussianFilter(Params):
    min_zeta: float = param(0.05, "Reflections with a smaller |zeta| do not count for the profile model.", ge=0)


class Fitting(Params):
    scan_step: float = param(5.0, "Distance between reference profiles along the scan.", unit="deg", gt=0)
    grid_size: int = param(5, "Grid points of a reference profile on either side of its centre.", ge=2, le=20)
    grid_method: Literal["single", "regular_grid"] = param(
        "regular_grid", "One profile for the whole detector, or three by three zones of it."
    )


class GaussianRS(Params):
    min_spots: MinSpots = MinSpots()
    sigma_m_algorithm: Literal["basic", "extended"] = param(
        "extended", "Mosaicity from the spread of spots over images, or by maximum likelihood."
    )
    centroid_definition: Literal["com", "s1"] = param(
        "s1", "Divergence about the centre of mass of a spot, or about its predicted position."
    )
    parameters: Parameters = Parameters()
    filter: GaussianFilter = GaussianFilter()
    fitting: Fitting = Fitting()


class Profile(Params):
    gaussian_rs: GaussianRS = GaussianRS()


class Prediction(Params):
    d_min: float | None = param(None, "The highest resolution to which reflections are predicted.", unit="A", gt=0)
    d_max: float | None = param(None, "The lowest resolution from which reflections are predicted.", unit="A", gt=0)
    force_static: bool = param(False, "Predict with one setting of a crystal that changes along the scan.")
    padding: float = param(1.0, "Reflections this far outside the scan are predicted, too.", unit="deg", ge=0)


class IntegrateParams(Params):
    """All parameters of `integrate`."""

    integration: Integration = Integration()
    profile: Profile = Profile()
    prediction: Prediction = Prediction()
