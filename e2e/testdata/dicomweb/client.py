"""A DICOMweb client of pydicom's making, which shares nothing with dicomesh.

  client.py store URL FILE...   posts the files of each folder in one request; every instance has to be answered as stored
  client.py check URL FILE...   asks for all of it again, at every level, and compares with what pydicom reads of the files
"""
import collections
import email.parser
import email.policy
import hashlib
import io
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
import warnings

import numpy
import PIL.Image
import pydicom
from pydicom.pixel_data_handlers.util import apply_modality_lut

warnings.simplefilter("ignore")
faults = []


def fault(*words):
    faults.append(" ".join(str(w) for w in words))


def ask(url, accept, data=None, content=None):
    request = urllib.request.Request(url, data=data, headers={"Accept": accept})
    if content:
        request.add_header("Content-Type", content)
    try:
        with urllib.request.urlopen(request) as r:
            return r.status, r.headers, r.read()
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read()


def rows(url):
    status, _, body = ask(url, "application/dicom+json")
    if status == 204:
        return []
    if status != 200:
        fault(url, status, body[:200])
        return []
    return json.loads(body)


def parts(url, accept):
    status, headers, body = ask(url, accept)
    if status != 200:
        fault(url, status, body[:200])
        return []
    head = b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n"
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head)  # only for the boundary
    boundary = b"--" + message.get_boundary().encode()
    out = []
    at = body.index(boundary)
    while not body.startswith(boundary + b"--", at):
        start = body.index(b"\r\n\r\n", at) + 4
        fields = email.parser.BytesParser().parsebytes(body[at + len(boundary) + 2:start])
        size = int(fields["Content-Length"])
        out.append(body[start:start + size])
        if body[start + size:start + size + 2] != b"\r\n":
            fault(url, "a part is not as long as it says")
        at = start + size + 2
        if not body.startswith(boundary, at):
            fault(url, "no boundary behind a part")
            break
    return out


def store(base, files):
    folders = collections.defaultdict(list)
    for f in files:
        folders[os.path.dirname(f)].append(f)
    for group in folders.values():
        boundary = "dicomesh-e2e"
        body, sops = b"", []
        for f in group:
            with open(f, "rb") as h:
                data = h.read()
            sops.append(str(pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True).SOPInstanceUID))
            body += b"--%s\r\nContent-Type: application/dicom\r\n\r\n%s\r\n" % (boundary.encode(), data)
        body += b"--%s--\r\n" % boundary.encode()
        status, _, text = ask(base + "/studies", "application/dicom+json", body, 'multipart/related; type="application/dicom"; boundary=' + boundary)
        if status != 200:
            fault("store", status, text[:300])
            continue
        answer = pydicom.Dataset.from_json(json.loads(text))
        told = [str(i.ReferencedSOPInstanceUID) for i in answer.ReferencedSOPSequence]
        if sorted(told) != sorted(sops) or "FailedSOPSequence" in answer:
            fault("store: other instances are answered than were sent")
        for i in answer.ReferencedSOPSequence:
            if not i.ReferencedSOPClassUID or not str(i.RetrieveURL).endswith(str(i.ReferencedSOPInstanceUID)):
                fault("store: an answer without its class or URL")


class Study:
    def __init__(self):
        self.series = collections.defaultdict(dict)
        self.first = None


def read(files):
    studies, contents = collections.defaultdict(Study), collections.defaultdict(set)
    for f in files:
        with open(f, "rb") as h:
            data = h.read()
        ds = pydicom.dcmread(io.BytesIO(data))
        contents[str(ds.SOPInstanceUID)].add(hashlib.sha256(data).hexdigest())
        s = studies[str(ds.StudyInstanceUID)]
        s.series[str(ds.SeriesInstanceUID)][str(ds.SOPInstanceUID)] = ds
    return studies, contents


def value(row, tag):
    return row.get(tag, {}).get("Value", [])


