"""One step each: reads from the store, calls the library, writes back, tells Prefect.

Tasks hand on references (keys and sha256), never frames or models, so that a step can be retried,
or run somewhere else, from what the store holds.
"""
