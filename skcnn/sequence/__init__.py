"""Estimators of strings."""
