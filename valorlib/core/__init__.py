"""Data types, errors, options and progress. Needs numpy only."""
