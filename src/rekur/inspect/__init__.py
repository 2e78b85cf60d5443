"""Look at a model: what is inside it while it reads, as arrays with named axes."""
