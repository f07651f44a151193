"""A graph of TensorFlow 1 as a model of Keras's own layers, in code that people can read."""
