"""What the tests share: a PostgreSQL server of their own, and servers of Coda's on it.

Under a name that no other suite has, so that the suites of several distributions can be run in one environment.
"""
