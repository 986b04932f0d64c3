"""Networks, one per file with its `ArchInfo`; `table` lists them, `blocks` holds the shared building blocks."""
