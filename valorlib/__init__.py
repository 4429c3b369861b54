"""SlicerVALOR's library: registration, selective segmentation and registration uncertainty."""

__version__ = "0.1.0"
