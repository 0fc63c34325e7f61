"""From raw Kubernetes objects to slim tuples, and the operator's memory of them."""
