"""Saving and restoring the network of an estimator."""

from __future__ import annotations

import inspect
from typing import Any

from ._files.archive import LoadError
from ._training.network import Plan, State, check_state, is_finite

# Network arguments that a training run sets, and a file must not.
CHOSEN_IN_TRAINING = {"dtype", "fused", "unrolled_steps"}


def learned(estimator: Any) -> dict[str, Any]:
    """Return the network of a fitted estimator as saved in a file; empty if not fitted."""
    if not estimator.__sklearn_is_fitted__():
        return {}
    if not is_finite(estimator._state):
        raise ValueError(
            f"This {type(estimator).__name__} cannot be saved: its network has weights that "
            "are not finite. Fit it again, with a smaller learning_rate."
        )
    return {"network": estimator._plan.arguments, "state": vars(estimator._state)}


def restored_network(
    estimator: Any, network: tuple[tuple[str, Any], ...], state: dict[str, Any]
) -> tuple[Plan, State]:
    """Check the network of an estimator that was read from a file."""
    former = estimator._former_arguments
    arguments = {former.get(name, name): value for name, value in network}
    plan, learned = Plan(type(estimator)._build, tuple(arguments.items())), State(**state)
    known = inspect.signature(plan.build).parameters
    needed = {name for name, each in known.items() if each.default is each.empty}
    if not needed <= set(arguments) <= set(known) - CHOSEN_IN_TRAINING:
        raise LoadError(f"its network has the arguments {list(arguments)}")
    estimator._check_restored(arguments, learned)
    check_state(plan, learned)
    return plan, learned


def check_history(history: dict[str, Any], n_iter: int, best_iteration: int) -> None:
    """Check that history_, n_iter_ and best_iteration_ from a file are consistent."""
    for values in history.values():
        if len(values) != n_iter or not all(isinstance(v, float) for v in values):
            raise ValueError("its history_ does not have n_iter_ values")
    if not 0 <= best_iteration <= n_iter:
        raise ValueError(f"its best_iteration_={best_iteration} is not an epoch of its history_")
