"""Judge of thumbnails: reads lines of name, DICOM file and JPEG file; prints each name with the mean difference between the JPEG and the middle frame as
pydicom and numpy show it, or with the reason why they cannot."""
import shutil
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import pydicom
from PIL import Image
from pydicom.pixel_data_handlers.util import apply_color_lut, apply_modality_lut, apply_voi_lut, convert_color_space

warnings.simplefilter("ignore")


def shown(ds):
    """The middle frame in 8 bits, as a screen shows it."""
    frames = int(ds.get("NumberOfFrames", 1) or 1)
    pixels = ds.pixel_array
    frame = pixels[frames // 2] if frames > 1 else pixels
    photometric = ds.PhotometricInterpretation
    if photometric == "PALETTE COLOR":
        out = apply_color_lut(frame, ds)
        return (out >> 8 if out.max() > 255 else out).astype(float)
    if ds.SamplesPerPixel == 3:
        if photometric.startswith("YBR_FULL"):
            frame = convert_color_space(frame, photometric, "RGB")
        return frame.astype(float) / (256 ** (frame.dtype.itemsize - 1))
    item = window_item(ds, frames // 2)
    values = transform(ds, frame, frames // 2)
    if "VOILUTSequence" in item and item.VOILUTSequence:
        bits = item.VOILUTSequence[0].LUTDescriptor[2]
        out = apply_voi_lut(values.astype(int), item).astype(float) / (2**bits - 1) * 255
    elif item.get("WindowCenter") is not None and item.get("WindowWidth") not in (None, ""):
        out = window(item, values)
    else:
        low, high = float(values.min()), float(values.max())
        out = (values - low) / (high - low) * 255 if high > low else values * 0.0
    return 255 - out if photometric == "MONOCHROME1" else out


def group(ds, sequence, frame):
    """The item of a functional group that counts for a frame."""
    for where, n in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        items = ds.get(where) or []
        if n < len(items) and sequence in items[n] and items[n][sequence].value:
            return items[n][sequence].value[0]
    return None


def window_item(ds, frame):
    return group(ds, "FrameVOILUTSequence", frame) or ds


def transform(ds, frame, n):
    item = group(ds, "PixelValueTransformationSequence", n)
    if item is not None:
        return frame.astype(float) * float(item.RescaleSlope) + float(item.RescaleIntercept)
    return apply_modality_lut(frame, ds).astype(float)


def first(value):
    return float(value[0] if isinstance(value, pydicom.multival.MultiValue) else value)


def window(item, values):
    center, width = first(item.WindowCenter), first(item.WindowWidth)
    function = item.get("VOILUTFunction", "LINEAR")
    if function == "SIGMOID":
        return 255 / (1 + np.exp(-4 * (values - center) / width))
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0, 1) * 255
    return np.clip((values - (center - 0.5)) / max(width - 1, 1e-9) + 0.5, 0, 1) * 255


def shrink(pixels, width, height):
    times = width // pixels.shape[1]
    if times > 1:
        pixels = pixels.repeat(times, axis=0).repeat(times, axis=1)
    ys = [y * pixels.shape[0] // height for y in range(height + 1)]
    xs = [x * pixels.shape[1] // width for x in range(width + 1)]
    rows = np.add.reduceat(pixels, ys[:-1], axis=0)
    both = np.add.reduceat(rows, xs[:-1], axis=1)
    area = np.outer(np.diff(ys), np.diff(xs))
    return both / (area if pixels.ndim == 2 else area[:, :, None])


def read(path):
    """The dataset with pixels that can be had: what pydicom cannot decode dcmtk (if it is there) decodes to a native file first."""
    ds = pydicom.dcmread(path, force=True)
    try:
        ds.pixel_array
        return ds
    except Exception as error:
        for tool in ("dcmdjpeg", "dcmdjpls"):
            if not shutil.which(tool):
                continue
            with tempfile.NamedTemporaryFile(suffix=".dcm") as out:
                if subprocess.run([tool, path, out.name], capture_output=True).returncode == 0:
                    ds = pydicom.dcmread(out.name, force=True)
                    try:
                        ds.pixel_array
                        return ds
                    except Exception:
                        pass
        raise error


for line in sys.stdin:
    name, dicom, jpeg = line.rstrip("\n").split("\t")
    try:
        picture = np.asarray(Image.open(jpeg), dtype=float)
        ours = shrink(shown(read(dicom)), picture.shape[1], picture.shape[0])
        if picture.ndim == 2 and ours.ndim == 3:
            ours = ours.mean(axis=2)
        print(f"{name}\t{np.abs(ours - picture).mean():.2f}")
    except Exception as error:
        print(f"{name}\t{type(error).__name__} {str(error)[:60]!r}")
