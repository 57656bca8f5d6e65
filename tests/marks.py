"""Marks of parametrized tests."""

import pytest


def slow(*values):
    """Mark values of a parameter as slow: only ``make test-all`` runs them."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]
