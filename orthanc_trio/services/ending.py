"""How the server ends: whoever wants that says so here."""

import trio


class Ending:
    """Whether the end of the server is wanted, and whether it begins anew."""

    def __init__(self) -> None:
        self.requested = trio.Event()
        """Set to stop the server in good order."""
        self.restarts = False

    def stop(self) -> None:
        """Want the end. Safe to repeat."""
        self.requested.set()

    def restart(self) -> None:
        """Want a new beginning in the same process, with the configuration read again.

        Does nothing if the end is wanted already.
        """
        if not self.requested.is_set():
            self.restarts = True
            self.requested.set()
