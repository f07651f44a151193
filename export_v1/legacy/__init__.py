"""The TensorFlow 1 API as far as it can be had today, for graph code of that time to run unmodified."""
