"""What happens, in what order. A flow calls tasks and branches on what they return.

It imports them when it begins. Its module is read for a form, and before a run's first line: what
it needs of Perennial, pandas and boto3 among it, would keep both waiting.
"""
