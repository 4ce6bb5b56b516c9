"""HDF5's heaps of texts, checked before HDF5 walks through them.

The texts of attributes lie in global heaps: ``GCOL``, a version, the heap's size, then objects of
16 bytes and their content each. HDF5 believes their sizes: one of 0 bytes keeps it busy for ever,
in a file without checksums that was damaged, or in one that was made so.
"""

import struct
from typing import Any

from rrtool.artifacts.checksums import VerifiedBytes

_MAGIC = b"GCOL"
_HEADER = struct.Struct("<4sB3xQ")  # magic, version, size of the whole
_OBJECT = struct.Struct("<HH4xQ")  # number (0: what is left, header and all), references, size


class VerifiedHeaps(VerifiedBytes):
    """Verified bytes; as long as no data is read, those of heaps are checked for their form.

    Attributes:
        reads_data: whether data is read: it may begin like a heap.
    """

    reads_data = False

    def readinto(self, buffer: Any) -> int:
        start = self.tell()
        n_read = super().readinto(buffer)
        if not self.reads_data and memoryview(buffer).cast("B")[: len(_MAGIC)] == _MAGIC:
            self._check_heap(start)
        return n_read

    def _check_heap(self, start: int) -> None:
        _, _, size = _HEADER.unpack(self.pread(start, _HEADER.size))
        if start + size > self.length:
            raise self.damaged("texts beyond its end")
        heap = self.pread(start, size)
        place = _HEADER.size
        while place + _OBJECT.size <= size:
            number, _, length = _OBJECT.unpack_from(heap, place)
            n_bytes = length if number == 0 else _OBJECT.size + -(-length // 8) * 8
            if n_bytes < _OBJECT.size or place + n_bytes > size:
                raise self.damaged("texts of impossible length")
            place += n_bytes
