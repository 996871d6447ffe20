"""What every tenant has, wherever it runs.

No runtime is known here: what differs between runtimes comes in as arguments. May import the engine, tools and config.
"""
