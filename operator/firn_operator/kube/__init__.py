"""The only importer of Kubernetes clients."""
