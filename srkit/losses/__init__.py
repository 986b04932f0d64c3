"""Training losses: a function and a thin module, one file per kind."""
