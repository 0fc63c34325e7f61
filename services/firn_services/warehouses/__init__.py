"""Warehouses: their queues, what is known of their clusters, and how users see and change them."""
