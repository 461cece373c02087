package web

import (
	"net/http"
	"slices"
)

// What pages of other origins may send and read (the CORS protocol of the Fetch standard), if the operator names their origins.
const (
	corsMethods = "GET, HEAD, POST"
	corsSent    = "Accept, Authorization, Content-Type, If-Match, If-None-Match, If-Range, Range"
	corsRead    = "Accept-Ranges, Content-Encoding, Content-Length, Content-Range, ETag, Retry-After, Warning"
)

// guard keeps browsers from doing more with an answer than showing it: bulkdata may be anything, HTML too, and pages of other origins do not get pictures into theirs.
func guard(w http.ResponseWriter) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
}

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
	w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	w.Header().Set("Access-Control-Allow-Methods", corsMethods)
	w.Header().Set("Access-Control-Allow-Headers", corsSent)
	w.Header().Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}
