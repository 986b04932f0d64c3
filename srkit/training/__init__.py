"""The training loop: functions over a small state."""
