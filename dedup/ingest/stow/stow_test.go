package stow_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/crashfs"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/dedup/export"
	"github.com/dicomesh/dicomesh/dedup/ingest"
	"github.com/dicomesh/dicomesh/dedup/ingest/stow"
	"github.com/dicomesh/dicomesh/dedup/phantom"
	"github.com/dicomesh/dicomesh/e2e/dicomweb"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const boundary = "xYzZY"

// related is a body of parts.
func related(parts ...[]byte) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		fmt.Fprintf(&b, "--%s\r\nContent-Type: application/dicom\r\n\r\n%s\r\n", boundary, p)
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return b.Bytes()
}

func files(t testing.TB, s phantom.Study) (out [][]byte, all []phantom.Instance) {
	t.Helper()
	for i := range s.All() {
		var b bytes.Buffer
		must(t, i.Write(&b))
		out, all = append(out, b.Bytes()), append(all, i)
	}
	return out, all
}

// site is a door into an archive.
type site struct {
	t    testing.TB
	fsys durable.FS
	door *stow.Door
}

func newSite(t testing.TB, fsys durable.FS, c stow.Config) *site {
	t.Helper()
	a, err := ingest.Open(fsys)
	must(t, err)
	t.Cleanup(func() { _ = a.Close() })
	c.Archive, c.Spool = a, t.TempDir()
	return &site{t, fsys, stow.New(c)}
}

func (s *site) post(path string, body io.Reader, headers ...string) *http.Response {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, path, body)
	r.Header.Set("Content-Type", `multipart/related; type="application/dicom"; boundary=`+boundary)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.door.ServeHTTP(w, r)
	return w.Result()
}

// response is what an answer says.
type response struct {
	stored   []string       // SOP Instance UIDs
	failures map[string]int // reasons by SOP Instance UID; "" for those that cannot be named
}

func (s *site) read(r *http.Response) (out response) {
	s.t.Helper()
	text, err := io.ReadAll(r.Body)
	must(s.t, err)
	if faults := dicomweb.Check(dicomweb.Store, text); len(faults) > 0 || r.Header.Get("Content-Type") != "application/dicom+json" {
		s.t.Errorf("%s, %s: %v", r.Status, r.Header.Get("Content-Type"), faults)
	}
	type item map[string]struct{ Value []any }
	var all map[string]struct{ Value []item }
	if err := json.Unmarshal(bytes.Replace(text, []byte(`"00081190":{"Value":["`), []byte(`"00081190":{"x":["`), 1), &all); err != nil {
		must(s.t, err)
	}
	out.failures = map[string]int{}
	for _, i := range all["00081199"].Value {
		out.stored = append(out.stored, i["00081155"].Value[0].(string))
	}
	for _, tag := range []string{"00081198", "0008119A"} {
		for _, i := range all[tag].Value {
			name := ""
			if v := i["00081155"].Value; len(v) > 0 {
				name = v[0].(string)
			}
			out.failures[name] = int(i["00081197"].Value[0].(float64))
		}
	}
	return out
}

// exported are the files that an archive gives back, by SOP Instance UID.
func exported(t testing.TB, fsys durable.Reader) map[string][]byte {
	t.Helper()
	out, a := map[string][]byte{}, export.New(fsys)
	studies, err := a.Studies()
	must(t, err)
	for _, uid := range studies {
		s, err := a.Open(uid)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		must(t, err)
		for _, i := range s.Instances() {
			f, err := s.File(i)
			must(t, err)
			var b bytes.Buffer
			_, err = f.WriteTo(&b)
			must(t, err)
			out[i.SOP.String()] = b.Bytes()
		}
	}
	return out
}

