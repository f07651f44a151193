"""Batch norms in their training form: which averages a graph keeps, which norms go by a batch, and how they go by averages."""
