"""The shared vocabulary of Firn: sizes, resources, statements and messages. Imports nothing of Firn."""
