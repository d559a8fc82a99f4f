"""Floor 1: the typed Python client of the API, for programs, for our own CLI and for workers' uploads.

`from podium.client.api import connect` finds the server of this machine and gives a `Client`.
"""
