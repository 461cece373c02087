package page

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	answer := httptest.NewRecorder()
	Handler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return answer
}

// TestOwn holds that the page names no other machine, parses no text as markup, has nothing inline that its policy would have to allow, and that all that it names is there.
func TestOwn(t *testing.T) {
	names, err := fs.Glob(files, "*")
	if err != nil || len(names) < 10 {
		t.Fatalf("%v, %v", names, err)
	}
	foreign := regexp.MustCompile(`https?://|url\(|@import|"//`)
	markup := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|<style|style="|\son[a-z]+="|<script>`)
	named := regexp.MustCompile(`(?:from '\./|/page/)([a-z-]+\.(?:js|css|svg))`)
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		plain := strings.ReplaceAll(string(text), "http://www.w3.org/2000/svg", "")
		if found := foreign.FindString(plain); found != "" {
			t.Errorf("%s has %s", name, found)
		}
		if found := markup.FindString(plain); found != "" {
			t.Errorf("%s has %s", name, found)
		}
		for _, m := range named.FindAllStringSubmatch(plain, -1) {
			if code := get(t, "/page/"+m[1]).Code; code != 200 {
				t.Errorf("%s names %s, which answers %d", name, m[1], code)
			}
		}
		if n := strings.Count(plain, "\n"); n > 500 {
			t.Errorf("%s has %d lines", name, n)
		}
	}
}

// TestHandler holds what is served, as what, under which policy, and that nothing else is.
func TestHandler(t *testing.T) {
	for path, want := range map[string]string{"/": "text/html", "/login": "text/html", "/page/main.js": "text/javascript", "/page/style.css": "text/css", "/page/icon-split.svg": "image/svg+xml"} {
		answer := get(t, path)
		head := answer.Header()
		if answer.Code != 200 || !strings.HasPrefix(head.Get("Content-Type"), want) {
			t.Errorf("%s: %d %s", path, answer.Code, head.Get("Content-Type"))
		}
		for _, need := range []string{"default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(head.Get("Content-Security-Policy"), need) {
				t.Errorf("%s: the policy lacks %s", path, need)
			}
		}
	}
	for _, path := range []string{"/page/", "/page/page.go", "/page/../page.go", "/page/nothing.js", "/page/main.js/x"} {
		if code := get(t, path).Code; code != 404 {
			t.Errorf("%s: %d", path, code)
		}
	}
}
