// Package page is what people see of a site in a browser: one page that says from across a room whether the cluster is whole, and from near by why it is not, what
// waits, and where each study is.
//
// It is plain HTML, CSS and JavaScript modules, embedded, without a framework or a build. The page asks the site that it came from and nobody else, and its
// content security policy holds it to that: a fault in it could not send anything away. What it shows it gets from package admin (the live stream, the list of
// studies, a study, what differs from a site); no text from there is ever taken for markup.
//
//	main.js     what is shown where; the huge word; the age of what is shown
//	live.js     the connection: server-sent events, or asking again and again where they do not get through, and saying so when nothing does
//	map.js      sites and links as a drawing
//	sites.js    the table of sites, and one site in detail
//	studies.js  the list, the search, one study in detail, what waits and why
//	parts.js    small things: elements, numbers, times, drawn curves
//	login.js    signing in
package page

import (
	"embed"
	"net/http"
	"path"
	"strings"
)

//go:embed *.html *.css *.js *.svg
var files embed.FS

// policy lets the page load and ask what is its own, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; " +
	"base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// kinds are the types of the files by their endings. What the system says of endings is not asked.
func kind(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	}
	return "image/svg+xml"
}

// Handler answers / with the page, /login with the one where people sign in, and /page/NAME with what they are made of.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/page/")
		switch r.URL.Path {
		case "/":
			name = "index.html"
		case "/login":
			name = "login.html"
		}
		text, err := files.ReadFile(name)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		head := w.Header()
		head.Set("Content-Type", kind(name))
		head.Set("Content-Security-Policy", policy)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Cross-Origin-Opener-Policy", "same-origin")
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		head.Set("Cache-Control", "no-cache") // a new release has a new page
		_, _ = w.Write(text)                  // the client has gone
	})
}
