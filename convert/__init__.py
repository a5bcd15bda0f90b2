"""From a trained Keras model to a quantised, checked and documented bundle for the device."""
