package access

import (
	"time"

	"github.com/dicomesh/dicomesh/dedup/durable"
)

// Keys are the tokens of a site as its agent knows them: what is in the file at the moment somebody asks. The file is small, and so it is read each time.
// The methods may be called from several goroutines.
type Keys struct {
	State durable.Reader
	Now   func() time.Time
}

// Check finds whose a token is. ErrUnknown, ErrExpired, or why the tokens cannot be read: then nobody gets in.
func (k Keys) Check(token string) (Grant, error) {
	all, err := List(k.State)
	if err != nil {
		return Grant{}, err
	}
	return check(all, token, k.Now())
}

// Stands reports whether a grant that Check gave out holds still: it was not taken back, and has not ended.
func (k Keys) Stands(g Grant) bool {
	all, err := List(k.State)
	if err != nil {
		return false
	}
	for _, known := range all {
		if known.Hash == g.Hash {
			return k.Now().Before(known.Until)
		}
	}
	return false
}
