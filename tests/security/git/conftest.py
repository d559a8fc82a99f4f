"""The house of the integration tests: real git and a real spawn."""

from tests.integration.git.conftest import anyio_backend, house

__all__ = ["anyio_backend", "house"]
