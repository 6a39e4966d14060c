"""Parameters of importing images."""

from puredials.params import Params, param

__all__ = [
    "BeamGeometry",
    "DetectorGeometry",
    "Geometry",
    "GoniometerGeometry",
    "ImportParams",
    "Input",
    "Lookup",
    "PanelGeometry",
    "ScanGeometry",
]

Vector = tuple[float, float, float]


class Input(Params):
    """Where the images are, besides the files named in the command."""

    template: tuple[str, ...] = param((), "File names with the image number replaced by #, as img_####.cbf")
    directory: tuple[str, ...] = param((), "Folders whose images are all imported")
    reference_geometry: str | None = param(None, "An .expt file whose geometry replaces that of the image headers")
    check_reference_geometry: bool = param(
        True, "Refuse a reference whose detector has other panels or pixels than the images", expert=2
    )
    use_beam_reference: bool = param(True, "Take the beam from reference_geometry", expert=2)
    use_gonio_reference: bool = param(True, "Take the goniometer from reference_geometry", expert=2)
    use_detector_reference: bool = param(True, "Take the detector from reference_geometry", expert=2)
    allow_multiple_sequences: bool = param(True, "If False, more than one sweep is an error")


class BeamGeometry(Params):
    """Values that replace those of the image headers."""

    wavelength: float | None = param(None, "Wavelength", unit="Angstrom", expert=1, gt=0)
    direction: Vector | None = param(None, "Direction from the sample to the source", expert=1)
    polarization_normal: Vector | None = param(None, "Normal of the plane of polarization", expert=1)
    polarization_fraction: float | None = param(None, "Share polarized in that plane", expert=1, ge=0, le=1)
    transmission: float | None = param(None, "Transmission of the attenuators", expert=1)
    flux: float | None = param(None, "Flux", unit="photons/s", expert=1)


class PanelGeometry(Params):
    """Values of one panel that replace those of the image headers."""

    id: int = param(0, "Number of the panel", expert=1, ge=0)
    name: str | None = param(None, "Name", expert=1)
    type: str | None = param(None, "Type, such as SENSOR_PAD or SENSOR_CCD", expert=1)
    gain: float | None = param(None, "Counts per photon", expert=1, ge=0)
    pedestal: float | None = param(None, "Counts without photons", expert=1)
    pixel_size: tuple[float, float] | None = param(None, "Pixel size (fast, slow)", unit="mm", expert=1)
    image_size: tuple[int, int] | None = param(None, "Image size (fast, slow)", unit="pixels", expert=1)
    trusted_range: tuple[float, float] | None = param(None, "Lowest and highest trusted count", expert=1)
    thickness: float | None = param(None, "Thickness of the sensor", unit="mm", expert=1)
    material: str | None = param(None, "Material of the sensor", expert=1)
    fast_axis: Vector | None = param(None, "Direction of the pixel rows; needs slow_axis and origin", expert=1)
    slow_axis: Vector | None = param(None, "Direction of the pixel columns; needs fast_axis and origin", expert=1)
    origin: Vector | None = param(None, "Corner of the first pixel; needs both axes", unit="mm", expert=1)
    parallax_correction: bool | None = param(None, "Correct positions for the depth of the sensor", expert=1)


class DetectorGeometry(Params):
    """Values that replace those of the image headers."""

    panel: PanelGeometry = PanelGeometry()
    distance: float | None = param(None, "Distance of the detector from the sample", unit="mm", expert=1, gt=0)
    mosflm_beam_centre: tuple[float, float] | None = param(
        None, "Beam centre at two-theta 0 as Mosflm gives it: along slow, then along fast", unit="mm", expert=1
    )
    fast_slow_beam_centre: tuple[float, ...] | None = param(
        None, "Beam centre at two-theta 0 along fast and slow, and perhaps the panel it is on", unit="pixels", expert=1
    )
    slow_fast_beam_centre: tuple[float, ...] | None = param(
        None, "The same along slow and fast; fast_slow_beam_centre comes first", unit="pixels", expert=1
    )


class GoniometerGeometry(Params):
    """Values that replace those of the image headers."""

    axis: Vector | None = param(None, "The axis of a goniometer that has one", expert=1)
    axes: tuple[float, ...] | None = param(
        None, "All axes, three numbers each, that next to the crystal first", expert=1
    )
    angles: tuple[float, ...] | None = param(None, "Their angles", unit="degrees", expert=1)
    names: tuple[str, ...] | None = param(None, "Their names", expert=1)
    scan_axis: int | None = param(None, "The number of the axis that scans, from 0", expert=1)
    fixed_rotation: tuple[float, ...] | None = param(None, "Rotation inside the axis, nine numbers by rows", expert=1)
    setting_rotation: tuple[float, ...] | None = param(
        None, "Rotation outside the axis, nine numbers by rows", expert=1
    )
    invert_rotation_axis: bool = param(False, "Turn about the opposites of all axes", expert=1)


class ScanGeometry(Params):
    """Values that replace those of the image headers."""

    image_range: tuple[int, int] | None = param(None, "First and last image to import", expert=1)
    oscillation: tuple[float, float] | None = param(
        None, "Start and width of the first image", unit="degrees", expert=1
    )
    batch_offset: int | None = param(None, "Batch offset", expert=1, ge=0)


class Geometry(Params):
    """Values that replace those of the image headers."""

    beam: BeamGeometry = BeamGeometry()
    detector: DetectorGeometry = DetectorGeometry()
    goniometer: GoniometerGeometry = GoniometerGeometry()
    scan: ScanGeometry = ScanGeometry()


class Lookup(Params):
    """Files with one value a pixel."""

    mask: str | None = param(None, "Untrusted pixels are 0 in this file: HDF5, .npy, TIFF, or as DIALS writes it.")


class ImportParams(Params):
    """Parameters of dials.import."""

    input: Input = Input()
    geometry: Geometry = Geometry()
    lookup: Lookup = Lookup()