def check_search(base, studies):
    found = {value(r, "0020000D")[0]: r for r in rows(base + "/studies")}
    if set(found) != set(studies):
        fault("studies:", set(found) ^ set(studies))
    for uid, s in studies.items():
        row = found.get(uid, {})
        if value(row, "00201206") != [len(s.series)] or value(row, "00201208") != [sum(len(i) for i in s.series.values())]:
            fault(uid, "counts", value(row, "00201206"), value(row, "00201208"))
        modalities = sorted({str(d.Modality) for i in s.series.values() for d in i.values() if d.get("Modality")})
        if value(row, "00080061") != modalities:
            fault(uid, "ModalitiesInStudy", value(row, "00080061"))
        series = {value(r, "0020000E")[0] for r in rows(base + "/studies/" + uid + "/series")}
        if series != set(s.series):
            fault(uid, "series")
        for e, instances in s.series.items():
            got = {value(r, "00080018")[0] for r in rows(f"{base}/studies/{uid}/series/{e}/instances")}
            if got != set(instances):
                fault(uid, "instances")
    check_matching(base, studies)


def one(s):
    """An instance of the study."""
    return next(iter(next(iter(s.series.values())).values()))


def check_matching(base, studies):
    def ask_for(query, want):
        got = {value(r, "0020000D")[0] for r in rows(base + "/studies?" + query)}
        if got != want:
            fault("studies?" + query, "finds", len(got), "and not", len(want))

    def those(test):
        return {u for u, s in studies.items() if test(s)}

    def every(s, keyword):
        return {str(d.get(keyword, "") or "") for i in s.series.values() for d in i.values()}

    for s in studies.values():
        d = one(s)
        same = all(len(every(s, k)) == 1 for k in ("PatientID", "PatientName", "StudyDate"))
        if not same:
            continue
        if d.get("PatientID"):
            ask_for("PatientID=" + urllib.parse.quote(str(d.PatientID)), those(lambda x: str(one(x).get("PatientID", "")).strip() == str(d.PatientID).strip()))
        if d.get("StudyDate"):
            ask_for("StudyDate=" + d.StudyDate, those(lambda x: one(x).get("StudyDate") == d.StudyDate))
            ask_for("StudyDate=-" + d.StudyDate, those(lambda x: (one(x).get("StudyDate") or "9") <= d.StudyDate))
        if d.get("PatientName"):
            start = str(d.PatientName)[:3]
            ask_for("PatientName=" + urllib.parse.quote(start.swapcase() + "*"), those(lambda x: str(one(x).get("PatientName", "")).lower().startswith(start.lower())))
    for m in ("CT", "MR", "SM"):
        ask_for("ModalitiesInStudy=" + m, those(lambda x: any(str(d.get("Modality", "")) == m for i in x.series.values() for d in i.values())))


SIMPLE = ("AE", "AS", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "SH", "SL", "SS", "TM", "UI", "UL", "US", "PN")


def plain(e):
    return plainly(e.value, e.VR)


def plainly(v, vr):
    if isinstance(v, (list, pydicom.multival.MultiValue)):
        return [plainly(x, vr) for x in v]
    if isinstance(v, (float, int)) and not isinstance(v, bool):
        return float(numpy.float32(v)) if vr == "FL" else float(v)
    return str(v).strip() if v is not None else ""


def check_metadata(base, uid, s, alone):
    compared = 0
    for row in rows(f"{base}/studies/{uid}/metadata"):
        got = pydicom.Dataset.from_json(row, bulk_data_uri_handler=lambda tag, vr, uri: None)
        sop = str(got.SOPInstanceUID)
        if sop not in alone:
            continue
        want = s.series[str(got.SeriesInstanceUID)][sop]
        for e in want:
            if e.VR not in SIMPLE or e.tag.is_private or e.tag.element == 0:
                continue
            compared += 1
            if e.tag not in got or plain(got[e.tag]) != plain(e) and not (e.is_empty and got[e.tag].is_empty):
                if e.tag != 0x00083002:  # that of the frames, which is ours to say
                    fault(sop, e.tag, e.VR, "differs")
    return compared


