package pixels_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/pixels"
)

// corpus is a folder of other people's files, not part of the project: DICOM files, and beside them in oracle/ what other software reads in them.
const corpus = "../../../shared/data/dicom"

// An oracle is what pydicom says of a file.
type oracle struct {
	TransferSyntax string `json:"transfer_syntax"`
	Image          struct {
		Rows, Columns, SamplesPerPixel, BitsAllocated int
		PixelRepresentation, PlanarConfiguration      int
		NumberOfFrames                                int
	}
	Pixel struct {
		Encapsulated bool
		FrameSHA256  []string `json:"frame_sha256"` // of the streams; of the frames where they are native
		SHA256       string   // of native Pixel Data
	}
	Decoded struct{ SHA256, By string }
}

func (o oracle) frame() pixels.Frame {
	i := o.Image
	return pixels.Frame{
		Rows: i.Rows, Columns: i.Columns, Samples: i.SamplesPerPixel, BitsAllocated: i.BitsAllocated,
		Signed: i.PixelRepresentation == 1, Planar: i.PlanarConfiguration == 1,
	}
}

func readOracle(t *testing.T, path string) oracle {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var o oracle
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	// Python writes numbers that JSON does not have. None of them matters here.
	text = []byte(strings.NewReplacer("-Infinity", "0", "Infinity", "0", "NaN", "0").Replace(string(text)))
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return o
}

func needCorpus(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(corpus); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("the folder of real files is not there, but CI must have it")
		}
		t.Skip("the folder of real files is not there")
	}
}

// streams returns the frames of a file with encapsulated Pixel Data (PS3.5 A.4), in explicit VR little endian. Fragments belong to a frame until
// their hash is the oracle's.
func streams(t *testing.T, path string, o oracle) [][]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := max(bytes.LastIndex(data, []byte("\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff")),
		bytes.LastIndex(data, []byte("\xe0\x7f\x10\x00OW\x00\x00\xff\xff\xff\xff")))
	if at < 0 {
		t.Fatal("no encapsulated Pixel Data")
	}
	data = data[at+12:]
	var all [][]byte
	var pending []byte
	for item := 0; len(data) >= 8 && binary.LittleEndian.Uint32(data) == 0xe000fffe; item++ {
		length := binary.LittleEndian.Uint32(data[4:])
		if item > 0 { // after the offset table
			pending = append(pending, data[8:8+length]...)
		}
		data = data[8+length:]
		if len(all) < len(o.Pixel.FrameSHA256) && len(pending) > 0 && hash(pending) == o.Pixel.FrameSHA256[len(all)] {
			all = append(all, pending)
			pending = nil
		}
	}
	if len(all) != len(o.Pixel.FrameSHA256) {
		t.Fatalf("%d of %d frames", len(all), len(o.Pixel.FrameSHA256))
	}
	return all
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// TestCorpus decodes the frames of real files and compares them with what pydicom makes of them.
func TestCorpus(t *testing.T) {
	needCorpus(t)
	oracles := filepath.Join(corpus, "oracle")
	err := filepath.WalkDir(oracles, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name := strings.TrimSuffix(strings.TrimPrefix(path, oracles+string(filepath.Separator)), ".json.gz")
		o := readOracle(t, path)
		if o.Pixel.Encapsulated && (pixels.Lossless(o.TransferSyntax) || o.TransferSyntax == jpegLSNear) {
			t.Run(name, func(t *testing.T) { checkFile(t, filepath.Join(corpus, name), o) })
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkFile(t *testing.T, path string, o oracle) {
	var all, frame []byte
	for i, stream := range streams(t, path, o) {
		var err error
		if frame, err = pixels.Decode(o.TransferSyntax, o.frame(), stream, frame); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		all = append(all, frame...)
	}
	if strings.HasSuffix(path, "CT0012.fragmented_no_bot_jpeg_ls.80.dcm") {
		return // pydicom's plug-in gave other pixels than the native file has, which dcmtk and this package give: TestCorpusTwins
	}
	if o.Decoded.SHA256 == "" {
		t.Logf("%d bytes, with which nothing can be compared", len(all))
	} else if hash(all) != o.Decoded.SHA256 {
		t.Errorf("%d bytes are not what %s gives", len(all), o.Decoded.By)
	}
}

// TestCorpusTwins checks that encodings of one image decode to the bytes that its native file has, frame for frame.
func TestCorpusTwins(t *testing.T) {
	needCorpus(t)
	for twin, native := range map[string]string{
		"ts/CT0012.fragmented_no_bot_jpeg_lossless.57": "multiframe/5",
		"ts/CT0012.fragmented_no_bot_jpeg_ls.80":       "multiframe/5",
		"ts/CT0012.not_fragmented_bot_rle":             "multiframe/5",
		"multiframe/emri_small_RLE":                    "multiframe/emri_small",
		"study/highdicom_sm/sm_image_jpegls":           "study/highdicom_sm/sm_image",
		"study/highdicom_sm/sm_image_jpegls_nobot":     "study/highdicom_sm/sm_image",
		"ts/MR_small_RLE":                              "ts/MR_small",
		"ts/MR_small_jpeg_ls_lossless":                 "ts/MR_small",
	} {
		o := readOracle(t, filepath.Join(corpus, "oracle", twin+".dcm.json.gz"))
		n := readOracle(t, filepath.Join(corpus, "oracle", native+".dcm.json.gz"))
		want := n.Pixel.FrameSHA256
		if n.Image.NumberOfFrames <= 1 {
			want = []string{n.Pixel.SHA256}
		}
		for i, stream := range streams(t, filepath.Join(corpus, twin+".dcm"), o) {
			frame, err := pixels.Decode(o.TransferSyntax, o.frame(), stream, nil)
			if err != nil || i >= len(want) || hash(frame) != want[i] {
				t.Errorf("%s: frame %d is not that of %s: %v", twin, i, native, err)
			}
		}
	}
}
