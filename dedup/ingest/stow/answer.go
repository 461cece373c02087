package stow

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/dicomesh/dicomesh/dedup"
)

// Reasons of failures (0008,1197) of PS3.18 table I.2-2. 0122 and C122 are not among them: every SOP class and transfer syntax is stored. There are no warnings (table I.2-1): nothing is coerced,
// discarded, or held against its SOP class.
const (
	processingFailure = 0x0110
	outOfResources    = 0xA700
	otherStudy        = 0xA900 // the dataset does not match the study of the request; the table names its SOP class only, and has nothing nearer
	cannotUnderstand  = 0xC000
	// deletedBefore says that the instance was deleted here, and stays so until it is restored. No code of the table means that, and each of them has clients do the wrong thing: try again, or
	// mend a file that is sound. I.2.2 lets others be used; this is PS3.7's (9.1.1.1.9 and C.4.1) "Refused: Not Authorized", which is final.
	deletedBefore = 0x0124
)

// answer is what became of one part.
type answer struct {
	study, series, sop, class dedup.UID // zero where they cannot be told
	stored                    bool
	failure                   int
	reason                    string // in words; the response has no place for them
}

func (a *answer) refuse(failure int, reason string) {
	a.stored, a.failure, a.reason = false, failure, reason
}

// answers are those of a request.
type answers struct {
	study dedup.UID // of the URL
	list  []*answer
}

// code is the status of the response (10.5.3.1).
func (a *answers) code() int {
	stored, full := 0, 0
	for _, one := range a.list {
		switch {
		case one.stored:
			stored++
		case one.failure == outOfResources:
			full++
		}
	}
	switch {
	case len(a.list) == 0:
		return http.StatusBadRequest
	case stored == len(a.list):
		return http.StatusOK
	case stored > 0:
		return http.StatusAccepted
	case full > 0:
		return http.StatusInsufficientStorage
	}
	return http.StatusConflict
}

// send writes the response: the Store Instances Response Module (table I.1-1) as one dataset.
func (a *answers) send(w http.ResponseWriter) {
	code := a.code()
	if code == http.StatusBadRequest {
		http.Error(w, "the body has no parts", code)
		return
	}
	text := a.object().AppendJSON(nil)
	w.Header().Set("Content-Type", "application/dicom+json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(text) // what is stored is stored, whether the client hears it or not
}

// The attributes of the response.
const (
	tagReferencedClass dedup.Tag = 0x00081150
	tagReferencedSOP   dedup.Tag = 0x00081155
	tagRetrieveURL     dedup.Tag = 0x00081190
	tagFailure         dedup.Tag = 0x00081197
	tagFailed          dedup.Tag = 0x00081198
	tagReferenced      dedup.Tag = 0x00081199
	tagOtherFailures   dedup.Tag = 0x0008119A
)

func (a *answers) object() dedup.Object {
	var failed, stored, other []dedup.Token
	one := a.study
	for _, each := range a.list {
		switch {
		case each.stored:
			if one == (dedup.UID{}) {
				one = each.study
			}
			stored = append(stored, a.referenced(each))
		case each.sop == dedup.UID{} || each.class == dedup.UID{}: // of what cannot be named only the reason is told
			other = append(other, dedup.Object{number(tagFailure, each.failure)}.AppendJSON(nil))
		default:
			failed = append(failed, append(each.names(), number(tagFailure, each.failure)).AppendJSON(nil))
		}
	}
	url := "" // the attribute is of type 2: where no one study is meant it is there without a value
	if len(stored) > 0 && a.ofOne(one) {
		url = a.base() + one.String()
	}
	o := dedup.Object{text(tagRetrieveURL, "UR", url)}
	for _, s := range []struct {
		tag   dedup.Tag
		items []dedup.Token
	}{{tagFailed, failed}, {tagReferenced, stored}, {tagOtherFailures, other}} {
		if len(s.items) > 0 {
			o = append(o, dedup.Element{Tag: s.tag, JSON: dedup.Attribute{VR: "SQ", Value: s.items}.AppendJSON(nil)})
		}
	}
	return o
}

// ofOne reports whether everything that was stored is of one study.
func (a *answers) ofOne(study dedup.UID) bool {
	for _, each := range a.list {
		if each.stored && each.study != study {
			return false
		}
	}
	return true
}

// base is where studies are, relative to the URL of the request, as all references of this service are.
func (a *answers) base() string {
	if a.study == (dedup.UID{}) {
		return "studies/"
	}
	return ""
}

func (a *answers) referenced(each *answer) dedup.Token {
	url := fmt.Sprintf("%s%s/series/%s/instances/%s", a.base(), each.study, each.series, each.sop)
	return append(each.names(), text(tagRetrieveURL, "UR", url)).AppendJSON(nil)
}

func (a *answer) names() dedup.Object {
	return dedup.Object{text(tagReferencedClass, "UI", a.class.String()), text(tagReferencedSOP, "UI", a.sop.String())}
}

// text is an attribute of one text, or none.
func text(tag dedup.Tag, vr, value string) dedup.Element {
	a := dedup.Attribute{VR: vr}
	if value != "" {
		a.Value = []dedup.Token{dedup.Quote(value)}
	}
	return dedup.Element{Tag: tag, JSON: a.AppendJSON(nil)}
}

func number(tag dedup.Tag, n int) dedup.Element {
	return dedup.Element{Tag: tag, JSON: dedup.Attribute{VR: "US", Value: []dedup.Token{strconv.AppendInt(nil, int64(n), 10)}}.AppendJSON(nil)}
}
