"""Faults of machines and of people, injected by the hundred: what the product does of each."""
