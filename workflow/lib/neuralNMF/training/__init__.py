"""Training, whatever the model: the loop of epochs, the history, optimisers by plain gradients."""
