"""Files of estimators, and networks for other runtimes."""
