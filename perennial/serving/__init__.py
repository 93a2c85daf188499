"""The inference server: answers, logs every answer, and follows state.json.

====================  ============================================================================
`server`              owns the socket and the workers, ``perennial serve``
`agent`               talks to the store: `mirror` brings models in, `upload` takes the log out
`worker`              one process that answers: `app` (HTTP) > `api` (routes) > `dataplane`
====================  ============================================================================

Worker and agent meet on the local disk only (`lineup`, `segment`), so that a worker is small and
goes on while the store is away.
"""
