"""The per-case solver: a parameterization, weighted terms, a pyramid schedule."""
