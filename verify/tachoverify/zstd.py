"""Zstandard (RFC 8878): decompresses one whole frame, without dictionaries.

Bounded: never holds more than the caller's `limit` of output and a few tables. What is not a frame is
`ZstdError`, whatever it is. Bit streams lie backwards (RFC 8878, 4.1): they are read from their last byte.
"""

from functools import cache

from .xxh64 import xxh64

_MAGIC = b"\x28\xb5\x2f\xfd"
_BLOCK_MAX = 128 << 10


class ZstdError(ValueError):
    """The bytes are not a zstd frame, or it holds more than it may."""


def decompress(frame: bytes, limit: int) -> bytes:
    """The content of `frame`, which must be one frame and nothing else, of at most `limit` bytes."""
    try:
        content, end = _frame(frame, limit)
    except (IndexError, KeyError) as error:
        raise ZstdError("the frame is cut short") from error
    if end != len(frame):
        raise ZstdError("something follows the frame")
    return content


def _little(data: bytes, at: int, count: int) -> int:
    if at + count > len(data):
        raise ZstdError("the frame is cut short")
    return int.from_bytes(data[at : at + count], "little")


# --- frames and blocks (3.1.1)


def _frame(data: bytes, limit: int) -> tuple[bytes, int]:
    if data[:4] != _MAGIC:
        raise ZstdError("not a zstd frame")
    descriptor = data[4]
    size_flag, single, checksum = descriptor >> 6, descriptor >> 5 & 1, descriptor >> 2 & 1
    if descriptor & 0x08:
        raise ZstdError("a reserved bit is set")
    at = 5
    window = 0
    if not single:
        exponent, mantissa = data[at] >> 3, data[at] & 7
        window = (1 << (10 + exponent)) + (1 << (10 + exponent)) // 8 * mantissa
        at += 1
    dictionary_bytes = (0, 1, 2, 4)[descriptor & 3]
    if _little(data, at, dictionary_bytes):
        raise ZstdError("it needs a dictionary")
    at += dictionary_bytes
    size_bytes = (single, 2, 4, 8)[size_flag]
    size = None
    if size_bytes:
        size = _little(data, at, size_bytes) + (256 if size_bytes == 2 else 0)
        at += size_bytes
        if size > limit:
            raise ZstdError(f"it holds {size} bytes, more than the {limit} that are allowed")
    block_max = min(size if single else window, _BLOCK_MAX)
    out = bytearray()
    tables = _Tables()
    last = 0
    while not last:
        header = _little(data, at, 3)
        at += 3
        last, kind, length = header & 1, header >> 1 & 3, header >> 3
        if length > block_max:
            raise ZstdError("a block is larger than it may be")
        before = len(out)
        if kind == 1:
            out += data[at : at + 1] * length
            at += 1
        else:
            block = data[at : at + length]
            if len(block) != length:
                raise ZstdError("the frame is cut short")
            at += length
            if kind == 0:
                out += block
            elif kind == 2:
                _compressed(block, out, tables, min(before + block_max, limit))
            else:
                raise ZstdError("a block of a reserved kind")
        if len(out) - before > block_max or len(out) > limit:
            raise ZstdError("it holds more than is allowed")
        if at > len(data):
            raise ZstdError("the frame is cut short")
    if size is not None and len(out) != size:
        raise ZstdError(f"it holds {len(out)} bytes where it says {size}")
    if checksum:
        if _little(data, at, 4) != xxh64(bytes(out)) & 0xFFFFFFFF:
            raise ZstdError("its checksum is wrong")
        at += 4
    return bytes(out), at


class _Tables:
    """What one block of a frame leaves to the next."""

    def __init__(self):
        self.huffman = None
        self.codes = [None, None, None]
        self.offsets = [1, 4, 8]


def _compressed(block: bytes, out: bytearray, tables: _Tables, end: int) -> None:
    literals, at = _literals(block, tables)
    _sequences(block, at, literals, out, tables, end)


# --- backward bit streams (4.1)


def _stream(data: bytes) -> tuple[int, int]:
    """A backward bit stream as a number of so many bits: its first bits are the highest."""
    if not data or not data[-1]:
        raise ZstdError("a bit stream without its end")
    bits = int.from_bytes(data, "little")
    count = bits.bit_length() - 1
    return bits ^ (1 << count), count


# --- literals (3.1.1.3.1)


