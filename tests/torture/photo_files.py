"""Small photos in every container that Pillow reads here, and files that claim to be huge."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, features

SIZE = (72, 48)


def whole_photos(photo: Image.Image) -> dict[str, bytes]:
    """The photo in each container and form, by a name with the suffix of its kind."""
    written = dict(_written_by_pillow(photo.resize(SIZE)))
    return {**written, **_written_by_hand(photo.resize(SIZE))}


def _written_by_pillow(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    exif = Image.Exif()
    exif[0x0112] = 6
    grey, palette = photo.convert("L"), photo.convert("P")
    clear = photo.copy()
    clear.putalpha(128)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    forms = [
        ("plain.jpg", photo, {}),
        ("progressive.jpg", photo, {"progressive": True}),
        ("cmyk.jpg", photo.convert("CMYK"), {}),
        ("grey.jpg", grey, {}),
        ("turned.jpg", photo, {"exif": exif}),
        ("profile.jpg", photo, {"icc_profile": bytes(3000)}),
        ("restart.jpg", photo, {"restart_marker_blocks": 4, "subsampling": 0}),
        ("two.mpo", photo, {"save_all": True, "append_images": [photo]}),
        ("plain.png", photo, {}),
        ("clear.png", clear, {}),
        ("palette.png", palette, {}),
        ("deep.png", deep, {}),
        ("bits.png", photo.convert("1"), {}),
        ("exif.png", photo, {"exif": exif}),
        ("moving.png", photo, {"save_all": True, "append_images": [photo, photo]}),
        ("plain.gif", palette, {}),
        ("moving.gif", palette, {"save_all": True, "append_images": [palette]}),
        ("plain.bmp", photo, {}),
        ("palette.bmp", palette, {}),
        ("plain.dib", photo, {}),
        ("plain.tiff", photo, {}),
        *(
            (f"turned-{image.mode.lower().replace(';', '')}.tiff", image, {"exif": exif})
            for image in (photo, grey, palette, clear, photo.convert("CMYK"), deep)
        ),
        ("deep.tiff", deep, {}),
        ("float.tiff", grey.convert("F"), {}),
        ("cmyk.tiff", photo.convert("CMYK"), {}),
        ("lab.tiff", photo.convert("LAB"), {}),
        ("pages.tiff", photo, {"save_all": True, "append_images": [photo]}),
        *(
            (f"{kind}.tiff", photo, {"compression": kind})
            for kind in (
                "tiff_lzw",
                "tiff_adobe_deflate",
                "packbits",
                "jpeg",
                "zstd",
                "lzma",
                "webp",
            )
        ),
        ("group4.tiff", photo.convert("1"), {"compression": "group4"}),
        ("plain.webp", photo, {}),
        ("lossless.webp", clear, {"lossless": True}),
        ("moving.webp", photo, {"save_all": True, "append_images": [photo.rotate(9)]}),
        ("plain.jp2", photo, {}),
        ("stream.j2k", grey, {}),
        ("tiles.jp2", photo, {"tile_size": (32, 32)}),
        ("plain.avif", photo, {}),
        ("moving.avif", photo, {"save_all": True, "append_images": [photo]}),
        ("plain.heic", photo, {}),
        ("plain.jxl", photo, {}),
        ("lossless.jxl", photo, {"lossless": True}),
        ("plain.ppm", photo, {}),
        ("plain.pgm", grey, {}),
        ("plain.pbm", photo.convert("1"), {}),
        ("deep.pgm", deep, {}),
        ("float.pfm", grey.convert("F"), {}),
        ("plain.tga", photo, {}),
        ("packed.tga", clear, {"compression": "tga_rle"}),
        ("plain.ico", photo, {"sizes": [(32, 32), (48, 48)]}),
        ("bmp.ico", clear, {"bitmap_format": "bmp"}),
        ("plain.icns", photo, {}),
        ("plain.pcx", photo, {}),
        ("palette.pcx", palette, {}),
        ("plain.sgi", photo, {}),
        ("plain.dds", clear, {}),
        ("dxt.dds", clear, {"pixel_format": "DXT5"}),
        ("plain.blp", palette, {}),
        ("plain.msp", photo.convert("1"), {}),
        ("plain.im", photo, {}),
        ("plain.xbm", photo.convert("1"), {}),
        ("plain.spider", grey.convert("F"), {"format": "SPIDER"}),
        ("plain.eps", photo, {}),
        ("plain.qoi", photo, {}),
    ]
    if features.check_module("avif") is False:
        forms = [form for form in forms if not form[0].endswith(".avif")]
    for name, image, options in forms:
        suffix = name[name.index(".") :]
        kind = options.pop("format", None) or Image.registered_extensions().get(suffix)
        if kind not in Image.SAVE:
            continue
        stream = io.BytesIO()
        try:
            image.save(stream, kind, **options)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # this build of Pillow's libraries has not this form
        yield name, stream.getvalue()


def _written_by_hand(photo: Image.Image) -> dict[str, bytes]:
    """Kinds that Pillow reads but does not write."""
    width, height = photo.size
    pixels, grey = photo.tobytes(), photo.convert("L").tobytes()
    planes = b"".join(channel.tobytes() for channel in photo.split())
    psd = (
        struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, height, width, 8, 3)
        + bytes(12)
        + b"\0\0"
        + planes
    )
    sun = struct.pack(">8I", 0x59A66A95, width, height, 24, len(pixels), 1, 0, 0) + pixels
    cards = [
        ("SIMPLE", "T"),
        ("BITPIX", "8"),
        ("NAXIS", "2"),
        ("NAXIS1", width),
        ("NAXIS2", height),
    ]
    fits = "".join(f"{name:<8}= {value:>20}".ljust(80) for name, value in cards) + "END".ljust(80)
    icon = io.BytesIO()
    photo.resize((32, 32)).save(icon, "ICO", sizes=[(32, 32)], bitmap_format="bmp")
    cursor = icon.getvalue()[:2] + b"\2" + icon.getvalue()[3:]
    pcx = io.BytesIO()
    photo.save(pcx, "PCX")
    xpm = (
        '/* XPM */\nstatic char *x[] = {\n"4 2 2 1",\n"a c #ff0000",\n"b c #00ff00",\n'
        '"abab",\n"baba"\n};\n'
    )
    frame = struct.pack("<IHHHHI", 16 + 6 + 64 * 48, 0xF1FA, 1, 0, 0, 0) + struct.pack(
        "<IH", 6 + 64 * 48, 16
    )
    fli = struct.pack("<IHHHHHHI108x", 128 + len(frame) + 64 * 48, 0xAF11, 1, 64, 48, 8, 3, 5)
    return {
        "plain.psd": psd,
        "plain.ras": sun,
        "plain.fits": fits.ljust(2880).encode() + grey,
        "plain.cur": cursor,
        "plain.xpm": xpm.encode(),
        "plain.dcx": struct.pack("<III", 0x3ADE68B1, 12, 0) + pcx.getvalue(),
        "plain.fli": fli + frame + grey[: 64 * 48],
    }


def bombs(photo: Image.Image) -> dict[str, bytes]:
    """Small files of pictures that are huge, or say so, or that unpack to gigabytes."""
    files = {f"png-{w}x{h}.png": _png(w, h) for w, h in _HUGE}
    files |= {f"jpeg-{w}x{h}.jpg": _jpeg(photo, w, h) for w, h in ((65500, 65500), (30000, 12000))}
    files |= {f"gif-{w}x{h}.gif": _gif(photo, w, h) for w, h in ((65535, 65535), (20000, 20000))}
    files |= {
        f"bmp-{w}x{h}.bmp": _bmp(w, h)
        for w, h in ((2**31 - 1, 2**31 - 1), (40000, 40000), (1, 2**30))
    }
    files |= {
        f"ppm-{w}x{h}.ppm": b"P6 %d %d 255 " % (w, h) for w, h in ((10**9, 10**9), (20000, 20000))
    }
    files["text.png"] = _png(8, 8, [_chunk(b"zTXt", b"a\0\0" + _zeros(200 << 20))])
    files["texts.png"] = _png(8, 8, [_chunk(b"zTXt", b"a\0\0" + _zeros(900 << 10))] * 100)
    files["profile.png"] = _png(8, 8, [_chunk(b"iCCP", b"a\0\0" + _zeros(400 << 20))])
    files["pixels.png"] = _png(8, 8, pixels=_zeros(400 << 20))
    tall = Image.new("1", (1000, 92_000))
    for kind, name in (("PNG", "real.png"), ("TIFF", "real.tiff"), ("GIF", "real.gif")):
        if kind == "GIF":
            tall = tall.crop((0, 0, 1000, 60_000)).convert("P")
        stream = io.BytesIO()
        tall.save(stream, kind, **({"compression": "group4"} if kind == "TIFF" else {}))
        files[name] = stream.getvalue()
    return files


_HUGE = (
    (2**31 - 1, 2**31 - 1),
    (2**31 - 1, 1),
    (1, 2**31 - 1),
    (60000, 60000),
    (13000, 9000),
    (0, 0),
)


def _zeros(count: int) -> bytes:
    """So many zero bytes, compressed to a thousandth."""
    packer = zlib.compressobj(9)
    million = bytes(1 << 20)
    parts = [packer.compress(million) for _ in range(count >> 20)] + [
        packer.compress(bytes(count % (1 << 20)))
    ]
    return b"".join(parts) + packer.flush()


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(width: int, height: int, chunks: list[bytes] | None = None, pixels: bytes = b"") -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = pixels or zlib.compress(bytes((3 * min(width, 64) + 1) * min(height, 64)))
    body = b"".join(chunks or [])
    return b"\x89PNG\r\n\x1a\n" + header + body + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _jpeg(photo: Image.Image, width: int, height: int) -> bytes:
    stream = io.BytesIO()
    photo.resize(SIZE).save(stream, "JPEG")
    data = bytearray(stream.getvalue())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def _gif(photo: Image.Image, width: int, height: int) -> bytes:
    stream = io.BytesIO()
    photo.resize(SIZE).convert("P").save(stream, "GIF")
    data = bytearray(stream.getvalue())
    data[6:10] = struct.pack("<HH", width, height)
    at = data.index(b",", 13 + 768)
    data[at + 5 : at + 9] = struct.pack("<HH", width, height)
    return bytes(data)


def _bmp(width: int, height: int) -> bytes:
    return struct.pack(
        "<2sIIIIiiHHIIiiII", b"BM", 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0
    )
