"""A SavedModel read but not run, and the part of it that one signature needs."""
