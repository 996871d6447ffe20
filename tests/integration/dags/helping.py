"""A module that DAGs import; it names airflow and dag, and holds none."""


def double(number: int) -> int:
    """Twice the number."""
    return 2 * number
