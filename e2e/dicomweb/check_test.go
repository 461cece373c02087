package dicomweb_test

import (
	"strings"
	"testing"

	"github.com/dicomesh/dicomesh/e2e/dicomweb"
)

// Answers that hold every rule; those below break one each.
const (
	metadata = `[{"00080016":{"vr":"UI","Value":["1.2"]},"00080018":{"vr":"UI","Value":["1.3"]},"00100010":{"vr":"PN","Value":[{"Alphabetic":"A^B","Phonetic":"C"},null]},"0020000D":{"vr":"UI","Value":["1.4"]},` +
		`"0020000E":{"vr":"UI","Value":["1.5"]},"00280009":{"vr":"AT","Value":["00181063"]},"00280010":{"vr":"US","Value":[8]},"00281050":{"vr":"DS","Value":["40",41.5,null]},"00400275":{"vr":"SQ","Value":[{},{"00400009":{"vr":"SH"}}]},` +
		`"00720074":{"vr":"FD","Value":["NaN",1.5]},"00720080":{"vr":"SQ"},"7FE00010":{"vr":"OW","BulkDataURI":"instances/1.3/frames"}}]`
	study = `[{"00080020":{"vr":"DA"},"00080030":{"vr":"TM"},"00080050":{"vr":"SH"},"00080061":{"vr":"CS"},"00080090":{"vr":"PN"},"00081190":{"vr":"UR","Value":["studies/1.4"]},"00100010":{"vr":"PN"},"00100020":{"vr":"LO"},` +
		`"00100030":{"vr":"DA"},"00100040":{"vr":"CS"},"0020000D":{"vr":"UI","Value":["1.4"]},"00200010":{"vr":"SH"},"00201206":{"vr":"IS","Value":["1"]},"00201208":{"vr":"IS","Value":[2]}}]`
	series   = `[{"00080060":{"vr":"CS"},"00081190":{"vr":"UR","Value":["series/1.5"]},"0020000E":{"vr":"UI","Value":["1.5"]},"00200011":{"vr":"IS"},"00201209":{"vr":"IS","Value":["3"]}}]`
	instance = `[{"00080016":{"vr":"UI","Value":["1.2"]},"00080018":{"vr":"UI","Value":["1.3"]},"00081190":{"vr":"UR","Value":["instances/1.3"]},"00200013":{"vr":"IS","Value":["3"]}}]`
	stored   = `{"00081190":{"vr":"UR"},"00081198":{"vr":"SQ","Value":[{"00081150":{"vr":"UI","Value":["1.2"]},"00081155":{"vr":"UI","Value":["1.3"]},"00081197":{"vr":"US","Value":[272]}}]},` +
		`"00081199":{"vr":"SQ","Value":[{"00081150":{"vr":"UI","Value":["1.2"]},"00081155":{"vr":"UI","Value":["1.6"]},"00081190":{"vr":"UR","Value":["x"]},"00081196":{"vr":"US","Value":[45056]}}]},` +
		`"0008119A":{"vr":"SQ","Value":[{"00081197":{"vr":"US","Value":[49152]}}]}}`
)

