"""A page to look at: an export as one HTML file that needs nothing else."""
