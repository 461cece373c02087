package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/dedup/durable"
	"github.com/dicomesh/dicomesh/regen/web"
	"github.com/dicomesh/dicomesh/regen/web/search"
)

// made is the row of a study that never was: one of some 25 a day.
func made(n int) (dedup.UID, []byte, error) {
	day := time.Date(2014, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n/25)
	uid := fmt.Sprintf("1.2.826.0.1.3680043.8.498.%d.%d", n, n*7919%1000003)
	modality := []string{"CT", "MR", "US", "CR"}[n%4]
	study, err := dedup.ParseObject(fmt.Appendf(nil, `{"00080005":{"vr":"CS","Value":["ISO_IR 192"]},"00080020":{"vr":"DA","Value":["%s"]},"00080030":{"vr":"TM","Value":["%02d%02d00"]},"00080050":{"vr":"SH","Value":["A%07d"]},`+
		`"00080056":{"vr":"CS","Value":["ONLINE"]},"00080061":{"vr":"CS","Value":["%s"]},"00080090":{"vr":"PN","Value":[{"Alphabetic":"Doctor^Who"}]},"00081030":{"vr":"LO","Value":["Study of part %d"]},"00081190":{"vr":"UR","Value":["studies/%s"]},`+
		`"00100010":{"vr":"PN","Value":[{"Alphabetic":"Patient%d^Name%d"}]},"00100020":{"vr":"LO","Value":["P%06d"]},"00100030":{"vr":"DA","Value":["19%02d0101"]},"00100040":{"vr":"CS","Value":["F"]},"0020000D":{"vr":"UI","Value":["%s"]},`+
		`"00200010":{"vr":"SH","Value":["%d"]},"00201206":{"vr":"IS","Value":[3]},"00201208":{"vr":"IS","Value":[300]}}`,
		day.Format("20060102"), n%24, n%60, n, modality, n%40, uid, n%30011, n%97, n%40009, n%80, uid, n%100))
	if err != nil {
		return dedup.UID{}, nil, err
	}
	var series []dedup.Object
	for k := range 3 {
		o, err := dedup.ParseObject(fmt.Appendf(nil, `{"00080060":{"vr":"CS","Value":["%s"]},"0008103E":{"vr":"LO","Value":["axial %d"]},"0020000E":{"vr":"UI","Value":["%s.%d"]},"00200011":{"vr":"IS","Value":[%d]},"00201209":{"vr":"IS","Value":[100]}}`, modality, k, uid, k, k+1))
		if err != nil {
			return dedup.UID{}, nil, err
		}
		series = append(series, o)
	}
	parsed, err := dedup.ParseUID(uid)
	return parsed, search.MakeRow(study, series), err
}

// searches prints how long clients wait for searches among many studies, over HTTP.
func (b *webbing) searches(ctx context.Context, w io.Writer) error {
	table, began := new(search.Table), time.Now()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for n := range b.Studies {
		uid, row, err := made(n)
		if err == nil {
			err = table.Put(uid, row)
		}
		if err != nil {
			return err
		}
	}
	took := time.Since(began)
	runtime.GC()
	runtime.ReadMemStats(&after)
	empty, err := os.MkdirTemp(b.folder, "empty-")
	if err != nil {
		return err
	}
	current, err := durable.OpenOS(empty)
	if err != nil {
		return err
	}
	defer current.Close()
	s := httptest.NewServer(web.New(web.Config{Current: current, Rows: table}))
	defer s.Close()
	random := rand.New(rand.NewPCG(1, 2))
	days := b.Studies/25 + 1
	day := func(n int) string {
		return time.Date(2014, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n).Format("20060102")
	}
	_, err = fmt.Fprintf(w, "\nSearches among %d studies over HTTP, %d of each; entered in %.1f s, %d MB\n\n| | rows | p50 ms | p99 ms |\n|---|---|---|---|\n", b.Studies, b.Requests/4+5, took.Seconds(), (after.HeapAlloc-before.HeapAlloc)>>20)
	for _, c := range []struct {
		what string
		path func() string
	}{
		{"a week of dates", func() string { n := random.IntN(days); return "/studies?StudyDate=" + day(n) + "-" + day(n+6) }},
		{"a day, by modality", func() string { return "/studies?StudyDate=" + day(random.IntN(days)) + "&ModalitiesInStudy=CT" }},
		{"a year of dates, its first 100", func() string {
			n := random.IntN(days)
			return "/studies?limit=100&StudyDate=" + day(n) + "-" + day(n+365)
		}},
		{"a patient's ID", func() string { return fmt.Sprintf("/studies?PatientID=P%06d", random.IntN(40009)) }},
		{"an accession number", func() string { return fmt.Sprintf("/studies?AccessionNumber=A%07d", random.IntN(b.Studies)) }},
		{"the beginning of a name", func() string { return fmt.Sprintf("/studies?limit=100&PatientName=patient%d*", 100+random.IntN(900)) }},
		{"the first 100 of all", func() string { return "/studies?limit=100" }},
	} {
		if err == nil {
			err = timeSearches(ctx, w, c.what, s.URL, b.Requests/4+5, c.path)
		}
	}
	return err
}

func timeSearches(ctx context.Context, w io.Writer, what, base string, times int, path func() string) error {
	var waits []time.Duration
	rows := 0
	for range times {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path(), nil)
		if err != nil {
			return err
		}
		r.Header.Set("Accept-Encoding", "identity")
		began := time.Now()
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(a.Body)
		waits = append(waits, time.Since(began))
		if err2 := a.Body.Close(); err != nil || err2 != nil || a.StatusCode >= 300 {
			return fmt.Errorf("%s: %s, %w", what, a.Status, err)
		}
		rows += countRows(text)
	}
	ms := sortedMS(waits)
	_, err := fmt.Fprintf(w, "| %s | %d | %.2f | %.2f |\n", what, rows/times, quantile(ms, 0.5), quantile(ms, 0.99))
	return err
}

// countRows counts what each row has once.
func countRows(text []byte) (n int) {
	for at := 0; at+10 <= len(text); at++ {
		if string(text[at:at+10]) == `"0020000D"` {
			n++
		}
	}
	return n
}
