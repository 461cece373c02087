package admin

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"github.com/dicomesh/dicomesh/cmd/dicomesh/admin/access"
	"github.com/dicomesh/dicomesh/dedup/durable"
)

// Guarded is the door of a program that is no agent: it lets through to next who shows a token that lies in tokens, or a certificate, with a role that covers what they want. Where
// c does not ask who is there, everybody passes.
func Guarded(next http.Handler, c Access, tokens durable.Reader) http.Handler {
	if !c.Required {
		return next
	}
	keys := access.Keys{State: tokens, Now: time.Now}
	d := &doorman{keys: keys, sessions: newSessions(keys, c), operators: c.Operators, origins: http.NewCrossOriginProtection()}
	return d.guard(next)
}

// Listener is l with TLS, where there is any. Closing it closes l.
func (c Access) Listener(l net.Listener) net.Listener {
	if c.TLS == nil {
		return l
	}
	return tls.NewListener(l, c.TLS.config())
}