// What is posted is stored, answered one by one, and comes back byte for byte: a whole catalogue in one request, and each bad file of it refused by itself.
func TestStore(t *testing.T) {
	var bodies [][]byte
	good := map[string]bool{}
	for n, c := range phantom.Cases() {
		if !strings.HasPrefix(c.Name, "same/") && n%5 == 0 {
			bodies = append(bodies, c.Bytes())
			good[string(c.Bytes())] = true
		}
	}
	many := len(bodies)
	for _, c := range phantom.BadCases() {
		bodies = append(bodies, c.Data)
	}
	s := newSite(t, crashfs.New(), stow.Config{Bounds: ingest.Config{Files: 20}})
	r := s.post("/studies", bytes.NewReader(related(bodies...)))
	got := s.read(r)
	if r.StatusCode != http.StatusAccepted || len(got.stored) != many {
		t.Errorf("%s: %d stored of %d", r.Status, len(got.stored), many)
	}
	out := exported(t, s.fsys)
	for _, f := range out {
		if !good[string(f)] {
			t.Error("a file comes out that did not go in")
		}
	}
	for _, sop := range got.stored {
		if out[sop] == nil {
			t.Errorf("%s was acknowledged and is not there", sop)
		}
	}
	again := s.post("/studies", bytes.NewReader(related(bodies[:many]...)))
	if got := s.read(again); again.StatusCode != http.StatusOK || len(got.stored) != many {
		t.Errorf("again: %s, %d", again.Status, len(got.stored))
	}
}

