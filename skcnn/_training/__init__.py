"""Training and prediction of networks."""
