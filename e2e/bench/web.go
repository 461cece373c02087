package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// webbing measures what a DICOMweb answer costs the server in CPU: dicomesh serve, nginx on the same current tree by packaging/nginx.conf, and Orthanc with its DICOMweb plugin, each alone, asked
// the same over one connection that is kept. And how long a search takes among 100,000 studies.
type webbing struct {
	Requests int    `default:"2000" help:"How often each thing is asked of dicomesh and nginx in one go."`
	Rounds   int    `default:"5" help:"How often each go is measured, in turns; medians are printed."`
	Studies  int    `default:"100000" help:"Studies to search among."`
	Smoke    bool   `help:"20 slices, few requests: that it runs, not how fast."`
	Dir      string `placeholder:"DIR" help:"Where the files are made (the folder for temporary files)."`
	Binary   string `placeholder:"FILE" help:"The dicomesh to measure; built from this checkout if not given."`

	folder, binary string
	asked          []asked
	took           time.Duration // Orthanc's, to take the files in
}

// asked is a question with what its answers cost.
type asked struct {
	question
	answers
}

// The bounds that the project holds itself to.
const (
	mostFrame   = 1.5  // times what nginx takes
	mostJSON    = 0.1  // ms more than nginx takes
	leastRival  = 50.0 // times less than Orthanc's plugin takes
	agentURL    = "http://127.0.0.1:8730"
	currentPath = "/var/lib/dicomesh/current"
)

// Run measures and prints.
func (b *webbing) Run(ctx context.Context) (err error) {
	if b.Smoke {
		b.Requests, b.Rounds, b.Studies = 20, 1, 1000
	}
	place := ingest{Smoke: true, Dir: b.Dir, Binary: b.Binary}
	if place.Dir == "" {
		place.Dir = os.TempDir()
	}
	var done func() error
	if b.folder, done, err = place.place(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	if b.binary, err = place.binary(ctx, b.folder); err != nil {
		return err
	}
	size := shape{1, 500, false}
	if b.Smoke {
		size = shape{1, 20, false}
	}
	source := filepath.Join(b.folder, "source")
	if err := makeStudy(ctx, source, size, b.Smoke); err != nil {
		return err
	}
	for _, args := range [][]string{{"ingest", "--tree", filepath.Join(b.folder, "tree"), source}, {"regen", "--tree", filepath.Join(b.folder, "tree"), "--current", filepath.Join(b.folder, "current")}} {
		if err := command(ctx, b.binary, args...); err != nil {
			return err
		}
	}
	if err := b.servers(ctx, source); err != nil {
		return err
	}
	return b.searches(ctx, os.Stdout)
}

// server is a process whose CPU is measured, and where it is asked.
type server struct {
	name  string
	cmd   *exec.Cmd
	base  string
	child bool // the one that works is its child
}

// pid is the process that answers.
func (s *server) pid() (int, error) {
	if !s.child {
		return s.cmd.Process.Pid, nil
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", s.cmd.Process.Pid, s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	return strconv.Atoi(first)
}

// cpu is what the process has used so far, of all its threads.
func (s *server) cpu() (time.Duration, error) {
	pid, err := s.pid()
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, errors.New("/proc/PID/stat is not what it was")
	}
	var ticks int64
	for _, n := range f[11:13] {
		v, err := strconv.ParseInt(n, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += v
	}
	return time.Duration(ticks) * (time.Second / 100), nil
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

// started waits until a server answers.
func (s *server) started(ctx context.Context, path string) error {
	for range 400 {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
		if err != nil {
			return err
		}
		if a, err := http.DefaultClient.Do(r); err == nil {
			return a.Body.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s does not answer", s.name)
}

// free is an address that nobody listens at now.
func free() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (b *webbing) dicomesh(ctx context.Context) (*server, error) {
	s := &server{name: "dicomesh", cmd: exec.CommandContext(ctx, b.binary, "serve", "--current", filepath.Join(b.folder, "current"), "--tree", filepath.Join(b.folder, "tree"), "--http", "127.0.0.1:0")}
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	s.base = strings.TrimSuffix(strings.TrimSpace(line), "/studies")
	return s, err
}

// nginx is nil where it is not installed.
func (b *webbing) nginx(ctx context.Context, before *server) (*server, error) {
	binary := "/usr/sbin/nginx"
	if _, err := os.Stat(binary); err != nil {
		return nil, nil
	}
	address, err := free()
	if err != nil {
		return nil, err
	}
	module, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(module)), "packaging", "nginx.conf"))
	if err != nil {
		return nil, err
	}
	site := strings.NewReplacer("127.0.0.1:8080", address, currentPath, filepath.Join(b.folder, "current"), agentURL, strings.TrimSuffix(before.base, "/dicomweb")).Replace(string(text))
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n"
	}
	whole := fmt.Sprintf("%spid %s/nginx.pid; daemon off; worker_processes 1; error_log %s/nginx.log;\nevents {}\nhttp { access_log off; keepalive_requests 1000000; client_body_temp_path %s/t;\n%s}\n", user, b.folder, b.folder, b.folder, site)
	file := filepath.Join(b.folder, "nginx.conf")
	if err := os.WriteFile(file, []byte(whole), 0o644); err != nil {
		return nil, err
	}
	s := &server{name: "nginx", cmd: exec.CommandContext(ctx, binary, "-p", b.folder, "-c", file), base: "http://" + address + "/dicomweb", child: true}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	return s, s.started(ctx, "/studies")
}

// orthanc has the same files; nil where it is not installed.
func (b *webbing) orthanc(ctx context.Context, source string) (*server, error) {
	const plugin = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
	binary, err := exec.LookPath("Orthanc")
	if _, err2 := os.Stat(plugin); err != nil || err2 != nil {
		return nil, nil
	}
	address, err := free()
	if err != nil {
		return nil, err
	}
	store := filepath.Join(b.folder, "orthanc")
	config := fmt.Sprintf(`{"StorageDirectory":%q,"IndexDirectory":%q,"HttpPort":%s,"DicomServerEnabled":false,"AuthenticationEnabled":false,"Plugins":[%q],"StableAge":1,"KeepAlive":true,"DicomWeb":{"Enable":true,"Root":"/dicomweb/"}}`,
		store, store, address[strings.LastIndexByte(address, ':')+1:], plugin)
	file := filepath.Join(b.folder, "orthanc.json")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, err
	}
	s := &server{name: "orthanc", cmd: exec.CommandContext(ctx, binary, file), base: "http://" + address + "/dicomweb"}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if err := s.started(ctx, "/../system"); err != nil {
		return s, err
	}
	began := time.Now()
	err = filepath.WalkDir(source, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		return upload(ctx, "http://"+address+"/instances", path)
	})
	b.took = time.Since(began)
	return s, err
}

