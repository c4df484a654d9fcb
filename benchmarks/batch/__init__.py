"""Batches and conditions: labelled sets, planted ones beside peers, and the time of an epoch."""
