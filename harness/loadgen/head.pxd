# cython: language_level=3
"""Where an HTTP/1.1 response's head ends: the states of `harness.loadgen.framing` in C, a byte at a time, nothing kept."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

cdef enum:
    MAX_HEAD_BYTES = 16 * 1024  # as in harness.loadgen.framing
    STATUS_LENGTH = 12
    CONTENT_LENGTH_LENGTH = 14
    TRANSFER_ENCODING_LENGTH = 17
    MOST_DIGITS = 18

cdef enum HeadState:
    STATUS, REASON_START, REASON, LINE_FEED, LINE_START, NAME, VALUE, LENGTH_START, LENGTH, LENGTH_END, LAST_FEED, BODY

cdef enum HeadFault:
    SOUND, NOT_OK, MALFORMED, ENCODED, NO_NUMBER, NO_LENGTH, OTHER_LENGTH, TOO_LONG

cdef struct Head:
    int64_t length  # value of the Content-Length that is being read
    int64_t seen  # value of the one that was read, -1 if there was none
    uint32_t size  # bytes so far
    uint8_t state
    uint8_t fault
    uint8_t place  # bytes of a header's name so far, at most 255
    uint8_t digits
    uint8_t names  # which names it can still be: bit 0 Content-Length, bit 1 Transfer-Encoding

cdef extern from *:
    """
    static const unsigned char status_line[] = "HTTP/1.1 200";
    static const unsigned char content_length[] = "content-length";
    static const unsigned char transfer_encoding[] = "transfer-encoding";
    /* RFC 9110, section 5.6.2: what a header's name is made of, in lower case; 0 for anything else. */
    static unsigned char token_of(unsigned char byte) {
        if (byte >= 'a' && byte <= 'z') return byte;
        if (byte >= 'A' && byte <= 'Z') return byte | 0x20;
        if (byte >= '0' && byte <= '9') return byte;
        switch (byte) {
        case '!': case '#': case '$': case '%': case '&': case 39: case '*': case '+': case '-': case '.': case '^':
        case '_': case '`': case '|': case '~':
            return byte;
        }
        return 0;
    }
    """
    const unsigned char *status_line
    const unsigned char *content_length
    const unsigned char *transfer_encoding
    unsigned char token_of(unsigned char byte) nogil


cdef inline void restart_head(Head *head) noexcept nogil:
    """Be ready for the next response."""
    head.state = STATUS
    head.fault = SOUND
    head.size = 0
    head.seen = -1


cdef inline int take_name(Head *head, unsigned char byte) noexcept nogil:
    """Take a byte of a header's name, or the one that ends it."""
    cdef unsigned char token
    if head.state == LINE_START:
        if byte == 13:
            head.state = LAST_FEED
            return SOUND
        head.place = 0
        head.names = 3
        head.state = NAME
    if byte != 58:
        token = token_of(byte)
        if token == 0:
            return MALFORMED
        if head.place >= CONTENT_LENGTH_LENGTH or content_length[head.place] != token:
            head.names &= 2
        if head.place >= TRANSFER_ENCODING_LENGTH or transfer_encoding[head.place] != token:
            head.names &= 1
        if head.place < 255:
            head.place += 1
        return SOUND
    if head.names & 2 and head.place == TRANSFER_ENCODING_LENGTH:
        return ENCODED
    head.state = LENGTH_START if head.names & 1 and head.place == CONTENT_LENGTH_LENGTH else VALUE
    head.length = head.digits = 0
    return SOUND if head.place else MALFORMED


cdef inline int take_length(Head *head, unsigned char byte) noexcept nogil:
    """Take a byte of the value of Content-Length, which may stand between blanks."""
    if 48 <= byte <= 57 and head.state != LENGTH_END:
        head.state = LENGTH
        head.length = 10 * head.length + byte - 48
        head.digits += 1
        return NO_NUMBER if head.digits > MOST_DIGITS else SOUND
    if byte == 32 or byte == 9:
        if head.state == LENGTH:
            head.state = LENGTH_END
        return SOUND
    if byte != 13 or head.state == LENGTH_START:
        return NO_NUMBER
    if head.seen >= 0 and head.seen != head.length:
        return NO_NUMBER
    head.seen = head.length
    head.state = LINE_FEED
    return SOUND


cdef inline int take_byte(Head *head, unsigned char byte, int64_t due) noexcept nogil:
    """Take one byte and return the fault that it shows."""
    if head.state == STATUS:
        if byte != status_line[head.size]:
            return NOT_OK
        if head.size + 1 == STATUS_LENGTH:
            head.state = REASON_START
    elif head.state == REASON_START:
        if byte != 32 and byte != 13:
            return NOT_OK
        head.state = REASON if byte == 32 else LINE_FEED
    elif head.state == REASON or head.state == VALUE:
        if byte == 13:
            head.state = LINE_FEED
        elif byte == 10:
            return MALFORMED
    elif head.state == LINE_FEED:
        head.state = LINE_START
        return SOUND if byte == 10 else MALFORMED
    elif head.state == LINE_START or head.state == NAME:
        return take_name(head, byte)
    elif head.state == LAST_FEED:
        head.state = BODY
        if byte != 10:
            return MALFORMED
        if head.seen < 0:
            return NO_LENGTH
        return SOUND if head.seen == due else OTHER_LENGTH
    else:
        return take_length(head, byte)
    return SOUND


cdef inline size_t take_head(Head *head, const unsigned char *data, size_t size, int64_t due) noexcept nogil:
    """Take bytes and return how many belong to the head, up to its end or its first fault.

    `due` is the size of the body that must follow.
    """
    cdef size_t place
    for place in range(size):
        head.fault = take_byte(head, data[place], due)
        if head.fault:
            return place
        head.size += 1
        if head.state == BODY:
            return place + 1
        if head.size == MAX_HEAD_BYTES:
            head.fault = TOO_LONG
            return place
    return size
