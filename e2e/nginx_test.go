package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// startNginx runs Debian's nginx with packaging/nginx.conf before a service, and returns its URL.
func startNginx(t *testing.T, current, service string) string {
	t.Helper()
	address := freeAddress(t)
	return runNginx(t, address, nginxSite(t, map[string]string{"127.0.0.1:8080": address, "/var/lib/dicomesh/current": current, "http://127.0.0.1:8730": service}))
}

// nginxSite is packaging/nginx.conf with what is to be changed in it.
func nginxSite(t *testing.T, changes map[string]string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "packaging", "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	site := string(text)
	for old, now := range changes {
		if strings.Count(site, old) != 1 {
			t.Fatalf("nginx.conf has %q %d times", old, strings.Count(site, old))
		}
		site = strings.Replace(site, old, now, 1)
	}
	return site
}

// runNginx runs it with a site, and returns its URL.
func runNginx(t *testing.T, address, site string) string {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		if nginx = "/usr/sbin/nginx"; !isFile(nginx) {
			missing(t, "nginx")
		}
	}
	dir := t.TempDir()
	// As the owner of the tree, which is in a folder of the test that nobody else may read.
	whole := fmt.Sprintf("%spid %s/pid; error_log %s/error.log; daemon off; worker_processes 1;\nevents { worker_connections 64; }\nhttp { access_log off; client_body_temp_path %s/b; proxy_temp_path %s/p; fastcgi_temp_path %s/f; uwsgi_temp_path %s/u; scgi_temp_path %s/s;\n%s}\n",
		asRoot(), dir, dir, dir, dir, dir, dir, dir, site)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(whole), 0o644); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(nginx, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", filepath.Join(dir, "error.log"))
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait()
		if said, err := os.ReadFile(filepath.Join(dir, "error.log")); err == nil && t.Failed() {
			t.Logf("nginx: %s", said[max(0, len(said)-2000):])
		}
	})
	waitFor(t, address)
	return "http://" + address
}