// Each status of PS3.18 10.5.3.1 and each reason of annex I.2.
func TestAnswers(t *testing.T) {
	shape := phantom.Study{Number: 1, Series: 1, Instances: 2, Size: 8}
	in, all := files(t, shape)
	other, others := files(t, phantom.Study{Number: 2, Series: 1, Instances: 1, Size: 8})
	study, sop := shape.UID(), all[0].SOPInstanceUID()
	for name, c := range map[string]struct {
		path   string
		parts  [][]byte
		code   int
		stored int
		fails  map[string]int
	}{
		"of the study":       {"/studies/" + study, in, 200, 2, nil},
		"of another":         {"/studies/" + study, other, 409, 0, map[string]int{others[0].SOPInstanceUID(): 0xA900}},
		"one of another":     {"/studies/" + study, append(slices.Clone(in), other...), 202, 2, map[string]int{others[0].SOPInstanceUID(): 0xA900}},
		"no DICOM":           {"/studies", [][]byte{[]byte("hello")}, 409, 0, map[string]int{"": 0xC000}},
		"the half of one":    {"/studies", [][]byte{in[0][:len(in[0])-9]}, 409, 0, map[string]int{sop: 0xC000}},
		"one empty, one not": {"/studies", [][]byte{nil, in[0]}, 202, 1, map[string]int{"": 0xC000}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, crashfs.New(), stow.Config{})
			r := s.post(c.path, bytes.NewReader(related(c.parts...)))
			got := s.read(r)
			if r.StatusCode != c.code || len(got.stored) != c.stored || len(got.failures) != len(c.fails) {
				t.Errorf("%s, %+v", r.Status, got)
			}
			for name, reason := range c.fails {
				if got.failures[name] != reason {
					t.Errorf("%q: %#x, want %#x", name, got.failures[name], reason)
				}
			}
			if len(exported(t, s.fsys)) != c.stored {
				t.Errorf("%d files are there", len(exported(t, s.fsys)))
			}
		})
	}
	s := newSite(t, crashfs.New(), stow.Config{})
	if r := s.post("/studies", bytes.NewReader(in[0]), "Content-Type", "application/dicom"); r.StatusCode != 200 {
		t.Errorf("one bare: %s", r.Status)
	}
	for _, kind := range []string{"multipart/related; type=application/dicom; boundary=" + boundary, "multipart/related; boundary=" + boundary,
		`Multipart/Related; Type="application/dicom; transfer-syntax=1.2.840.10008.1.2.1"; Boundary="` + boundary + `"`} {
		if r := s.post("/studies", bytes.NewReader(related(in[0])), "Content-Type", kind); r.StatusCode != 200 {
			t.Errorf("%s: %s", kind, r.Status)
		}
	}
	whole := string(related(in[0]))
	for name, c := range map[string]struct {
		path, body string
		headers    []string
		code       int
	}{
		"no such place":        {"/studies/..", whole, nil, 400},
		"no UID":               {"/studies/1.2.x", whole, nil, 400},
		"not asked for":        {"/studies", whole, []string{"Accept", "application/dicom+xml"}, 406},
		"XML":                  {"/studies", whole, []string{"Content-Type", `multipart/related; type="application/dicom+xml"; boundary=x`}, 415},
		"a form":               {"/studies", whole, []string{"Content-Type", "multipart/form-data; boundary=" + boundary}, 415},
		"nothing said":         {"/studies", whole, []string{"Content-Type", ""}, 415},
		"compressed":           {"/studies", whole, []string{"Content-Encoding", "gzip"}, 415},
		"an empty boundary":    {"/studies", whole, []string{"Content-Type", `multipart/related; type="application/dicom"; boundary=""`}, 400},
		"two boundaries":       {"/studies", whole, []string{"Content-Type", `multipart/related; type="application/dicom"; boundary=a; boundary=b`}, 415},
		"a boundary of lines":  {"/studies", whole, []string{"Content-Type", "multipart/related; type=\"application/dicom\"; boundary=\"a\r\nb\""}, 415},
		"a boundary of blanks": {"/studies", whole, []string{"Content-Type", `multipart/related; type="application/dicom"; boundary="   "`}, 400},
		"the end at once":      {"/studies", "--" + boundary + "--\r\n" + whole, nil, 400},
		"one dash too few":     {"/studies", strings.ReplaceAll(whole, "--"+boundary, "-"+boundary), nil, 400},
		"a head without end":   {"/studies", "--" + boundary + "\r\nContent-Type: application/dicom", nil, 400},
		"no head":              {"/studies", "--" + boundary + "\r\nDICM", nil, 400},
		"many empty parts":     {"/studies", strings.Repeat("--"+boundary+"\r\n\r\n\r\n", 1000) + "--" + boundary + "--\r\n", nil, 409},
		"a short lie":          {"/studies", strings.Replace(whole, "Content-Type", "Content-Length: 0\r\nContent-Type", 1), nil, 409},
		"a long lie":           {"/studies", strings.Replace(whole, "Content-Type", "Content-Length: 99999999999999999999\r\nContent-Type", 1), nil, 409},
		"a negative length":    {"/studies", strings.Replace(whole, "Content-Type", "Content-Length: -1\r\nContent-Type", 1), nil, 409},
		"a part of parts":      {"/studies", strings.Replace(whole, "application/dicom", "multipart/related; boundary="+boundary, 1), nil, 409},
		"no boundary":          {"/studies", whole, []string{"Content-Type", `multipart/related; type="application/dicom"`}, 400},
		"a long boundary":      {"/studies", whole, []string{"Content-Type", `multipart/related; type="application/dicom"; boundary=` + strings.Repeat("x", 201)}, 400},
		"another boundary":     {"/studies", whole, []string{"Content-Type", `multipart/related; type="application/dicom"; boundary=other`}, 400},
		"no parts":             {"/studies", "--" + boundary + "--\r\n", nil, 400},
		"nothing":              {"/studies", "", nil, 400},
		"no last boundary":     {"/studies", strings.TrimSuffix(whole, "--"+boundary+"--\r\n"), nil, 400},
		"the half of one":      {"/studies", whole[:len(whole)/2], nil, 400},
		"a huge head":          {"/studies", "--" + boundary + "\r\nX: " + strings.Repeat("x", 20<<20) + "\r\n\r\n", nil, 400},
		"a line without end":   {"/studies", strings.Repeat("x", 1<<20), nil, 400},
		"a lie of its length":  {"/studies", strings.Replace(whole, "Content-Type", "Content-Length: 7\r\nContent-Type", 1), nil, 409},
		"no length":            {"/studies", strings.Replace(whole, "Content-Type", "Content-Length: seven\r\nContent-Type", 1), nil, 409},
		"another type of part": {"/studies", strings.Replace(whole, "application/dicom", "image/jpeg", 1), nil, 409},
		"an encoded part":      {"/studies", strings.Replace(whole, "Content-Type", "Content-Transfer-Encoding: base64\r\nContent-Type", 1), nil, 409},
	} {
		s := newSite(t, crashfs.New(), stow.Config{})
		r := s.post(c.path, strings.NewReader(c.body), c.headers...)
		if r.StatusCode != c.code {
			text, _ := io.ReadAll(r.Body)
			t.Errorf("%s: %s, want %d: %s", name, r.Status, c.code, text)
		}
		if n := len(exported(t, s.fsys)); n != 0 {
			t.Errorf("%s: %d files are there", name, n)
		}
	}
}

