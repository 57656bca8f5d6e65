"""Sequence-to-sequence estimators."""
