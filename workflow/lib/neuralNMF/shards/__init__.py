"""One model by several processes, each with a range of the cells (docs/scale.md)."""
