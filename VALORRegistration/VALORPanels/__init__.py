"""What the panels of SlicerVALOR share; installed beside the three modules."""
