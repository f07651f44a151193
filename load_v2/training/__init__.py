"""Training goes on where TensorFlow 1 stopped: a compiled keras.Model around the loss and the update of an export."""
