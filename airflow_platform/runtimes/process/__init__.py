"""Tenants as plain processes of this machine, one small supervisor each.

`supervisor` is a program of its own; nothing here is known to another runtime.
"""
