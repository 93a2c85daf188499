"""The loop itself, free of Prefect: evidence of a window, fold of the history, decision, recipe of
a candidate, gate, takeover.

It sees the world through a `Store`, which keeps its record, and a `Stream`, which gives rows and
the labels known by now (`perennial.loop.ports`). In production both are the object store, in a
backtest both are memory; what decides is the same.
"""
