"""Network blocks and nets."""
