"""Images: built in a Docker engine, pushed to a registry, promoted from one registry to the next.

What runs in containers of them is a runtime's. May import tenants, the engine, tools and config.
"""
