"""Physical plans cut at their exchanges. Only `schemas` runs the engine; the rest reads and writes its protobuf."""
