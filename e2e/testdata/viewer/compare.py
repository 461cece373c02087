"""Holds what was on a viewer's screen against what pydicom makes of the files.   compare.py SEEN FILE...

SEEN has a line of JSON for each image: its SOP Instance UID, the number of its frame, and its pixels.
"""
import base64
import json
import sys

import numpy
import pydicom
from pydicom.pixel_data_handlers.util import apply_modality_lut


def first(value):
    return float(value[0] if isinstance(value, pydicom.multival.MultiValue) else value)


def picture(ds, frame):
    """What PS3.3 C.11.2.1.2 and C.7.6.3.1.2 say is to be seen, 8 bits a channel."""
    pixels = ds.pixel_array
    if int(ds.get("NumberOfFrames", 1) or 1) > 1:
        pixels = pixels[frame - 1]
    if ds.SamplesPerPixel == 3:
        return pixels.astype(int)
    center, width = first(ds.WindowCenter), first(ds.WindowWidth)
    y = (apply_modality_lut(pixels, ds).astype(float) - (center - 0.5)) / (width - 1) + 0.5
    gray = numpy.floor(numpy.clip(y, 0, 1) * 255 + 0.5).astype(int)
    return numpy.stack([gray] * 3, axis=-1)


def main(seen, files):
    instances = {}
    for f in files:
        ds = pydicom.dcmread(f)
        instances[str(ds.SOPInstanceUID)] = ds
    faults, pictures, shades = [], set(), 0
    with open(seen) as lines:
        for line in lines:
            s = json.loads(line)
            ds = instances[s["sop"]]
            if s["canvasWidth"] != ds.Columns or s["canvasHeight"] != ds.Rows:
                faults.append("an image of another size")
                continue
            got = numpy.frombuffer(base64.b64decode(s["rgb"]), numpy.uint8).reshape(ds.Rows, ds.Columns, 3).astype(int)
            want = picture(ds, s["frame"])
            if abs(got - want).max() > 1:
                faults.append(f"frame {s['frame']} of an instance differs by up to {abs(got - want).max()}")
            pictures.add((s["sop"], s["frame"]))
            shades = max(shades, len(numpy.unique(got)))
    if shades < 30:
        faults.append("nothing much was to be seen")
    print(f"{len(pictures)} pictures are those of pydicom")
    for f in faults[:10]:
        print(f)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
