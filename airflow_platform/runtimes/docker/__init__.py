"""Tenants as containers of this machine, from the images that production runs."""
