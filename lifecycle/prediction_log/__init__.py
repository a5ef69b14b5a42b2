"""The prediction log: a database with every answered prediction and its outcome, and the spool in front of it.

The log also counts invalid requests. It does not store their content.

The service writes a record to the spool, a file on the local disk, before it answers the request (`spool.py`). A
separate process moves the records to the database and only then removes them from the spool (`drain.py`). At any time,
a record is in at least one of the two; writing it twice changes nothing. What this means:

- SIGTERM: the spool is drained. If the database is down, the records stay in the spool until the next start.
- kill -9 of any process: no answered prediction is lost. The spool is drained immediately, or after the next start with
  the same STATE_FOLDER.
- Power loss: what the operating system had not yet written to disk is lost, at most some seconds of records.
- Loss of STATE_FOLDER, for example in a container without a volume: the records in the spool are lost.
"""