func asRoot() string {
	if os.Getuid() == 0 {
		return "user root;\n"
	}
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// freeAddress is an address that nobody listens at now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// waitFor returns when somebody listens at an address.
func waitFor(t *testing.T, address string) {
	t.Helper()
	for range 200 {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Fatalf("nobody listens at %s", address)
}

// fetched is an answer as two servers are compared by it.
func fetched(t *testing.T, url string, headers ...string) (int, string, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	a, err := new(http.Transport).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, a.Header.Get("Content-Type") + " " + a.Header.Get("Content-Encoding"), b
}

// TestNginx compares nginx on a current tree with dicomesh serve on the same: where both answer they answer the same, gzipped and plain, and what nginx has not it passes on.
func TestNginx(t *testing.T) {
	dir := t.TempDir()
	tree, current := filepath.Join(dir, "tree"), filepath.Join(dir, "current")
	for _, args := range [][]string{{"ingest", "--tree", tree, sampled(t, "--studies", "2", "--series", "2", "--instances", "3")}, {"regen", "--tree", tree, "--current", current}} {
		if out, code := dicomesh(t, args...); code != 0 {
			t.Fatal(out)
		}
	}
	s := startServer(t, "--current", current, "--tree", tree)
	ours := strings.TrimSuffix(s.url, "/dicomweb/studies")
	theirs := startNginx(t, current, ours)
	var rows []object
	_, _, text := fetched(t, ours+"/dicomweb/studies")
	(&agentSite{t: t}).decode(string(text), &rows)
	study := rows[0].text("0020000D")
	_, _, text = fetched(t, ours+"/dicomweb/studies/"+study+"/instances")
	(&agentSite{t: t}).decode(string(text), &rows)
	base := "/dicomweb/studies/" + study
	series := base + "/series/" + rows[0].text("0020000E")
	instance := series + "/instances/" + rows[0].text("00080018")
	native := []string{"Accept", "application/octet-stream"}
	several := []string{"Accept", `multipart/related; type="application/octet-stream"`}
	for _, c := range []struct {
		path    string
		headers []string
	}{
		{"/dicomweb/studies", nil}, {"/dicomweb/studies?limit=1", nil}, {base, nil}, {base, []string{"Accept", `multipart/related; type="application/dicom"`}}, {base + "?x=1", nil}, {base + "/series", nil}, {base + "/deduplicated", nil},
		{base + "/metadata", nil}, {series + "/metadata", nil}, {series + "/metadata", []string{"Accept", "application/dicom+xml"}}, {series + "/metadata", []string{"Accept", "application/dicom+json"}},
		{series + "/instances", nil}, {series + "/instances?InstanceNumber=1", nil}, {series + "/thumbnail", nil}, {series + "/thumbnail", []string{"Accept", "image/png"}}, {series + "/thumbnail?viewport=40,40", nil}, {series + "/thumbnail?viewport=x", nil}, {instance + "/frames/1?accept=image/jls", native}, {base + "/rendered", nil}, {series + "/rendered", several}, {instance + "/thumbnail", []string{"Accept", "image/*"}},
		{instance + "/metadata", nil}, {instance + "/frames/1", several}, {instance + "/frames/1,1", several}, {instance + "/frames/9", native}, {instance + "/rendered", nil}, {"/dicomweb/studies/1.2.3/series", nil}, {"/dicomweb/other", nil},
	} {
		for _, zip := range []string{"gzip", "identity"} {
			headers := append([]string{"Accept-Encoding", zip}, c.headers...)
			code, kind, body := fetched(t, ours+c.path, headers...)
			code2, kind2, body2 := fetched(t, theirs+c.path, headers...)
			if c.path == instance+"/frames/9" {
				body, body2, kind2 = nil, nil, kind // both have none, each in its own words
			}
			if code != code2 || kind != kind2 || !bytes.Equal(body, body2) {
				t.Errorf("%s (%s) as %v: %d, %s, %d bytes; nginx %d, %s, %d bytes", c.path, zip, c.headers, code, kind, len(body), code2, kind2, len(body2))
			}
		}
	}
	guarded(t, theirs, base+"/series", base+"/metadata", instance+"/frames/1", instance+"/thumbnail", base+"/nothing")
	code, kind, body := fetched(t, theirs+instance+"/frames/1", native...)
	_, _, body2 := fetched(t, ours+instance+"/frames/1", native...)
	if code != 200 || !strings.HasPrefix(kind, "application/octet-stream") || !bytes.Equal(body, body2) || len(body) == 0 {
		t.Errorf("a frame: %d, %s, %d bytes and %d", code, kind, len(body), len(body2))
	}
	hostile(t, current, base, map[string]string{"serve": strings.TrimPrefix(ours, "http://"), "nginx": strings.TrimPrefix(theirs, "http://")})
	s.stop()
}

// guarded holds that nginx and what it passes on say once what keeps browsers from doing more with an answer than showing it.
func guarded(t *testing.T, server string, paths ...string) {
	t.Helper()
	for _, path := range paths {
		r, err := http.Get(server + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox", "Cross-Origin-Resource-Policy": "same-origin"} {
			if got := r.Header.Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
	}
}

// TestNginxIsSeen reads a study through nginx alone, which gives it out itself, at a site whose current tree is limited: with the lines marked USED it is another study's files that go.
func TestNginxIsSeen(t *testing.T) {
	t.Parallel()
	folder := sampled(t, "--studies", "4", "--series", "1", "--instances", "3", "--size", "128")
	s := newSite(t, quick+"current: {max_size: 300 kB, keep: 0s}\n") // two studies, and not three
	s.start()
	var studies []string
	for _, name := range []string{"study01-CT", "study02-MR"} {
		s.drop(filepath.Join(folder, name))
		s.settled()
		for _, row := range s.objects("/studies") {
			if uid := row.text("0020000D"); !slices.Contains(studies, uid) {
				studies = append(studies, uid)
			}
		}
	}
	address := freeAddress(t)
	site := nginxSite(t, map[string]string{"127.0.0.1:8080": address, "/var/lib/dicomesh/current": s.in("current"), "http://127.0.0.1:8730": "http://" + s.status().HTTP,
		`#"https://viewer.example.org"`: `"https://viewer.example.org"`, "#limit_req_zone": "limit_req_zone", "#limit_req zone": "limit_req zone", "#mirror": "mirror"})
	theirs := runNginx(t, address, site)
	for range 20 {
		if code, _, text := fetched(t, theirs+"/dicomweb/studies/"+studies[0]+"/series"); code != http.StatusOK || len(text) < 100 {
			t.Errorf("%d, %d bytes", code, len(text))
		}
	}
	readByPages(t, theirs+"/dicomweb/studies/"+studies[0])
	s.drop(filepath.Join(folder, "study04-CT"))
	s.settled()
	cleanedTo(s, 2)
	if !isFile(s.in("current", "studies", studies[0], "status.gz")) || isFile(s.in("current", "studies", studies[1], "status.gz")) {
		t.Error("the files of the study that is read went, and not those of the one that nobody reads")
	}
	s.stop()
}

// readByPages holds that pages of the origin that the configuration names may read what nginx gives out, and those of others may not.
func readByPages(t *testing.T, study string) {
	t.Helper()
	for origin, want := range map[string]string{"https://viewer.example.org": "https://viewer.example.org", "https://evil.example.org": "", "": ""} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, study+"/series", nil)
		if err != nil {
			t.Fatal(err)
		}
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = a.Body.Close()
		policy := "same-origin"
		if want != "" {
			policy = "cross-origin"
		}
		if got := a.Header.Get("Access-Control-Allow-Origin"); got != want || a.Header.Get("Cross-Origin-Resource-Policy") != policy || (a.Header.Get("Access-Control-Expose-Headers") != "") != (want != "") || !slices.Contains(a.Header.Values("Vary"), "Origin") {
			t.Errorf("from %q: %s, %v", origin, a.Status, a.Header)
		}
	}
}

// hostile sends what no client sends, byte for byte, and looks for what nobody may see.
func hostile(t *testing.T, current, base string, servers map[string]string) {
	t.Helper()
	secret := filepath.Join(filepath.Dir(current), "secret")
	if err := os.WriteFile(secret, []byte("TOPSECRET"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(current, strings.TrimPrefix(base, "/dicomweb/"), "bulkdata.lnk")); err != nil {
		t.Fatal(err)
	}
	linked := filepath.Join(current, strings.TrimPrefix(base, "/dicomweb/"), "bulkdata", "abc", "de")
	if err := os.MkdirAll(linked, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(linked, strings.Repeat("0", 59)+".raw")); err != nil {
		t.Fatal(err)
	}
	requests := []string{
		"GET " + base + "/bulkdata/abc/de/" + strings.Repeat("0", 59) + ".raw HTTP/1.1\r\nAccept: application/octet-stream\r\n", "GET " + base + "/../../../secret HTTP/1.1\r\n", "GET " + base + "/%2e%2e/%2e%2e/%2e%2e/secret HTTP/1.1\r\n",
		"GET " + base + "/..%2f..%2f..%2fsecret HTTP/1.1\r\n", "GET " + base + "/bulkdata/..%2f..%2f..%2f..%2fsecret HTTP/1.1\r\n", "GET " + base + `/..\..\..\secret` + " HTTP/1.1\r\n", "GET " + base + "/%c0%ae%c0%ae/secret HTTP/1.1\r\n",
		"GET " + base + "/bulkdata.lnk HTTP/1.1\r\n", "GET " + base + "/status.gz HTTP/1.1\r\n", "GET /dicomweb/studies/%00 HTTP/1.1\r\n", "GET //dicomweb//studies/../../secret HTTP/1.1\r\n", "GET /dicomweb/studies HTTP/1.1\r\nX: " + strings.Repeat("x", 200_000) + "\r\n",
		"GET /dicomweb/studies/" + strings.Repeat("1.", 20_000) + "1 HTTP/1.1\r\n", "BREW /dicomweb/studies HTTP/1.1\r\n", "GET http://evil/dicomweb/../../secret HTTP/1.1\r\n",
	}
	for name, address := range servers {
		for _, r := range requests {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			_, _ = io.WriteString(c, r+"Host: localhost\r\nConnection: close\r\n\r\n") // it may be shut before all of it is sent
			answer, _ := io.ReadAll(c)
			_ = c.Close()
			if len(answer) > 0 && !bytes.HasPrefix(answer, []byte("HTTP/1.1 4")) && !bytes.HasPrefix(answer, []byte("HTTP/1.0 4")) || bytes.Contains(answer, []byte("TOPSECRET")) {
				t.Errorf("%s: %.60q is answered with %.80q", name, r, answer)
			}
		}
		if code, _, _ := fetched(t, "http://"+address+"/dicomweb/studies"); code != http.StatusOK {
			t.Errorf("%s afterwards: %d", name, code)
		}
	}
}
