"""Which part the rows of a batch have in each tensor of a graph: the question of `analysis.batch_axis`, op by op."""
