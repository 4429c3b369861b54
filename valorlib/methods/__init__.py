"""One file a method; each has a METHOD."""