// A client that goes away in the middle of an instance leaves nothing of it, nor of the batch that was not durable yet; what was is whole.
func TestGoneAway(t *testing.T) {
	in, _ := files(t, phantom.Study{Number: 1, Series: 1, Instances: 4, Size: 16})
	whole := related(in...)
	for cut := 0; cut < len(whole)-4; cut += len(whole) / 37 {
		s := newSite(t, crashfs.New(), stow.Config{Bounds: ingest.Config{Files: 2}})
		r := s.post("/studies", io.MultiReader(bytes.NewReader(whole[:cut]), failing{}))
		if r.StatusCode != http.StatusBadRequest {
			t.Errorf("cut at %d: %s", cut, r.Status)
		}
		out := exported(t, s.fsys)
		if len(out) != 0 && len(out) != 2 && len(out) != 4 {
			t.Errorf("cut at %d: %d files", cut, len(out))
		}
		for _, f := range out {
			if !slices.ContainsFunc(in, func(b []byte) bool { return bytes.Equal(b, f) }) {
				t.Errorf("cut at %d: a file that was never sent", cut)
			}
		}
		if left, err := s.fsys.ReadDir(".dicomesh/tmp/0"); err == nil && len(left) > 0 {
			t.Errorf("cut at %d: %d files stay staged", cut, len(left))
		}
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Whatever moment the power is cut at: what a client was told is stored is there afterwards, byte for byte.
func TestPowerCut(t *testing.T) {
	in, all := files(t, phantom.Study{Number: 1, Series: 1, Instances: 3, Size: 8})
	bySOP := map[string][]byte{}
	for n, i := range all {
		bySOP[i.SOPInstanceUID()] = in[n]
	}
	acknowledged := 0
	for k := 0; ; k += 3 {
		fsys := crashfs.New()
		s := newSite(t, fsys, stow.Config{Bounds: ingest.Config{Files: 1}})
		from := fsys.Ops()
		fsys.Hook = crashfs.CrashAt(from + k)
		r := s.post("/studies", bytes.NewReader(related(in...)))
		var told []string
		if r.Header.Get("Content-Type") == "application/dicom+json" {
			told = s.read(r).stored
		}
		left := exported(t, fsys.Crash(rand.New(rand.NewPCG(uint64(k), 1))))
		for _, sop := range told {
			if acknowledged++; !bytes.Equal(left[sop], bySOP[sop]) {
				t.Errorf("cut at %d: %s was acknowledged and is lost", k, sop)
			}
		}
		if r.StatusCode == http.StatusOK {
			break
		}
	}
	if acknowledged < 10 {
		t.Errorf("only %d were acknowledged in all", acknowledged)
	}
}

// A full disk is 507 when nothing was stored, and a reason for each that did not fit when something was.
func TestFull(t *testing.T) {
	in, all := files(t, phantom.Study{Number: 1, Series: 1, Instances: 3, Size: 8})
	full := &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	s := newSite(t, crashfs.New(), stow.Config{Refusal: func() error { return full }})
	if r := s.post("/studies", bytes.NewReader(related(in...))); r.StatusCode != http.StatusInsufficientStorage {
		t.Errorf("refused before: %s", r.Status)
	}
	fsys := crashfs.New()
	s = newSite(t, fsys, stow.Config{})
	fsys.Hook = crashfs.FailFrom(fsys.Ops(), full, "write", "create")
	r := s.post("/studies", bytes.NewReader(related(in...)))
	if got := s.read(r); r.StatusCode != http.StatusInsufficientStorage || got.failures[all[2].SOPInstanceUID()] != 0xA700 {
		t.Errorf("full from the first byte: %s, %v", r.Status, got)
	}
	asked := 0
	s = newSite(t, crashfs.New(), stow.Config{Bounds: ingest.Config{Files: 1}, Refusal: func() error {
		if asked++; asked > 2 {
			return full
		}
		return nil
	}})
	large, big := files(t, phantom.Study{Number: 4, Series: 1, Instances: 2, Size: 740}) // more than is received in memory
	r = s.post("/studies", bytes.NewReader(related(append(slices.Clone(large), in[0])...)))
	if got := s.read(r); r.StatusCode != http.StatusAccepted || got.failures[big[1].SOPInstanceUID()] != 0 && got.failures[""] != 0xA700 || len(got.stored) != 2 {
		t.Errorf("full in between: %s, %+v, %d", r.Status, got, len(large[0]))
	}
}

// A disk that fills while one large instance comes stops that instance, and what is behind it in the request is still answered.
func TestFullInAnInstance(t *testing.T) {
	in, all := files(t, phantom.Study{Number: 1, Series: 1, Instances: 2, Size: 8})
	large := append(slices.Clone(in[0]), make([]byte, 16<<20)...) // padding behind the dataset, as much as is taken
	asked := 0
	s := newSite(t, crashfs.New(), stow.Config{Refusal: func() error {
		if asked++; asked == 3 { // after the request, and the file that it is received in
			return &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
		}
		return nil
	}})
	r := s.post("/studies", bytes.NewReader(related(large, in[1])))
	if got := s.read(r); r.StatusCode != http.StatusAccepted || got.failures[""] != 0xA700 || !slices.Equal(got.stored, []string{all[1].SOPInstanceUID()}) {
		t.Errorf("asked %d times: %s, %+v", asked, r.Status, got)
	}
}

// However much is posted, memory stays what it is, and nothing is left in the spool.
func TestMemory(t *testing.T) {
	fsys, err := durable.OpenOS(t.TempDir())
	must(t, err)
	defer fsys.Close()
	spool := t.TempDir()
	a, err := ingest.Open(fsys)
	must(t, err)
	defer a.Close()
	door := stow.New(stow.Config{Archive: a, Spool: spool})
	in, _ := files(t, phantom.Study{Number: 1, Series: 1, Instances: 1, Size: 1024}) // 2 MB
	reader, writer := io.Pipe()
	go func() {
		for range 60 {
			_, _ = fmt.Fprintf(writer, "--%s\r\n\r\n", boundary)
			_, _ = writer.Write(in[0])
			_, _ = io.WriteString(writer, "\r\n")
		}
		_, _ = fmt.Fprintf(writer, "--%s--", boundary)
		_ = writer.Close()
	}()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/studies", reader)
	r.Header.Set("Content-Type", "multipart/related; boundary="+boundary)
	w := httptest.NewRecorder()
	door.ServeHTTP(w, r)
	runtime.ReadMemStats(&after)
	if w.Code != http.StatusOK {
		t.Errorf("%d: %.300s", w.Code, w.Body)
	}
	if grown := int64(after.Sys) - int64(before.Sys); grown > 80<<20 {
		t.Errorf("memory grew by %d MB for 120 MB", grown>>20)
	}
	if left, err := os.ReadDir(spool); err != nil || len(left) > 0 {
		t.Errorf("%d files are left: %v", len(left), err)
	}
}

// What was deleted stays so, and the client hears that it is not stored, for a reason that is final; what comes with it is.
func TestDeletedBefore(t *testing.T) {
	shape := phantom.Study{Number: 1, Series: 1, Instances: 2, Size: 8}
	in, all := files(t, shape)
	s := newSite(t, crashfs.New(), stow.Config{})
	s.post("/studies", bytes.NewReader(related(in[0])))
	study, err := dedup.ParseUID(shape.UID())
	must(t, err)
	state, err := export.New(s.fsys).Open(study)
	must(t, err)
	record := state.Instances()[0].Records[0]
	sop, _ := record.Object.Find(0x00080018)
	gone, _, err := dedup.Seal(dedup.Object{sop}, dedup.Dedup{Type: dedup.TypeInstance, Delete: true, Replace: []dedup.Hash{record.Dedup.Hash, record.Dedup.Content}})
	must(t, err)
	name, text := dedup.ComposeList(dedup.Dedup{}, nil, []dedup.Object{gone})
	must(t, durable.WriteFile(s.fsys, dedup.Ref{Class: dedup.List, Name: name.String()}.In(study), dedup.Compress(nil, text)))
	for want, parts := range map[int][][]byte{http.StatusConflict: in[:1], http.StatusAccepted: in} {
		r := s.post("/studies", bytes.NewReader(related(parts...)))
		got := s.read(r)
		if r.StatusCode != want || len(got.stored) != len(parts)-1 || got.failures[all[0].SOPInstanceUID()] != 0x0124 {
			t.Errorf("%s, %+v", r.Status, got)
		}
	}
	if out := exported(t, s.fsys); len(out) != 1 || out[all[0].SOPInstanceUID()] != nil {
		t.Errorf("%d files are given back", len(out))
	}
}

// Whoever asked hears what became of each instance.
func TestReported(t *testing.T) {
	in, _ := files(t, phantom.Study{Number: 1, Series: 1, Instances: 2, Size: 8})
	var told []ingest.Result
	s := newSite(t, crashfs.New(), stow.Config{Report: func(r ingest.Result) { told = append(told, r) }})
	s.post("/studies", bytes.NewReader(related(append(in, []byte("no"))...)))
	if len(told) != 3 || told[0].Status != ingest.Refused || told[1].Status != ingest.Stored || told[2].Study == (dedup.UID{}) {
		t.Errorf("%+v", told)
	}
}

// slowSender posts a body byte by byte.
type slowSender struct {
	*io.PipeWriter
	rest []byte
}

func (s *slowSender) send(t *testing.T, n int) {
	t.Helper()
	_, err := s.Write(s.rest[:n])
	must(t, err)
	s.rest = s.rest[n:]
}

// Those who send slowly keep nobody from storing: while they still send, what another one posts is answered. What they have sent is stored as well in the end, all of it.
func TestSlowSenders(t *testing.T) {
	in, all := files(t, phantom.Study{Number: 1, Series: 1, Instances: 9, Size: 64})
	s := newSite(t, crashfs.New(), stow.Config{Senders: 2})
	answered, other := make(chan *http.Response, 4), make(chan *http.Response, 1)
	var slow []*slowSender
	for n := range 4 {
		reader, writer := io.Pipe()
		slow = append(slow, &slowSender{writer, related(in[2*n : 2*n+2]...)})
		go func() { answered <- s.post("/studies", reader) }()
	}
	for _, one := range slow[:2] {
		one.send(t, len(one.rest)*2/3) // an instance, and a part of the next
	}
	go func() { other <- s.post("/studies", bytes.NewReader(related(in[8]))) }()
	var got *http.Response
	for end := time.Now().Add(time.Minute); got == nil; {
		select {
		case got = <-other:
		case <-time.After(20 * time.Millisecond):
		}
		for _, one := range slow {
			one.send(t, 1)
		}
		if time.Now().After(end) {
			t.Fatal("those who send slowly keep others from storing")
		}
	}
	if r := s.read(got); !slices.Equal(r.stored, []string{all[8].SOPInstanceUID()}) {
		t.Errorf("%s, %+v", got.Status, r)
	}
	for _, one := range slow {
		one.send(t, len(one.rest))
		must(t, one.Close())
	}
	for range slow {
		if r := <-answered; len(s.read(r).stored) != 2 {
			t.Errorf("one that was slow: %s", r.Status)
		}
	}
	if n := len(exported(t, s.fsys)); n != 9 {
		t.Errorf("%d files are there", n)
	}
}

// FuzzBody: no body does anything but be answered.
func FuzzBody(f *testing.F) {
	in, _ := files(f, phantom.Study{Number: 1, Series: 1, Instances: 1, Size: 2})
	f.Add(related(in[0]), `multipart/related; type="application/dicom"; boundary=`+boundary)
	f.Add([]byte("--x\r\n\r\n--x--"), "multipart/related; boundary=x")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		s := newSite(t, crashfs.New(), stow.Config{})
		r := s.post("/studies", bytes.NewReader(body), "Content-Type", contentType)
		if r.StatusCode < 200 || r.StatusCode >= 500 {
			t.Errorf("%s", r.Status)
		}
	})
}
