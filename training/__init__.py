"""Training and evaluation of the detector: from recordings to a Keras model with its report."""