def _literals(block: bytes, tables: _Tables) -> tuple[bytes, int]:
    first = block[0]
    kind, form = first & 3, first >> 2 & 3
    if kind < 2:
        bytes_of_header = (1, 2, 1, 3)[form]
        size = _little(block, 0, bytes_of_header) >> (3 if bytes_of_header == 1 else 4)
        if size > _BLOCK_MAX:
            raise ZstdError("more literals than a block can have")
        stored = size if kind == 0 else 1
        end = bytes_of_header + stored
        if end > len(block):
            raise ZstdError("a block is cut short")
        literals = block[bytes_of_header:end]
        return (literals if kind == 0 else literals * size), end
    bytes_of_header, bits = ((3, 10), (3, 10), (4, 14), (5, 18))[form]
    header = _little(block, 0, bytes_of_header) >> 4
    size, stored = header & ((1 << bits) - 1), header >> bits
    end = bytes_of_header + stored
    if size > _BLOCK_MAX or end > len(block):
        raise ZstdError("the literals of a block are cut short")
    data = block[bytes_of_header:end]
    if kind == 2:
        tables.huffman, used = _huffman_table(data)
        data = data[used:]
    if tables.huffman is None:
        raise ZstdError("literals without their table")
    if form == 0:
        return _huffman_stream(data, size, tables.huffman), end
    if size < 6 or len(data) < 6:
        raise ZstdError("too few literals for four streams")
    each = (size + 3) // 4
    parts, at = [], 6
    for number in range(4):
        length = _little(data, number * 2, 2) if number < 3 else len(data) - at
        count = each if number < 3 else size - 3 * each
        if length <= 0 or at + length > len(data) or count < 0:
            raise ZstdError("the literals of a block are cut short")
        parts.append(_huffman_stream(data[at : at + length], count, tables.huffman))
        at += length
    return b"".join(parts), end


