"""The node: its doors, its state, its Ray and the processes on it."""
