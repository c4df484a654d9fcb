"""Names of the original project's data helpers."""
