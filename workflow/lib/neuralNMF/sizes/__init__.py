"""Which sizes a model's layers should have: trials of sizes, and the choice among them."""
