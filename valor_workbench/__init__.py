"""SlicerVALOR in a browser."""
