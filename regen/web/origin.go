package web

import (
	"net/http"
	"slices"
)

// What pages of other origins may send and read (the CORS protocol of the Fetch standard), if the operator names their origins.
const (
	corsMethods = "GET, HEAD, POST"
	corsSent    = "Accept, Authorization, Content-Type, If-None-Match, If-Range, Range"
	corsRead    = "Accept-Ranges, Content-Encoding, Content-Length, Content-Range, ETag, Retry-After, Warning"
)

// origin says whether a page of another origin may read the answer. done is true when the request was only the question.
func (h *Handler) origin(w http.ResponseWriter, r *http.Request) (done bool) {
	if len(h.config.Origins) == 0 {
		return false
	}
	w.Header().Add("Vary", "Origin")
	from := r.Header.Get("Origin")
	all := slices.Contains(h.config.Origins, "*")
	if from == "" || !all && !slices.Contains(h.config.Origins, from) {
		return false
	}
	if all {
		from = "*"
	}
	w.Header().Set("Access-Control-Allow-Origin", from)
	w.Header().Set("Access-Control-Expose-Headers", corsRead)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	w.Header().Set("Access-Control-Allow-Methods", corsMethods)
	w.Header().Set("Access-Control-Allow-Headers", corsSent)
	w.Header().Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}
