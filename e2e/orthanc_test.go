package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// orthanc is a running Orthanc with its DICOMweb plugin, which knows a site as "dicomesh".
type orthanc struct {
	t   *testing.T
	url string
}

func startOrthanc(t *testing.T, dicomweb string) orthanc {
	t.Helper()
	const plugin = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
	binary, err := exec.LookPath("Orthanc")
	if err != nil || !isFile(plugin) {
		missing(t, "orthanc or orthanc-dicomweb")
	}
	dir, port := t.TempDir(), strings.TrimPrefix(freeAddress(t), "127.0.0.1:")
	config, err := json.Marshal(map[string]any{"Name": "e2e", "StorageDirectory": filepath.Join(dir, "store"), "IndexDirectory": filepath.Join(dir, "store"), "HttpPort": json.Number(port), "DicomServerEnabled": false,
		"RemoteAccessAllowed": false, "AuthenticationEnabled": false, "Plugins": []string{plugin}, "OverwriteInstances": true,
		"DicomWeb": map[string]any{"Enable": true, "Root": "/dicom-web/", "Servers": map[string]any{"dicomesh": map[string]any{"Url": dicomweb + "/", "HasDelete": false}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "orthanc.json"), config, 0o644); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(binary, filepath.Join(dir, "orthanc.json"))
	c.Stderr = log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if said, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("orthanc: %s", said[max(0, len(said)-2000):])
		}
		_ = log.Close()
	})
	o := orthanc{t, "http://127.0.0.1:" + port}
	for range 300 {
		if r, err := http.Get(o.url + "/system"); err == nil {
			_ = r.Body.Close()
			return o
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Fatal("orthanc does not answer")
	return o
}

// ask sends a request, and reads an answer of JSON.
func (o orthanc) ask(method, path string, body any, into any) {
	o.t.Helper()
	data, is := body.([]byte)
	if !is && body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			o.t.Fatal(err)
		}
	}
	text := o.bytes(method, path, data)
	if into == nil {
		return
	}
	if err := json.Unmarshal(text, into); err != nil {
		o.t.Fatalf("%s %s: %v: %.300s", method, path, err, text)
	}
}

func (o orthanc) bytes(method, path string, data []byte) []byte {
	o.t.Helper()
	r, err := http.NewRequestWithContext(o.t.Context(), method, o.url+path, bytes.NewReader(data))
	if err != nil {
		o.t.Fatal(err)
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		o.t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != http.StatusOK {
		o.t.Fatalf("%s %s: %s, %v: %.300s", method, path, a.Status, err, text)
	}
	return text
}

// TestOrthanc has an Orthanc store into a site with its DICOMweb client, forget everything, search the site, and retrieve it all again: the files that come back are those that went in.
func TestOrthanc(t *testing.T) {
	folder := sampled(t, "--studies", "3", "--series", "2", "--instances", "2")
	s := newSite(t, quick)
	s.start()
	o := startOrthanc(t, "http://"+s.status().HTTP+"/dicomweb")
	sent := map[string]bool{}
	for _, f := range dicomFiles(t, folder) {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		o.ask(http.MethodPost, "/instances", b, nil)
		sent[fmt.Sprintf("%x", sha256.Sum256(b))] = true
	}
	var studies []string
	o.ask(http.MethodGet, "/studies", nil, &studies)
	var stored struct{ InstancesCount any }
	o.ask(http.MethodPost, "/dicom-web/servers/dicomesh/stow", map[string]any{"Resources": studies, "Synchronous": true}, &stored)
	s.settled()
	gives(t, s.in("tree"), sent)
	for _, study := range studies {
		o.ask(http.MethodDelete, "/studies/"+study, nil, nil)
	}
	var found []map[string]any
	o.ask(http.MethodPost, "/dicom-web/servers/dicomesh/qido", map[string]any{"Uri": "/studies", "Arguments": map[string]string{"limit": "10"}}, &found)
	if len(found) != 3 {
		t.Errorf("orthanc finds %d studies", len(found))
	}
	var wanted []map[string]string
	for _, row := range s.objects("/studies") {
		wanted = append(wanted, map[string]string{"Study": row.text("0020000D")})
	}
	o.ask(http.MethodPost, "/dicom-web/servers/dicomesh/retrieve", map[string]any{"Resources": wanted, "Synchronous": true}, nil)
	var instances []string
	o.ask(http.MethodGet, "/instances", nil, &instances)
	if len(instances) != len(sent) {
		t.Errorf("orthanc has %d instances, want %d", len(instances), len(sent))
	}
	for _, i := range instances {
		if !sent[fmt.Sprintf("%x", sha256.Sum256(o.bytes(http.MethodGet, "/instances/"+i+"/file", nil)))] {
			t.Errorf("instance %s is another file", i)
		}
	}
	s.stop()
}