def check_files(base, uid, s, contents):
    got = {hashlib.sha256(p).hexdigest() for p in parts(f"{base}/studies/{uid}", 'multipart/related; type="application/dicom"; transfer-syntax=*')}
    sops = [sop for i in s.series.values() for sop in i]
    if len(got) != len(sops) or not all(got & contents[sop] for sop in sops):
        fault(uid, "its files are not those that were sent")


def check_pixels(base, uid, s, alone):
    pictures = 0
    for e, instances in s.series.items():
        for sop, ds in list(instances.items())[:2]:
            where = f"{base}/studies/{uid}/series/{e}/instances/{sop}"
            if sop not in alone or "PixelData" not in ds or ds.BitsAllocated == 1 or ds.file_meta.TransferSyntaxUID.is_compressed or ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.2":
                continue
            n = int(ds.get("NumberOfFrames", 1) or 1)
            size = ds.Rows * ds.Columns * ds.SamplesPerPixel * ds.BitsAllocated // 8
            numbers = sorted({1, n, (n + 1) // 2})
            frames = parts(f"{where}/frames/{','.join(map(str, numbers))}", 'multipart/related; type="application/octet-stream"')
            if frames != [ds.PixelData[(k - 1) * size:k * size] for k in numbers]:
                fault(sop, "frames differ")
            pictures += check_picture(where, ds)
    return pictures


def check_picture(where, ds):
    """The picture has to be that of PS3.3 C.11.2.1.2, computed here of pydicom's values."""
    if ds.SamplesPerPixel != 1 or ds.get("NumberOfFrames", 1) not in (None, 1) or ds.PhotometricInterpretation != "MONOCHROME2":
        return 0
    center, width = 40.0, 400.0
    status, _, body = ask(f"{where}/rendered?window={center:g},{width:g}", "image/png")
    if status != 200:
        fault(where[-20:], "rendered:", status, body[:100])
        return 0
    seen = numpy.asarray(PIL.Image.open(io.BytesIO(body))).astype(int)
    y = (apply_modality_lut(ds.pixel_array, ds).astype(float) - (center - 0.5)) / (width - 1) + 0.5
    want = numpy.floor(numpy.clip(y, 0, 1) * 255 + 0.5).astype(int)
    if seen.shape != want.shape or abs(seen - want).max() > 1:
        fault(where[-20:], "the picture is another")
    return 1


def check_album(base, uid, s, alone):
    """The pictures of a series are those of its instances: each part is what is at its Content-Location, and as large as pydicom says."""
    pictures = 0
    for e, instances in s.series.items():
        if not all(sop in alone and "PixelData" in ds and not ds.file_meta.TransferSyntaxUID.is_compressed for sop, ds in instances.items()) or len(instances) > 60:
            continue
        where = f"{base}/studies/{uid}/series/{e}"
        got = parts(f"{where}/rendered?quality=100", 'multipart/related; type="image/jpeg"')
        want = collections.Counter((int(ds.Columns), int(ds.Rows)) for ds in instances.values())
        if collections.Counter(PIL.Image.open(io.BytesIO(p)).size for p in got) != want:
            fault(uid, "the pictures of a series are others than its instances:", len(got), "of", len(instances))
        pictures += len(got)
        status, headers, _ = ask(f"{where}/rendered", "image/jpeg")
        if status != 406:
            fault(uid, "several pictures as one:", status, headers["Content-Type"])
    return pictures


def check(base, files):
    studies, contents = read(files)
    alone = {sop for sop, c in contents.items() if len(c) == 1}
    check_search(base, studies)
    compared = pictures = album = 0
    for uid, s in studies.items():
        compared += check_metadata(base, uid, s, alone)
        check_files(base, uid, s, contents)
        pictures += check_pixels(base, uid, s, alone)
        album += check_album(base, uid, s, alone)
    print(f"{len(studies)} studies, {len(contents)} instances, {compared} values, {pictures} pictures, {album} of whole series")
    if compared < 1000 or pictures < 5 or album < 5:
        fault("too little was compared")


if __name__ == "__main__":
    {"store": store, "check": check}[sys.argv[1]](sys.argv[2], sys.argv[3:])
    for f in faults[:20]:
        print(f)
    sys.exit(1 if faults else 0)
