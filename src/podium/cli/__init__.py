"""Floor 5: the client commands. Knows the API's client and the kernel, nothing else of ours."""
