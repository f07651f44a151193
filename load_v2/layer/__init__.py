"""SignatureLayer, and what it needs to be a full Keras layer."""
