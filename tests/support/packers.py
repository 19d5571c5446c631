"""Compressors for tests, by codec: none of them is code of ours."""

import bz2
import gzip
import io
import lzma
import struct
import zipfile
import zlib

import pyarrow as pa

SUFFIXES = {
    "gzip": ".gz",
    "bz2": ".bz2",
    "xz": ".xz",
    "zstd": ".zst",
    "lz4": ".lz4",
    "zip": ".zip",
}
BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
ZSTD_WITH_CHECKSUM = bytes.fromhex(
    "28b52ffd649e00a50400a2c81412b0a5d006140780a13889eccd2dc7cc444e07e188b522623f42ac29289c3dabb3f4"
    "392bf7e36c381bb6e8c38e8c878d0927ac1509fb11612d21c1ec5999a58f59b1cd301bced8a29e1d6100c0a0668382"
    "06022820b0d336440c2dcc78458c92f0d5c28c57c428845d2d6cbc450c5dd82d72871666bc224649f86a61c6832290"
    "464949430425f6372bb189678795a029016d9fd107"
)
LZ4_WITH_CHECKSUM = bytes.fromhex(
    "04224d187c409e01000000000000e539010000e0612c620a302c0a312c78797a0a32060000090040332c0a340c0020"
    "0a35060000120040362c0a370c00200a38060000120050392c0a31300d00210a313e000014006231322c0a31331500"
    "01410001150052352c0a3136150001440001150051382c0a31391500113246000015005132312c0a328500210a3246"
    "0001150041342c0a328800210a32460001150041372c0a328b00210a3246000015005133302c0a338c00210a334600"
    "01150041332c0a338c00210a33460001150041362c0a338c00210a33460001150041392c0a348c00210a3446000015"
    "005134322c0a348c00210a34460001150041352c0a348c00210a34460001150041382c0a348c00210a354600001500"
    "5135312c0a358c00210a35460001150041342c0a358c00210a35460001150041372c0a358c00b00a35392c78797a78"
    "797a0a295ced80000000005c05d3d3"
)
XZ_OF_THREE_BLOCKS = bytes.fromhex(
    "fd377a585a0000016922de36020021010c0000008f98419ce0009500475d00308b0840a66c548897d50aaad2dd6a0e"
    "5d358ee6f6758c70d7a6be5a2543e6652a26a4136cbfac3aca8888c5270f36966cc5f343f0a3a9ad2d81e6ff2dbdcf"
    "eef1f9c01a4a483b00006320f329020021010c0000008f98419ce0009500415d003d028241a0af08281885b50d089f"
    "ee88a32c4c33a83de7e09bc0cb914fea0d0f0f0b30da88e36c700054c81eef74f96dede24c17fc0995ee060bcd668c"
    "386931420000000039bbcf40020021010c0000008f98419ce0007100325d001a0b0b87d22893c5683ce7f1a7434ba9"
    "e74a03e6f8562a000a87161eede0c87dae4a694decf8031a74092a53d7f7034bc36e000000538b151c00035f960159"
    "96014a7200006c32c33c9be35140030000000001595a"
)
MADE_BY_TOOLS = b"a,b\n" + b"".join(b"%d,%s\n" % (i, b"xyz" * (i % 3)) for i in range(60))
"""What the three above hold. zstd and lz4 as their own tools write them, with checksums, which
Arrow writes none of; xz by its tool with blocks of 150 bytes."""


def bgzf(text, block=500, end=BGZF_END):
    parts = []
    for start in range(0, len(text), block):
        one = text[start : start + block]
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        data = deflate.compress(one) + deflate.flush()
        head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0"
        ends = struct.pack("<II", zlib.crc32(one), len(one))
        parts.append(head + struct.pack("<H", len(data) + 25) + data + ends)
    return b"".join([*parts, end])


def pack_zip(text, name="data.csv", method=zipfile.ZIP_DEFLATED):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.writestr(name, text)
    return target.getvalue()


def with_arrow(codec):
    def pack(text):
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, codec) as stream:
            stream.write(text)
        return sink.getvalue().to_pybytes()

    return pack


PACKERS = {
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lambda text: lzma.compress(text, preset=1),
    "zstd": with_arrow("zstd"),
    "lz4": with_arrow("lz4"),
    "zip": pack_zip,
}


def write_packed(directory, name, text, codec):
    """`text` under `name` and the codec's suffix; the path."""
    path = directory / f"{name}{SUFFIXES[codec]}"
    path.write_bytes(PACKERS[codec](text))
    return str(path)