func upload(ctx context.Context, url, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(data))
	if err != nil {
		return err
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, a.Body)
	return errors.Join(err, a.Body.Close())
}

// question is something that all are asked.
type question struct {
	what, path, accept string
	zipped             bool
	most               func(ours, nginx float64) bool
	bound              string
	rival              int // how often Orthanc is asked; 0: it is not
	ratio              float64
}

// questions are asked about the one study that there is.
func (b *webbing) questions(ctx context.Context, s *server) ([]question, error) {
	var rows []map[string]struct{ Value []any }
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/instances?limit=1", nil)
	if err != nil {
		return nil, err
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	if err := json.NewDecoder(a.Body).Decode(&rows); err != nil || len(rows) != 1 {
		return nil, fmt.Errorf("%d instances, %w", len(rows), err)
	}
	uid := func(tag string) string { return fmt.Sprint(rows[0][tag].Value[0]) }
	study := "/studies/" + uid("0020000D")
	series := study + "/series/" + uid("0020000E")
	frame := func(ours, nginx float64) bool { return ours <= mostFrame*nginx }
	text := func(ours, nginx float64) bool { return ours <= nginx+mostJSON }
	few := 3
	return []question{
		{"a frame, bare", series + "/instances/" + uid("00080018") + "/frames/1", "application/octet-stream", false, frame, "1.5 x nginx", 0, 0},
		{"a frame, as a part", series + "/instances/" + uid("00080018") + "/frames/1", `multipart/related; type="application/octet-stream"`, false, nil, "", 50, 1},
		{"metadata of the series", series + "/metadata", "application/dicom+json", true, text, "nginx + 0.1 ms", few, leastRival},
		{"instances of the series", series + "/instances", "application/dicom+json", true, text, "nginx + 0.1 ms", few, leastRival},
		{"series of the study", study + "/series", "application/dicom+json", true, text, "nginx + 0.1 ms", 50, 1},
		{"an instance's metadata", series + "/instances/" + uid("00080018") + "/metadata", "application/dicom+json", true, nil, "", 20, 1},
	}, nil
}

// ask asks the same so many times over one connection, and returns what that cost the server for each, in ms.
func (s *server) ask(ctx context.Context, q question, times int) (float64, error) {
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, DisableCompression: true}}
	defer client.CloseIdleConnections()
	before, err := s.cpu()
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 256<<10)
	for range times {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+q.path, nil)
		if err != nil {
			return 0, err
		}
		r.Header.Set("Accept", q.accept)
		if q.zipped {
			r.Header.Set("Accept-Encoding", "gzip")
		}
		a, err := client.Do(r)
		if err != nil {
			return 0, err
		}
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{a.Body}, buf)
		if err = errors.Join(err, a.Body.Close()); err != nil || a.StatusCode != http.StatusOK || n == 0 {
			return 0, fmt.Errorf("%s: %s: %s, %d bytes, %w", s.name, q.what, a.Status, n, err)
		}
	}
	after, err := s.cpu()
	return (after - before).Seconds() * 1000 / float64(times), err
}

