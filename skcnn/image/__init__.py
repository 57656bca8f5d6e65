"""Image estimators."""
