"""Writes crc32.c: the table of CRC-32, which is quicker on eight bits than shifting."""


def entry(value: int) -> int:
    """Return the register after eight shifts of one byte."""
    for _ in range(8):
        value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
    return value


def main() -> None:
    """Print the file."""
    rows = [", ".join(f"0x{entry(k):08X}ul" for k in range(first, first + 8)) for first in range(0, 256, 8)]
    body = ",\n    ".join(rows)
    print(f"""/* Made by make_crc32.py. */
#include "crc32.h"

const uint32_t crc32_table[256] BOARD_FLASH = {{
    {body}}};""")


if __name__ == "__main__":
    main()
