"""What the engine costs, beside peers and beside the bare products, in one run."""
