"""Sharpness-aware minimisation as a training step; the only module bound to TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from training.errors import TrainingError

TINY = 1e-12


def sam_step(
    model: Any, optimizer: Any, loss: Callable[[Any, Any], Any], radius: float
) -> Callable[[Any, Any], Any]:
    """A step that descends by the gradient at the worst point within a radius.

    Foret et al., ICLR 2021: weights are moved by `radius` up the gradient, the gradient there is
    taken, and the weights are moved back before the optimiser uses it. Twice the cost of a step.

    Args:
        model: built and compiled.
        optimizer: built on the model's trainable variables.
        loss: of targets and outputs, per element.
        radius: rho of the paper, 0.05 as a rule.

    Returns:
        A function of features and targets that trains once and returns the loss before the step.

    Raises:
        TrainingError: Keras runs on another backend than TensorFlow.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise TrainingError("optimiser.sam_radius needs Keras on TensorFlow; set it to 0")
    import tensorflow as tf

    variables = [variable.value for variable in model.trainable_variables]

    def gradients(features: Any, targets: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss(targets, model(features, training=True)))
        return value, tape.gradient(value, variables)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(features: Any, targets: Any) -> Any:
        value, first = gradients(features, targets)
        scale = radius / (tf.linalg.global_norm(first) + TINY)
        moves = [gradient * scale for gradient in first]
        for variable, move in zip(variables, moves):
            variable.assign_add(move)
        _, second = gradients(features, targets)
        for variable, move in zip(variables, moves):
            variable.assign_sub(move)
        optimizer.apply(second, model.trainable_variables)
        return value

    return lambda features, targets: step(
        tf.convert_to_tensor(features), tf.convert_to_tensor(targets)
    )
