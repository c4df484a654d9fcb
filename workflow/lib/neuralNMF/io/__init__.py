"""Files and their formats; the only part of the library that opens files."""