// Each rule is there: an answer that holds all of them has no fault, and one in which a single place is changed has one, of the section that says so.
func TestCheck(t *testing.T) {
	whole := map[dicomweb.Kind]string{dicomweb.Metadata: metadata, dicomweb.Studies: study, dicomweb.Series: series, dicomweb.Instances: instance, dicomweb.Store: stored}
	for kind, text := range whole {
		if faults := dicomweb.Check(kind, []byte(text)); len(faults) > 0 {
			t.Errorf("kind %d: %v", kind, faults)
		}
	}
	row := strings.TrimSuffix(strings.TrimPrefix(instance, "["), "]")
	for name, c := range map[string]struct {
		kind     dicomweb.Kind
		old, new string
		section  string
	}{
		"not UTF-8": {dicomweb.Metadata, "A^B", "A\xff", "F.2 "}, "not JSON": {dicomweb.Studies, "[{", "[[", "F.2.1"}, "an object": {dicomweb.Instances, instance, row, "F.2.1"}, "an array": {dicomweb.Store, stored, "[" + stored + "]", "F.2.1"},
		"a row of text": {dicomweb.Instances, instance, `["x"]`, "F.2.1"}, "the same row twice": {dicomweb.Instances, instance, "[" + row + "," + row + "]", "10.6.3.3"},
		"a keyword": {dicomweb.Instances, `"00080016"`, `"SOPClassUID"`, "F.2.2"}, "lower case": {dicomweb.Studies, `"0020000D"`, `"0020000d"`, "F.2.2"}, "out of order": {dicomweb.Metadata, `"00280009"`, `"00280011"`, "F.2.2"},
		"twice": {dicomweb.Metadata, `"00280009"`, `"00280010"`, "F.2.2"}, "a group length": {dicomweb.Metadata, `"00280009"`, `"00280000"`, "F.2.2"}, "a key too many": {dicomweb.Metadata, `"vr":"AT",`, `"vr":"AT","keyword":"X",`, "F.2.2"},
		"VR in capitals": {dicomweb.Metadata, `"vr":"AT"`, `"VR":"AT"`, "F.2.2"}, "no VR": {dicomweb.Metadata, `"vr":"AT",`, ``, "F.2.2"}, "a VR of nobody's": {dicomweb.Metadata, `"vr":"FD"`, `"vr":"QQ"`, "F.2.2"},
		"two forms of a value": {dicomweb.Metadata, `"BulkDataURI"`, `"InlineBinary":"AAAA","BulkDataURI"`, "F.2.2"}, "null and no URI": {dicomweb.Metadata, `"instances/1.3/frames"`, `null`, "F.2.2"}, "an attribute that is text": {dicomweb.Metadata, `{"vr":"SQ"}`, `"x"`, "F.2.2"},
		"a name as text": {dicomweb.Metadata, `{"Alphabetic":"A^B","Phonetic":"C"}`, `"A^B"`, "F.2.2"}, "a name of another kind": {dicomweb.Metadata, `"Phonetic"`, `"Spoken"`, "F.2.2"}, "a name of nothing": {dicomweb.Metadata, `"C"`, `null`, "F.2.2"},
		"bytes as values": {dicomweb.Metadata, `"BulkDataURI":"instances/1.3/frames"`, `"Value":["x"]`, "F.2.3"}, "a number as text": {dicomweb.Metadata, `[8]`, `["8"]`, "F.2.3"}, "text as a number": {dicomweb.Studies, `["1.4"]`, `[1.4]`, "F.2.3"},
		"a tag as a number": {dicomweb.Metadata, `"00181063"`, `1063`, "F.2.3"}, "a tag in small letters": {dicomweb.Metadata, `"00181063"`, `"0018106a"`, "F.2.3"}, "a decimal that is an object": {dicomweb.Metadata, `41.5`, `{}`, "F.2.3"},
		"an item that is null": {dicomweb.Metadata, `[{},`, `[null,`, "F.2.3"}, "no number at all": {dicomweb.Metadata, `"NaN"`, `"none"`, "F.2.3"}, "a fault in an item": {dicomweb.Metadata, `{"vr":"SH"}`, `{"vr":"SH","Value":[3]}`, "F.2.3"},
		"an empty Value": {dicomweb.Studies, `{"vr":"DA"}`, `{"vr":"DA","Value":[]}`, "F.2.5"}, "a URI for a UID": {dicomweb.Metadata, `{"vr":"UI","Value":["1.2"]}`, `{"vr":"UI","BulkDataURI":"x"}`, "F.2.6"}, "an empty URI": {dicomweb.Metadata, `"instances/1.3/frames"`, `""`, "F.2.6"},
		"no URI": {dicomweb.Metadata, `"instances/1.3/frames"`, `"%zz"`, "F.2.6"}, "not base64": {dicomweb.Metadata, `"BulkDataURI":"instances/1.3/frames"`, `"InlineBinary":"?"`, "F.2.7"}, "bytes of a number": {dicomweb.Metadata, `"Value":[8]`, `"InlineBinary":"AAAA"`, "F.2.7"},
		"a UID that is text": {dicomweb.Instances, `"00080018":{"vr":"UI"`, `"00080018":{"vr":"LO"`, "F.2.3"}, "a reason that is text": {dicomweb.Store, `"00081197":{"vr":"US","Value":[272]}`, `"00081197":{"vr":"IS","Value":[272]}`, "F.2.3"},
		"File Meta Information": {dicomweb.Metadata, `[{"00080016"`, `[{"00020010":{"vr":"UI","Value":["1.2"]},"00080016"`, "10.4.1.1.2"}, "metadata without its series": {dicomweb.Metadata, `"0020000E":{"vr":"UI","Value":["1.5"]},`, ``, "10.4.1.1.2"},
		"metadata without its class":  {dicomweb.Metadata, `{"vr":"UI","Value":["1.2"]}`, `{"vr":"UI"}`, "10.4.1.1.2"},
		"a study without its patient": {dicomweb.Studies, `"00100010":{"vr":"PN"},`, ``, "table 10.6.3-3"}, "a study that is nowhere": {dicomweb.Studies, `,"Value":["studies/1.4"]`, ``, "table 10.6.3-3"}, "a study uncounted": {dicomweb.Studies, `,"Value":[2]`, ``, "table 10.6.3-3"},
		"a series without modality": {dicomweb.Series, `"00080060":{"vr":"CS"},`, ``, "table 10.6.3-4"}, "a series uncounted": {dicomweb.Series, `,"Value":["3"]`, ``, "table 10.6.3-4"},
		"an instance without its UID": {dicomweb.Instances, `,"Value":["1.3"]`, ``, "table 10.6.3-5"}, "an instance without its number": {dicomweb.Instances, `,"00200013":{"vr":"IS","Value":["3"]}`, ``, "table 10.6.3-5"},
		"an attribute of others": {dicomweb.Store, `{"00081190":{"vr":"UR"}`, `{"00080005":{"vr":"CS"},"00081190":{"vr":"UR"}`, "table I.1-1"}, "no URL": {dicomweb.Store, `"00081190":{"vr":"UR"},`, ``, "table I.1-1"}, "a failure without a reason": {dicomweb.Store, `,"Value":[272]`, ``, "table I.1-1"},
		"two reasons": {dicomweb.Store, `[272]`, `[272,273]`, "table I.1-1"}, "stored, of no class": {dicomweb.Store, `[{"00081150":{"vr":"UI","Value":["1.2"]},"00081155":{"vr":"UI","Value":["1.6"]}`, `[{"00081155":{"vr":"UI","Value":["1.6"]}`, "table I.1-1"},
		"stored, not said where": {dicomweb.Store, `"00081190":{"vr":"UR","Value":["x"]},`, ``, "table I.1-1"}, "another failure without a reason": {dicomweb.Store, `,"Value":[49152]`, ``, "table I.1-1"}, "a sequence of nothing": {dicomweb.Store, `"0008119A":{"vr":"SQ","Value":[{"00081197":{"vr":"US","Value":[49152]}}]}`, `"0008119A":{"vr":"SQ"}`, "table I.1-1"},
		"nothing": {dicomweb.Store, stored, `{"00081190":{"vr":"UR"}}`, "table I.1-1"},
	} {
		broken := strings.Replace(whole[c.kind], c.old, c.new, 1)
		if broken == whole[c.kind] {
			t.Errorf("%s: nothing is changed", name)
		}
		faults := dicomweb.Check(c.kind, []byte(broken))
		found := false
		for _, f := range faults {
			found = found || strings.HasPrefix(f, c.section)
		}
		if !found {
			t.Errorf("%s: %v, want a fault of %s", name, faults, c.section)
		}
	}
}
