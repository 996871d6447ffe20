"""PostgreSQL: connections, roles, databases and copies, in plain arguments.

Where a server comes from is a runtime's. May import secrets and errors.
"""
