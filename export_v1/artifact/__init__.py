"""Writing an export: the SavedModel, the report, warm-up requests, and the folder that appears whole or not at all."""
