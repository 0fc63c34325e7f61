"""The services' memory: the only importer of a database."""
