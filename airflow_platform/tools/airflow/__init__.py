"""Airflow's REST API: a session, its answers, and the objects of the metadata database.

What a tenant is, and who may be asked, is known in `tenants`. May import secrets and errors.
"""
