package web

import (
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/regen"
	"github.com/zeebo/blake3"
)

// bulkdata answers a value by the hash in its URI (PS3.18 sections 10.4.1.1.1 and 8.7.3.3): as one part, or bare; JSON as the other files of JSON.
func (h *Handler) bulkdata(w http.ResponseWriter, r *http.Request, t target) error {
	ref, err := dedup.ParseBulkURI("bulkdata/" + r.PathValue("value"))
	if err != nil || ref.Class != dedup.Bulkdata {
		return problem{http.StatusBadRequest, "bulkdata is asked for by the URI that metadata has"}
	}
	name := t.studyFile() + "/" + regen.BulkPath(ref)
	if strings.HasSuffix(name, ".json.gz") {
		if _, ok := accepts(r, "application/json", "application/dicom+json"); !ok {
			return problem{http.StatusNotAcceptable, "this is application/json"}
		}
		w.Header().Set("Content-Type", "application/json")
		return h.sendZipped(w, r, name)
	}
	p, ok := negotiate(r, octets, "")
	if !ok {
		return problem{http.StatusNotAcceptable, "this is application/octet-stream, as multipart/related or bare"}
	}
	f, info, err := h.open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Add("Vary", "Accept")
	w.Header().Set("Cache-Control", forEver)
	return send(w, r, p, []frame{{File: f, info: info}})
}

// digest is a short name for a text, fit for headers.
func digest(text string) string {
	sum := blake3.Sum256([]byte(text))
	return hex.EncodeToString(sum[:20])
}
