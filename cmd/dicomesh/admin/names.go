package admin

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"github.com/dicomesh/dicomesh/dedup"
)

// namer gives studies short names: people can tell them apart, speak of them, and type them into the search, and a page on a wall says nothing of a patient.
// The key is the cluster's, so a study has one name at all its sites, and who does not know the key cannot tell whose name it is.
type namer []byte

// letters is an alphabet of those that are not mistaken for each other (Crockford's).
const letters = "0123456789abcdefghjkmnpqrstvwxyz"

// of is a study's name: eight letters and digits. Two of a million studies have the same one with odds of about one to two; the search then shows both.
func (n namer) of(study string) string {
	mac := hmac.New(sha256.New, n)
	mac.Write([]byte(study))
	return base32.NewEncoding(letters).EncodeToString(mac.Sum(nil)[:5])
}

// match reports whether a study is meant by what somebody typed: a part of its name, or of its UID. "" means every study.
func (n namer) match(typed string) func(dedup.UID) bool {
	typed = strings.ToLower(strings.TrimSpace(typed))
	if typed == "" {
		return nil
	}
	return func(uid dedup.UID) bool {
		text := uid.String()
		return strings.Contains(text, typed) || strings.Contains(n.of(text), typed)
	}
}
