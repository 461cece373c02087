package part10

import (
	"maps"
	"slices"
	"testing"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/phantom"
)

// sameInstance is a SOP Instance UID that occurs several times in the corpus: each group is files that differ in encoding alone, and between groups
// there is a difference that a conflict is about.
var sameInstance = []struct {
	groups [][]string
	differ string
}{
	{[][]string{
		{"colour/MR_small_padded.dcm", "ts/MR_small.dcm", "ts/MR_small_RLE.dcm", "ts/MR_small_bigendian.dcm", "ts/MR_small_implicit.dcm", "ts/MR_small_jpeg_ls_lossless.dcm"},
		{"ts/MR_small_jp2klossless.dcm"},
	}, "JPEG 2000 frames are named by their streams in format version 1"},
	{[][]string{
		{"multiframe/5.dcm", "ts/CT0012.fragmented_no_bot_jpeg_ls.80.dcm", "ts/CT0012.not_fragmented_bot_rle.dcm"},
		{"ts/CT0012.fragmented_no_bot_jpeg_lossless.57.dcm"},
	}, "Derivation Description and Code Sequence were added, though the pixels are the same"},
	{[][]string{{"multiframe/emri_small.dcm", "multiframe/emri_small_RLE.dcm"}, {"multiframe/emri_small_jpeg_2k_lossless.dcm"}}, "JPEG 2000, as above"},
	{[][]string{{
		"study/same_uid_rewritten/CTImage.dcm_DeflatedExplicitVR__nsferSyntax_1.2.840.10008.1.2.1.99.dcm",
		"study/same_uid_rewritten/CTImage.dcm_RLELosslessTransferSyntax_1.2.840.10008.1.2.5.dcm",
	}}, ""},
	{[][]string{{"objects/rtdose.dcm", "objects/rtdose_rle.dcm"}}, ""},
	{[][]string{{"colour/SC_rgb_rle_32bit_2frame.dcm"}, {"ts/SC_rgb_jpeg_gdcm.dcm"}}, "32 bits and two frames, 8 bits and one"},
	{[][]string{{"ts/JPEG2000-embedded-sequence-delimiter.dcm"}, {"ts/JPEG2000.dcm"}}, "four bytes of the stream"},
	{[][]string{{"objects/reportsi.dcm"}, {"objects/reportsi_with_empty_number_tags.dcm"}}, "empty attributes were added"},
	{[][]string{{"study/highdicom_sm/sm_image.dcm"}, {"study/highdicom_sm/sm_image_control.dcm"}}, "other pixels"},
	{[][]string{{"study/rt_phantom/invalid_reference_rt.dcm"}, {"study/rt_phantom/non_existent_reference_rt.dcm"}}, "other references"},
}

// TestCorpusContent tells encodings of one instance, which have equal content, from conflicts, which do not.
func TestCorpusContent(t *testing.T) {
	instances := map[dedup.UID]map[dedup.Hash][]string{}
	for _, f := range sound(t) {
		p, _ := taken(t, f.data)
		if p.SOP == (dedup.UID{}) {
			continue
		}
		if instances[p.SOP] == nil {
			instances[p.SOP] = map[dedup.Hash][]string{}
		}
		instances[p.SOP][p.Content] = append(instances[p.SOP][p.Content], f.name)
	}
	var several [][][]string
	for _, contents := range instances {
		groups := slices.Collect(maps.Values(contents))
		if len(groups) > 1 || len(groups[0]) > 1 {
			several = append(several, groups)
		}
	}
	if len(several) != len(sameInstance) {
		t.Errorf("%d instances occur several times, want %d: %q", len(several), len(sameInstance), several)
	}
	for _, want := range sameInstance {
		for _, groups := range several {
			if !slices.ContainsFunc(groups, func(g []string) bool { return slices.Contains(g, want.groups[0][0]) }) {
				continue
			}
			for _, g := range groups {
				slices.Sort(g)
			}
			slices.SortFunc(groups, func(a, b []string) int { return slices.Compare(a, b) })
			if !slices.EqualFunc(groups, want.groups, slices.Equal) {
				t.Errorf("of one content are %q, want %q", groups, want.groups)
			}
		}
	}
}

// TestPhantomContent holds that twins have equal content and equal frames, rivals not.
func TestPhantomContent(t *testing.T) {
	contents, frames := map[string]dedup.Hash{}, map[string][]dedup.Hash{}
	cases := phantom.Cases()
	for _, c := range cases {
		p, m := taken(t, c.Bytes())
		contents[c.Name] = p.Content
		merged, _ := m.merged(p)
		for _, tag := range []dedup.Tag{tagPixelData, tagFloatPixels, tagDoublePixels} {
			e, ok := merged.Find(tag)
			if !ok {
				continue
			}
			a, err := e.Attribute()
			if err != nil {
				t.Fatal(err)
			}
			frames[c.Name] = a.Fragments
		}
	}
	for _, c := range cases {
		if c.Twin != "" && (contents[c.Name] != contents[c.Twin] || !slices.Equal(frames[c.Name], frames[c.Twin])) {
			t.Errorf("%s is %s in another encoding, and has other content", c.Name, c.Twin)
		}
		if c.Rival != "" && contents[c.Name] == contents[c.Rival] {
			t.Errorf("%s differs from %s, and has equal content", c.Name, c.Rival)
		}
		if c.Lossless() && c.Name != "frames/frame-twice" && c.Name != "pixels/too-long" { // has its first frame three times; is kept as one fragment
			if len(frames[c.Name]) != len(c.Frames) {
				t.Errorf("%s: %d frames, want %d", c.Name, len(frames[c.Name]), len(c.Frames))
				continue
			}
			for i, native := range c.Frames {
				if frames[c.Name][i].String() != sumOf(native) {
					t.Errorf("%s: frame %d is not named by its pixels", c.Name, i+1)
				}
			}
		}
	}
}