def _huffman_table(data: bytes) -> tuple[tuple[int, list[int]], int]:
    """The decoding table (4.2.1) as `symbol << 4 | bits`, and how many bytes describe it."""
    header = data[0]
    if header >= 128:
        count = header - 127
        used = 1 + (count + 1) // 2
        if used > len(data):
            raise ZstdError("a Huffman table is cut short")
        weights = [data[1 + at // 2] >> (0 if at & 1 else 4) & 15 for at in range(count)]
    else:
        used = 1 + header
        if used > len(data):
            raise ZstdError("a Huffman table is cut short")
        weights = _huffman_weights(data[1:used])
    total = sum((1 << weight) >> 1 for weight in weights)
    if not total or max(weights) > 11:
        raise ZstdError("a Huffman table is wrong")
    bits = total.bit_length()
    rest = (1 << bits) - total
    if bits > 11 or rest & (rest - 1):
        raise ZstdError("a Huffman table is wrong")
    weights.append(rest.bit_length())
    if len(weights) > 256 or weights.count(1) < 2 or weights.count(1) & 1:
        raise ZstdError("a Huffman table is wrong")
    table: list[int] = []
    for weight in range(1, bits + 1):
        for symbol, of_symbol in enumerate(weights):
            if of_symbol == weight:
                table += [symbol << 4 | bits + 1 - weight] * (1 << (weight - 1))
    if len(table) != 1 << bits:
        raise ZstdError("a Huffman table is wrong")
    return (bits, table), used


def _huffman_weights(data: bytes) -> list[int]:
    """Two states that take turns over one stream, which ends when a state wants bits that are not there."""
    log, table, used = _fse_description(data, 0, 6, 255)
    bits, left = _stream(data[used:])
    left -= 2 * log
    if left < 0:
        raise ZstdError("a Huffman table is cut short")
    states = [bits >> (left + log) & ((1 << log) - 1), bits >> left & ((1 << log) - 1)]
    weights = []
    turn = 0
    while len(weights) < 255:
        symbol, wanted, base = table[states[turn]]
        weights.append(symbol)
        if wanted > left:
            weights.append(table[states[turn ^ 1]][0])
            if len(weights) > 255:
                raise ZstdError("a Huffman table is too long")
            return weights
        left -= wanted
        states[turn] = base + (bits >> left & ((1 << wanted) - 1))
        turn ^= 1
    raise ZstdError("a Huffman table is too long")


def _huffman_stream(data: bytes, count: int, huffman: tuple[int, list[int]]) -> bytes:
    if not data or not data[-1]:
        raise ZstdError("a bit stream without its end")
    width, table = huffman
    mask = (1 << width) - 1
    out = bytearray(count)
    at = len(data) - 1
    # The highest set bit of the last byte only marks the end.
    held = data[-1].bit_length() - 1
    bits = data[-1] & ((1 << held) - 1)
    for place in range(count):
        if held < width:
            take = at if at < 6 else 6
            if take:
                bits = (bits & ((1 << held) - 1)) << (8 * take) | int.from_bytes(data[at - take : at], "little")
                at -= take
                held += 8 * take
        entry = table[(bits >> (held - width) if held >= width else bits << (width - held)) & mask]
        held -= entry & 15
        if held < 0:
            raise ZstdError("the literals of a block are cut short")
        out[place] = entry >> 4
    if held or at:
        raise ZstdError("the literals of a block do not fill their stream")
    return bytes(out)


# --- finite state entropy (4.1)


def _fse_description(data: bytes, at: int, max_log: int, max_symbol: int):
    """Reads a table's description (4.1.1) at `at`; returns accuracy, decoding table and where it ends."""
    bits = int.from_bytes(data[at : at + 512], "little")
    available = (len(data) - at) * 8
    log = (bits & 15) + 5
    if log > max_log:
        raise ZstdError("the accuracy of a table is out of bounds")
    place = 4
    remaining = 1 << log
    counts: list[int] = []
    while remaining > 0:
        if len(counts) > max_symbol or place > available:
            raise ZstdError("a table's description is wrong")
        # Values up to `remaining + 1`, the smallest of them in one bit less.
        width = (remaining + 1).bit_length()
        value = bits >> place & ((1 << width) - 1)
        spare = (1 << width) - 1 - (remaining + 1)
        low = value & ((1 << (width - 1)) - 1)
        if low < spare:
            value, place = low, place + width - 1
        else:
            value, place = (value - spare if value >= 1 << (width - 1) else value), place + width
        count = value - 1
        remaining -= abs(count)
        counts.append(count)
        if count == 0:
            while True:
                repeat = bits >> place & 3
                place += 2
                counts += [0] * repeat
                if repeat != 3:
                    break
                if len(counts) > max_symbol or place > available:
                    raise ZstdError("a table's description is wrong")
    if remaining < 0 or len(counts) > max_symbol + 1 or place > available:
        raise ZstdError("a table's description is wrong")
    return log, _fse_table(tuple(counts), log), at + (place + 7) // 8


def _fse_table(counts: tuple[int, ...], log: int) -> list[tuple[int, int, int]]:
    """For each state: symbol, bits to read, what they are added to (4.1.1, "From normalized distribution to decoding tables")."""
    size = 1 << log
    symbols = [0] * size
    high = size
    for symbol, count in enumerate(counts):
        if count == -1:
            high -= 1
            symbols[high] = symbol
    step = (size >> 1) + (size >> 3) + 3
    place = 0
    for symbol, count in enumerate(counts):
        for _ in range(max(count, 0)):
            symbols[place] = symbol
            place = place + step & size - 1
            while place >= high:
                place = place + step & size - 1
    if place:
        raise ZstdError("a table's description is wrong")
    following = [1 if count == -1 else count for count in counts]
    table = []
    for symbol in symbols:
        state = following[symbol]
        following[symbol] += 1
        bits = log + 1 - state.bit_length()
        table.append((symbol, bits, (state << bits) - size))
    return table


# --- sequences (3.1.1.3.2)

_LITERAL_LENGTHS = [(value, 0) for value in range(16)] + [
    (16, 1), (18, 1), (20, 1), (22, 1), (24, 2), (28, 2), (32, 3), (40, 3), (48, 4), (64, 6), (128, 7), (256, 8),
    (512, 9), (1024, 10), (2048, 11), (4096, 12), (8192, 13), (16384, 14), (32768, 15), (65536, 16),
]
_MATCH_LENGTHS = [(value + 3, 0) for value in range(32)] + [
    (35, 1), (37, 1), (39, 1), (41, 1), (43, 2), (47, 2), (51, 3), (59, 3), (67, 4), (83, 4), (99, 5), (131, 7),
    (259, 8), (515, 9), (1027, 10), (2051, 11), (4099, 12), (8195, 13), (16387, 14), (32771, 15), (65539, 16),
]
#: For literal lengths, offsets, match lengths: the distribution that needs no description, the highest accuracy,
#: the highest symbol.
_KINDS = [
    ((6, (4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1,
          -1, -1, -1, -1)), 9, 35),
    ((5, (1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1)), 8, 31),
    ((6, (1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
          1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1)), 9, 52),
]


@cache
def _predefined(kind: int):
    log, counts = _KINDS[kind][0]
    return log, _fse_table(counts, log)


def _sequences(block: bytes, at: int, literals: bytes, out: bytearray, tables: _Tables, end: int) -> None:
    count = block[at]
    at += 1
    if count == 255:
        count = _little(block, at, 2) + 0x7F00
        at += 2
    elif count >= 128:
        count = (count - 128 << 8) + block[at]
        at += 1
    if not count:
        if at != len(block):
            raise ZstdError("something follows a block without sequences")
        if len(out) + len(literals) > end:
            raise ZstdError("it holds more than is allowed")
        out += literals
        return
    modes = block[at]
    at += 1
    if modes & 3:
        raise ZstdError("a reserved bit is set")
    for kind in range(3):
        mode = modes >> (6 - 2 * kind) & 3
        _, max_log, max_symbol = _KINDS[kind]
        if mode == 0:
            tables.codes[kind] = _predefined(kind)
        elif mode == 1:
            if block[at] > max_symbol:
                raise ZstdError("a code is out of bounds")
            tables.codes[kind] = 0, [(block[at], 0, 0)]
            at += 1
        elif mode == 2:
            log, table, at = _fse_description(block, at, max_log, max_symbol)
            tables.codes[kind] = log, table
        elif tables.codes[kind] is None:
            raise ZstdError("a table is to be repeated and there was none")
    _execute(block[at:], count, literals, out, tables, end)


def _execute(data: bytes, count: int, literals: bytes, out: bytearray, tables: _Tables, end: int) -> None:
    (length_log, lengths), (offset_log, offsets), (match_log, matches) = tables.codes
    if not data or not data[-1]:
        raise ZstdError("a bit stream without its end")
    first, second, third = tables.offsets
    taken = 0
    at = len(data) - 1
    held = data[-1].bit_length() - 1
    bits = data[-1] & ((1 << held) - 1)

    length_state = offset_state = match_state = -1
    left = count
    while left:
        # The most that one sequence takes: 31 + 16 + 16 bits of values, 9 + 9 + 8 of states, twice at the first.
        if held < 128 and at:
            take = at if at < 32 else 32
            bits = (bits & ((1 << held) - 1)) << (8 * take) | int.from_bytes(data[at - take : at], "little")
            at -= take
            held += 8 * take
        if match_state < 0:
            held -= length_log + offset_log + match_log
            if held < 0:
                raise ZstdError("the sequences of a block are cut short")
            length_state = bits >> (held + offset_log + match_log) & ((1 << length_log) - 1)
            offset_state = bits >> (held + match_log) & ((1 << offset_log) - 1)
            match_state = bits >> held & ((1 << match_log) - 1)
        length_code, length_bits, length_base = lengths[length_state]
        offset_code, offset_bits, offset_base = offsets[offset_state]
        match_code, match_bits, match_base = matches[match_state]

        length, length_extra = _LITERAL_LENGTHS[length_code]
        match, match_extra = _MATCH_LENGTHS[match_code]
        held -= offset_code + match_extra + length_extra
        if held < 0:
            raise ZstdError("the sequences of a block are cut short")
        length += bits >> held & ((1 << length_extra) - 1)
        match += bits >> (held + length_extra) & ((1 << match_extra) - 1)
        offset = (1 << offset_code) + (bits >> (held + length_extra + match_extra) & ((1 << offset_code) - 1))
        left -= 1
        if left:
            held -= length_bits + match_bits + offset_bits
            if held < 0:
                raise ZstdError("the sequences of a block are cut short")
            length_state = length_base + (bits >> (held + match_bits + offset_bits) & ((1 << length_bits) - 1))
            match_state = match_base + (bits >> (held + offset_bits) & ((1 << match_bits) - 1))
            offset_state = offset_base + (bits >> held & ((1 << offset_bits) - 1))

        # Repeated offsets (3.1.1.5): one further when there are no literals.
        if offset > 3:
            first, second, third = offset - 3, first, second
        else:
            which = offset if length else offset + 1
            if which == 2:
                first, second = second, first
            elif which == 3:
                first, second, third = third, first, second
            elif which == 4:
                first, second, third = first - 1, first, second
        if length:
            if taken + length > len(literals):
                raise ZstdError("a sequence takes more literals than there are")
            out += literals[taken : taken + length]
            taken += length
        here = len(out)
        start = here - first
        if start < 0 or first <= 0 or here + match > end:
            raise ZstdError("a sequence reaches out of bounds")
        if first >= match:
            out += out[start : start + match]
        else:
            unit = bytes(out[start:])
            out += (unit * (match // first + 1))[:match]
    if held or at:
        raise ZstdError("the sequences of a block do not fill their stream")
    if len(out) + len(literals) - taken > end:
        raise ZstdError("it holds more than is allowed")
    out += literals[taken:]
    tables.offsets = [first, second, third]
