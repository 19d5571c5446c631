"""By whom, and what when it goes wrong: worker wrapper, graph, clusters, driver."""
