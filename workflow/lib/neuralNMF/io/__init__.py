"""Files and their formats: the only room of the library that opens files.

It knows nothing of how data sets are chosen or models fitted, and imports no torch.
"""
