"""Checksums of a file's blocks, kept behind its last byte and verified as blocks are read.

HDF5's own checksums leave out texts, small datasets and part of the metadata, and make slices three
times slower; and HDF5 trusts what it reads. These cover every byte before HDF5 sees it. They are
for accidents: who changes a file on purpose can write new ones.

Behind the content: the CRC-32 of each block of 64 KiB (uint32), then the footer: the content's
length (uint64), the CRC-32 of the checksums (uint32), the magic; little-endian. Other programs that
read HDF5 never look there.
"""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rrtool.errors import ArtifactError
from rrtool.files import open_regular

BLOCK = 1 << 16
_MAGIC = b"RRTOOLC1"
_FOOTER = struct.Struct("<QI8s")
_MOST_AT_ONCE = 1 << 30  # the system reads less than 2 GiB in one call


def add_checksums(file: BinaryIO) -> None:
    """Append the checksums of all that is in a file, which is open for reading and writing.

    Raises:
        OSError: the disk is full or fails.
    """
    file.seek(0)
    checksums, length = [], 0
    while block := file.read(BLOCK):
        checksums.append(zlib.crc32(block))
        length += len(block)
    table = np.array(checksums, "<u4").tobytes()
    file.write(table + _FOOTER.pack(length, zlib.crc32(table), _MAGIC))


class VerifiedBytes(io.RawIOBase):
    """The content of a file with checksums; of one without, all of its bytes as they are.

    Attributes:
        length: bytes of the content.
        has_checksums: whether there are any to verify.

    Raises:
        OSError: as ``open_regular``.
        ArtifactError: the checksums themselves are damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._at = 0
        self._file = open_regular(path)
        try:
            self.length, self._checksums = self._trailer(os.fstat(self._file.fileno()).st_size)
        except BaseException:
            self._file.close()
            raise
        self.has_checksums = self._checksums is not None
        self._verified = bytearray(-(-self.length // BLOCK))  # 1 where a block has been

    def _trailer(self, size: int) -> tuple[int, np.ndarray | None]:
        footer = self.pread(max(0, size - _FOOTER.size), min(size, _FOOTER.size))
        if len(footer) < _FOOTER.size or not footer.endswith(_MAGIC):
            return size, None
        length, checksum, _ = _FOOTER.unpack(footer)
        if length + 4 * -(-length // BLOCK) + _FOOTER.size != size:
            raise self.damaged("another length than it had")
        table = self.pread(length, size - length - _FOOTER.size)
        if zlib.crc32(table) != checksum:
            raise self.damaged("other checksums than were written")
        return length, np.frombuffer(table, "<u4")

    def verify(self) -> None:
        """Read everything once.

        Raises:
            ArtifactError: something is not what was written.
        """
        self.seek(0)
        buffer = bytearray(16 * BLOCK)
        while self.readinto(buffer):
            pass

    def readinto(self, buffer: Any) -> int:
        """Bytes from the current place on, verified, and zeros for those behind the end.

        Raises:
            ArtifactError: they are not what was written.
        """
        view = memoryview(buffer).cast("B")
        n_there = min(len(view), max(0, self.length - self._at))
        self._read(view[:n_there], self._at)
        if self._checksums is not None:
            self._verify(view[:n_there], self._at, self._checksums)
        view[n_there:] = bytes(len(view) - n_there)
        self._at += n_there
        return n_there

    def _verify(self, view: memoryview, start: int, checksums: np.ndarray) -> None:
        """Verify the blocks under what was read; those that it covers in part are read whole."""
        stop = start + len(view)
        place = self._verified.find(0, start // BLOCK, -(-stop // BLOCK))
        while place >= 0:
            first, last = place * BLOCK, min((place + 1) * BLOCK, self.length)
            if start <= first and last <= stop:
                block: Any = view[first - start : last - start]
            else:
                block = self.pread(first, last - first)
                low, high = max(first, start), min(last, stop)
                view[low - start : high - start] = block[low - first : high - first]
            if zlib.crc32(block) != checksums[place]:
                raise self.damaged(f"other bytes than were written, after byte {first}")
            self._verified[place] = 1
            place = self._verified.find(0, place + 1, -(-stop // BLOCK))

    def pread(self, start: int, length: int) -> bytearray:
        """Bytes at a place, not verified.

        Raises:
            ArtifactError: it ends before.
        """
        block = bytearray(length)
        self._read(memoryview(block), start)
        return block

    def _read(self, view: memoryview, start: int) -> None:
        # At a place of its own: processes that were forked from this one share the file's.
        while len(view):
            n_read = os.preadv(self._file.fileno(), [view[:_MOST_AT_ONCE]], start)
            if not n_read:
                raise self.damaged("it was cut short meanwhile")
            view, start = view[n_read:], start + n_read

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self.length)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def damaged(self, found: str) -> ArtifactError:
        """The error for bytes that cannot be what was written."""
        what, todo = "the file is damaged", "make it again with --overwrite"
        return ArtifactError(what, where=self._path, found=found, todo=todo)
