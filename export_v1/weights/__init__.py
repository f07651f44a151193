"""Values of variables: found in a checkpoint, computed, or streamed."""
