"""HdrHistogram's V2 compressed base64 text, taken apart as far as its header: what is damaged or foreign is said.

`harness.stats` makes numbers of the payload. hdrhistogram's own decoder makes an object of Python calls for each
counter; a report of ten thousand trials has no time for that.
(https://github.com/HdrHistogram/HdrHistogram, AbstractHistogram.encodeIntoByteBuffer)
"""

import base64
import struct
import zlib

from harness.loadgen.histogram import DIGITS, HIGHEST_NS, LOWEST_NS

COOKIE = 0x1C849313
COMPRESSED_COOKIE = 0x1C849314
HEADER = struct.Struct(">iiiiqqd")
"""Cookie, length of the payload, normalising offset, digits, lowest and highest value, ratio of conversion."""

LARGEST_TEXT = 1 << 22
"""Bytes that no histogram of ours reaches inflated: its counters are 33,792, each at most 9 bytes."""


class HistogramError(ValueError):
    """A text that is no histogram of ours, with the reason."""


def payload(text: str) -> bytes:
    """Return the encoded counters of a histogram of this program's range and precision.

    Args:
        text: As `harness.loadgen.histogram.encode_counts` makes it; empty text is a histogram without samples.

    Raises:
        HistogramError: It is damaged, or a histogram of another range or precision.
    """
    if not text:
        return b""
    try:
        packed = base64.b64decode(text, validate=True)
        cookie, length = struct.unpack_from(">iI", packed)
        inflater = zlib.decompressobj()
        raw = inflater.decompress(packed[8 : 8 + length], LARGEST_TEXT)
        if cookie != COMPRESSED_COOKIE or len(packed) != 8 + length or not inflater.eof:
            raise HistogramError("not a whole HdrHistogram V2 text")
        cookie, length, offset, digits, lowest, highest, _ = HEADER.unpack_from(raw)
    except (ValueError, struct.error, zlib.error):
        raise HistogramError("not a whole HdrHistogram V2 text") from None
    if cookie != COOKIE or offset or len(raw) != HEADER.size + length:
        raise HistogramError("not a whole HdrHistogram V2 text")
    if (digits, lowest, highest) != (DIGITS, LOWEST_NS, HIGHEST_NS):
        raise HistogramError(
            f"range {lowest} to {highest} with {digits} digits, not {LOWEST_NS} to {HIGHEST_NS} with {DIGITS}"
        )
    return raw[HEADER.size :]
