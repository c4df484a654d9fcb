"""The cells in the plane by their usage, and a model as cellxgene and scanpy's plots want it."""
