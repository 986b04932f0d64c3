"""Networks: one file each, its facts beside it; `table` lists them, `blocks` holds what they share."""
