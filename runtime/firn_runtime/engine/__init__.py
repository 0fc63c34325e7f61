"""The engine's process: DataFusion, its doors, its tables and its tasks."""
