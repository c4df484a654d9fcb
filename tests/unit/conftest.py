"""Set-up of the unit tests."""

import torch

# As in a fit: many workers with a pool of threads each would take the cores from each other.
torch.set_num_threads(1)
