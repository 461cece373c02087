package regen_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"testing"

	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/regen"
)

const (
	queriedStudy = "2.25.1001"
	ctClass      = "1.2.840.10008.5.1.4.1.1.2"
	scClass      = "1.2.840.10008.5.1.4.1.1.7"
)

// queried is instance n of series s of a study in which every attribute of PS3.18 tables 10.6.3-3 to -5 can be told apart.
func queried(s, n int) []byte {
	modality, class := []string{"CT", "OT", "CT"}[s], []string{ctClass, scClass, ctClass}[s]
	e := []phantom.Element{
		phantom.Text(0x00080005, "CS", "ISO_IR 100"), phantom.Text(0x00080016, "UI", class), phantom.Text(0x00080018, "UI", fmt.Sprintf("2.25.%d.%d", s+1, n+1)),
		phantom.Text(0x00080020, "DA", "20240102"), phantom.Text(0x00080030, "TM", "030405"), phantom.Text(0x00080050, "SH", "ACC1"), phantom.Text(0x00080060, "CS", modality),
		phantom.Raw(0x00080090, "PN", []byte("M\xfcller^Eva")), phantom.Text(0x00080201, "SH", "+0100"), phantom.Text(0x0008103E, "LO", fmt.Sprintf("series %d", s)),
		phantom.Raw(0x00100010, "PN", []byte("D\xf6e^Jane ")), phantom.Text(0x00100020, "LO", "ID1"), phantom.Text(0x00100030, "DA", "19700101"), phantom.Text(0x00100040, "CS", "F"),
		phantom.Text(0x0020000D, "UI", queriedStudy), phantom.Text(0x0020000E, "UI", fmt.Sprintf("2.25.%d", s+1)),
		phantom.Text(0x00200010, "SH", "S1"), phantom.Text(0x00200011, "IS", fmt.Sprint(s+10)), phantom.Text(0x00200013, "IS", fmt.Sprint(n+20)),
		phantom.Numbers(0x00280002, "US", uint16(1)), phantom.Text(0x00280004, "CS", "MONOCHROME2"), phantom.Text(0x00280008, "IS", "2"),
		phantom.Numbers(0x00280010, "US", uint16(4)), phantom.Numbers(0x00280011, "US", uint16(6)), phantom.Numbers(0x00280100, "US", uint16(8)),
		phantom.Text(0x00400244, "DA", "20240103"), phantom.Text(0x00400245, "TM", "0607"),
		phantom.Sequence(0x00400275, phantom.Item{Elements: []phantom.Element{phantom.Text(0x00400009, "SH", "SPS1"), phantom.Text(0x00401001, "SH", "RP1")}}),
		phantom.Raw(0x7FE00010, "OB", make([]byte, 48)),
	}
	return phantom.File{Syntax: phantom.Syntax{UID: "1.2.840.10008.1.2.1"}, Elements: e}.Bytes()
}

