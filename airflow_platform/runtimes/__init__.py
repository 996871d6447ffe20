"""Where tenants run: a contract, a table, and a folder for each runtime.

A runtime never imports another one. What they share is in `tenants`, or here. May import dags, images and below.
"""
