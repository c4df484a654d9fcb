"""Models fitted by squared error: programs solved exactly (`lsq`) or learned."""
