"""``python -m lensfold``: Ctrl-C is heard from here on, before anything else is imported."""

import os
import signal
from types import FrameType

from lensfold.errors import STOPPED


def _stop(number: int, frame: FrameType | None) -> None:
    # nothing is begun, or all is done, and an exception inside an import would end as a page of its innards
    os.write(2, f"{STOPPED}\n".encode())
    os._exit(130)


_heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not in the background of a shell
if _heard:
    signal.signal(signal.SIGINT, _stop)

from lensfold.cli.main import main  # noqa: E402

if _heard:
    signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    main()
finally:
    if _heard:
        signal.signal(signal.SIGINT, _stop)
