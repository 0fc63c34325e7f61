"""The node's cache of persistent files: which bytes are kept, where, and how the engine reads through them.

`placement` says which node a file belongs to, `lru` what a tier keeps, `layout` which bytes of a file a scan needs.
"""