// Every attribute that PS3.18 asks for in an answer is there, one by one, with relative URLs, and whatever the order in which the instances came.
func TestQueryAttributes(t *testing.T) {
	var files [][]byte
	for s, count := range []int{3, 1, 2} {
		for n := range count {
			files = append(files, queried(s, n))
		}
	}
	pn := func(s string) string { return `{"vr":"PN","Value":[{"Alphabetic":"` + s + `"}]}` }
	v := func(vr, s string) string { return `{"vr":"` + vr + `","Value":[` + s + `]}` }
	study := map[string]string{ // table 10.6.3-3
		"00080005": v("CS", `"ISO_IR 192"`), "00080020": v("DA", `"20240102"`), "00080030": v("TM", `"030405"`), "00080050": v("SH", `"ACC1"`), "00080056": v("CS", `"ONLINE"`),
		"00080061": v("CS", `"CT","OT"`), "00080062": v("UI", `"`+ctClass+`","`+scClass+`"`), "00080090": pn("Müller^Eva"), "00080201": v("SH", `"+0100"`),
		"00081190": v("UR", `"studies/`+queriedStudy+`"`), "00100010": pn("Döe^Jane"), "00100020": v("LO", `"ID1"`), "00100030": v("DA", `"19700101"`), "00100040": v("CS", `"F"`),
		"0020000D": v("UI", `"`+queriedStudy+`"`), "00200010": v("SH", `"S1"`), "00201206": v("IS", "3"), "00201208": v("IS", "6"),
	}
	series := map[string]string{ // table 10.6.3-4
		"00080005": v("CS", `"ISO_IR 192"`), "00080060": v("CS", `"OT"`), "00080201": v("SH", `"+0100"`), "0008103E": v("LO", `"series 1"`), "00081190": v("UR", `"series/2.25.2"`),
		"0020000D": v("UI", `"`+queriedStudy+`"`), "0020000E": v("UI", `"2.25.2"`), "00200011": v("IS", "11"), "00201209": v("IS", "1"),
		"00400244": v("DA", `"20240103"`), "00400245": v("TM", `"0607"`), "00400275": v("SQ", `{"00400009":{"Value":["SPS1"],"vr":"SH"},"00401001":{"Value":["RP1"],"vr":"SH"}}`),
	}
	instance := map[string]string{ // table 10.6.3-5
		"00080005": v("CS", `"ISO_IR 192"`), "00080016": v("UI", `"`+ctClass+`"`), "00080018": v("UI", `"2.25.1.2"`), "00080056": v("CS", `"ONLINE"`), "00080201": v("SH", `"+0100"`),
		"00081190": v("UR", `"instances/2.25.1.2"`), "0020000D": v("UI", `"`+queriedStudy+`"`), "0020000E": v("UI", `"2.25.1"`), "00200013": v("IS", "21"),
		"00280008": v("IS", "2"), "00280010": v("US", "4"), "00280011": v("US", "6"), "00280100": v("US", "8"),
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		random.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
		archive, current := crashfs.New(), crashfs.New()
		for _, f := range files {
			put(t, archive, f)
		}
		round(t, regen.New(regen.Config{Archive: archive, Current: current, NoThumbnails: true}), uidOf(t, queriedStudy), noon())
		got := contents(t, current)
		checkRow(t, got, "studies/"+queriedStudy+"/studies.gz", 0, study)
		checkRow(t, got, "studies/"+queriedStudy+"/series.gz", 1, series)
		checkRow(t, got, "studies/"+queriedStudy+"/series/2.25.1/instances.gz", 1, instance)
	}
}

// checkRow compares attributes of one answer of a file.
func checkRow(t *testing.T, files map[string]string, name string, n int, want map[string]string) {
	t.Helper()
	var rows []map[string]json.RawMessage
	must(t, json.Unmarshal([]byte(files[name]), &rows))
	for _, tag := range names(want) {
		var a, b any
		if raw, has := rows[n][tag]; !has {
			t.Errorf("%s: no %s", path.Base(name), tag)
			continue
		} else if err := json.Unmarshal(raw, &a); err != nil {
			t.Errorf("%s: %s: %v", path.Base(name), tag, err)
		}
		must(t, json.Unmarshal([]byte(want[tag]), &b))
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%s: %s is %s, want %s", path.Base(name), tag, rows[n][tag], want[tag])
		}
	}
}

// What is required and nobody has is there without a value (type 2 in the tables).
func TestQueryAttributesOfABareFile(t *testing.T) {
	file := phantom.File{Syntax: phantom.Syntax{UID: "1.2.840.10008.1.2.1"}, Elements: []phantom.Element{
		phantom.Text(0x00080018, "UI", "2.25.1.1"), phantom.Text(0x0020000D, "UI", queriedStudy), phantom.Text(0x0020000E, "UI", "2.25.1")}}
	archive, current := crashfs.New(), crashfs.New()
	put(t, archive, file.Bytes())
	round(t, regen.New(regen.Config{Archive: archive, Current: current}), uidOf(t, queriedStudy), noon())
	got := contents(t, current)
	empty := func(vrs string) map[string]string {
		out := map[string]string{}
		for _, e := range slices.Collect(slices.Chunk([]byte(vrs), 11)) {
			out[string(e[:8])] = `{"vr":"` + string(e[8:10]) + `"}`
		}
		return out
	}
	checkRow(t, got, "studies/"+queriedStudy+"/studies.gz", 0, empty("00080020DA 00080030TM 00080050SH 00080090PN 00100010PN 00100020LO 00100030DA 00100040CS 00200010SH "))
	checkRow(t, got, "studies/"+queriedStudy+"/series.gz", 0, empty("00080060CS 00200011IS "))
	checkRow(t, got, "studies/"+queriedStudy+"/series/2.25.1/instances.gz", 0, empty("00080016UI 00200013IS "))
}
