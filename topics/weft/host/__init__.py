"""What the machine gives a process: clocks, threads, and chance.

Everything that runs takes a `Host` and asks it, instead of `time`, `threading` and `random`: so a whole worker can be
run on another machine than the real one, with a clock that jumps and threads that take turns.
"""

from weft.host._host import HOST, Event, Host, JobQueue, Thread

__all__ = ["HOST", "Event", "Host", "JobQueue", "Thread"]