// rivals are the servers that are asked; nginx and orthanc are nil where they are not installed.
type rivals struct{ ours, nginx, orthanc *server }

func (r rivals) stop() {
	for _, s := range []*server{r.nginx, r.orthanc, r.ours} {
		if s != nil {
			s.stop()
		}
	}
}

// serve starts all of them. What has been started is stopped by the caller, also after an error.
func (b *webbing) serve(ctx context.Context, source string) (r rivals, err error) {
	if r.ours, err = b.dicomesh(ctx); err != nil {
		return r, err
	}
	if r.nginx, err = b.nginx(ctx, r.ours); err != nil {
		return r, err
	}
	r.orthanc, err = b.orthanc(ctx, source)
	return r, err
}

// servers asks all of them in turns, and prints medians.
func (b *webbing) servers(ctx context.Context, source string) error {
	of, err := b.serve(ctx, source)
	defer of.stop()
	if err != nil {
		return err
	}
	questions, err := b.questions(ctx, of.ours)
	if err != nil {
		return err
	}
	fmt.Println("Server CPU a request, ms: medians of", b.Rounds, "goes of", b.Requests, "requests on one connection\n\n| | dicomesh | nginx | Orthanc | bound | |\n|---|---|---|---|---|---|")
	for _, q := range questions {
		a, err := b.measure(ctx, q, of)
		if err != nil {
			return err
		}
		fmt.Print(q.row(a))
		b.asked = append(b.asked, asked{q, a})
	}
	return nil
}

// answers are what a question cost each, in ms; nothing of those who are not there.
type answers struct{ ours, nginx, orthanc []float64 }

// measure asks a question in turns.
func (b *webbing) measure(ctx context.Context, q question, of rivals) (a answers, err error) {
	for range b.Rounds {
		for s, to := range map[*server]*[]float64{of.ours: &a.ours, of.nginx: &a.nginx} {
			if s == nil || s == of.nginx && q.most == nil {
				continue
			}
			v, err := s.ask(ctx, q, b.Requests)
			if err != nil {
				return a, err
			}
			*to = append(*to, v)
		}
	}
	if of.orthanc != nil && q.rival > 0 {
		v, err := of.orthanc.ask(ctx, q, q.rival)
		if err != nil {
			return a, err
		}
		a.orthanc = append(a.orthanc, v)
	}
	return a, nil
}

// row is the line of a question in the table.
func (q question) row(a answers) string {
	told := func(v []float64) string {
		if len(v) == 0 {
			return ""
		}
		return fmt.Sprintf("%.3f", spreadOf(v).median)
	}
	verdict, bound := "", q.bound
	m := spreadOf(a.ours).median
	if len(a.nginx) > 0 {
		verdict = held(q.most(m, spreadOf(a.nginx).median))
	}
	if len(a.orthanc) > 0 {
		times := spreadOf(a.orthanc).median / max(m, 0.0005)
		bound = strings.TrimPrefix(fmt.Sprintf("%s, Orthanc / %.0f", bound, q.ratio), ", ")
		verdict = strings.TrimPrefix(verdict+", "+held(times >= q.ratio)+fmt.Sprintf(" (%.0f times)", times), ", ")
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s |\n", q.what, told(a.ours), told(a.nginx), told(a.orthanc), bound, verdict)
}

func held(ok bool) string {
	if ok {
		return "held"
	}
	return "NOT HELD"
}

// quantile is the value below which so much of the sorted values lies.
func quantile(sorted []float64, q float64) float64 {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func sortedMS(d []time.Duration) []float64 {
	out := make([]float64, len(d))
	for i, v := range d {
		out[i] = v.Seconds() * 1000
	}
	slices.Sort(out)
	return out
}
