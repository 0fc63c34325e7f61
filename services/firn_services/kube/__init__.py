"""The services' side of the Kubernetes API: the only importer of a client."""
