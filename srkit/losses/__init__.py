"""Training losses: functions and thin modules, one file per kind."""
