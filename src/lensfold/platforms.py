"""Where the kit runs. make runs this file by itself before it installs anything: nothing else is there yet."""

import platform
import sys

#: system and processor, as Python calls them
SUPPORTED = {("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64")}
#: of the C library on Linux
OLDEST_GLIBC = (2, 28)


def refusal(system: str, machine: str, libc: str, bits: int) -> str:
    """Return why the kit cannot run on a machine, in a sentence; "" where it can.

    ``libc``: name and version of the C library, as ``"glibc 2.36"``; ``bits``: of Python's addresses.
    """
    found = f"{system or 'an unknown system'} on {machine or 'an unknown processor'}"
    if bits != 64:
        found = f"a Python of {bits} bits ({found})"
    elif (system, machine) in SUPPORTED and system != "Linux":
        return ""
    elif (system, machine) in SUPPORTED:
        name, _, version = libc.partition(" ")
        numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
        if name == "glibc" and numbers >= OLDEST_GLIBC:
            return ""
        found += f" with {libc.strip() or 'another C library than glibc'}"
    return (
        f"this is {found}, and TensorFlow has no package for it. lensfold runs on Linux (x86_64 or arm64, with glibc "
        f"{OLDEST_GLIBC[0]}.{OLDEST_GLIBC[1]} or later) and on macOS (Apple silicon); on Windows take WSL, on Alpine a "
        "container of Debian."
    )


def main() -> None:
    """End with the reason and exit status 1 where the kit cannot run on this machine."""
    bits = 64 if sys.maxsize > 2**32 else 32
    reason = refusal(platform.system(), platform.machine(), " ".join(platform.libc_ver()), bits)
    if reason:
        sys.exit(f"error: {reason}")


if __name__ == "__main__":
    main()
