package search_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dicomesh/dicomesh/dedup"
	"github.com/dicomesh/dicomesh/regen/web/search"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// object makes an answer of lines like `00100010 PN {"Alphabetic":"A^B"}`.
func object(t testing.TB, lines ...string) dedup.Object {
	t.Helper()
	var b strings.Builder
	for n, l := range lines {
		f := strings.SplitN(l, " ", 3)
		if n > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%s":{"vr":"%s","Value":[%s]}`, f[0], f[1], f[2])
	}
	o, err := dedup.ParseObject([]byte("{" + b.String() + "}"))
	must(t, err)
	return o
}

func uid(t testing.TB, s string) dedup.UID {
	t.Helper()
	u, err := dedup.ParseUID(s)
	must(t, err)
	return u
}

// three are the studies of two patients.
func three(t testing.TB) *search.Table {
	table := new(search.Table)
	put := func(id string, study []string, series ...[]string) {
		var below []dedup.Object
		for _, s := range series {
			below = append(below, object(t, s...))
		}
		must(t, table.Put(uid(t, id), search.MakeRow(object(t, append(study, `0020000D UI "`+id+`"`)...), below)))
	}
	put("1.1", []string{`00080020 DA "20240110"`, `00080030 TM "093000.5"`, `00080061 CS "CT","SR"`, `00100010 PN {"Alphabetic":"Müller^Ann^^","Ideographic":"山田^太郎"}`, `00100020 LO "A-17"`},
		[]string{`00080060 CS "CT"`, `0020000E UI "1.1.1"`, `00200011 IS 2`, `00400275 SQ {"00400009":{"vr":"SH","Value":["SPS1"]}},{"00400009":{"vr":"SH","Value":["SPS2"]}}`},
		[]string{`00080060 CS "SR"`, `0020000E UI "1.1.2"`})
	put("1.2", []string{`00080020 DA "2024.01.11"`, `00080030 TM "2359"`, `00080061 CS "MR"`, `00100010 PN {"Alphabetic":"MULLER^BEN"}`, `00100020 LO "a-17"`, `00081030 LO "Knee, left"`},
		[]string{`00080060 CS "MR"`, `0020000E UI "1.2.1"`, `00201209 IS 7`})
	put("1.3", []string{`00080061 CS "MR"`, `00100010 PN {"Alphabetic":"Smith^John"}`, `00100020 LO "B*1"`}, []string{`00080060 CS "MR"`, `0020000E UI "1.3.1"`})
	return table
}

func find(t testing.TB, table *search.Table, level search.Level, query string) string {
	t.Helper()
	values, err := url.ParseQuery(query)
	must(t, err)
	q, err := search.Parse(values, level)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	var out []string
	for _, f := range table.Studies(&q) {
		out = append(out, f.Study.String())
		for _, s := range f.Series {
			out = append(out, "/"+s.String())
		}
		if f.Instances > 0 {
			out = append(out, fmt.Sprint("x", f.Instances))
		}
	}
	return strings.Join(out, " ")
}

// A name is found however its letters are written, in every script that has small ones and capitals, and letters of more than two forms.
func TestCase(t *testing.T) {
	for n, same := range [][]string{{"Σίσυφος^Νίκος", "ΣΊΣΥΦΟΣ^ΝΊΚΟΣ", "σίσυφοσ^νίκοσ", "σίσυφο?^*"}, {"ſmith^Kim", "SMITH^KIM", "smith^\u212Aim", "S*"}, {"ЩЕРБА^Лев", "щерба^лев", "Щ*Лев"}, {"Åse^Ærø", "åSE^æRØ", "?se*"}} {
		for _, have := range same[:3] {
			if strings.ContainsAny(have, "*?") {
				continue
			}
			table := new(search.Table)
			must(t, table.Put(uid(t, "1.1"), search.MakeRow(object(t, `00100010 PN {"Alphabetic":"`+have+`"}`, `0020000D UI "1.1"`), []dedup.Object{object(t, `0020000E UI "1.1.1"`)})))
			for _, asked := range same {
				if got := find(t, table, search.Study, "PatientName="+url.QueryEscape(asked)); got != "1.1" {
					t.Errorf("%d: %q is not found by %q", n, have, asked)
				}
			}
		}
	}
}

// Each way of matching, by its section of PS3.4.
func TestMatching(t *testing.T) {
	table := three(t)
	for query, want := range map[string]string{
		"":                               "1.2 1.1 1.3", // the newest first, without a date last
		"PatientID=A-17":                 "1.1",         // C.2.2.2.1: case counts
		"00100020=a-17":                  "1.2",
		"PatientID=":                     "1.2 1.1 1.3", // C.2.2.2.3
		"PatientID=*":                    "1.2 1.1 1.3",
		"PatientID=?-17":                 "1.2 1.1", // C.2.2.2.4
		"PatientID=A*7":                  "1.1",
		"PatientID=A-1":                  "",
		"PatientID=B%2A1":                "1.3",
		"PatientID=*-*7*":                "1.2 1.1",
		"PatientID=??-17":                "",
		"PatientName=müller*":            "1.1", // without regard to case
		"PatientName=MULLER%5Eben":       "1.2",
		"PatientName=muller%5Eben%5E%5E": "1.2", // empty components at the end say nothing
		"PatientName=m?ller*":            "1.2 1.1",
		"PatientName=山田*":                "1.1", // each representation of a name
		"PatientName=smith":              "",
		"patientname=smith*":             "1.3",
		"StudyDate=20240110":             "1.1", // C.2.2.2.5
		"StudyDate=20240101-20240131":    "1.2 1.1",
		"StudyDate=20240111-":            "1.2",
		"StudyDate=-20240110":            "1.1",
		"StudyDate=20250101-20240101":    "",
		"StudyTime=09":                   "1.1",
		"StudyTime=0930":                 "1.1",
		"StudyTime=093000":               "1.1",
		"StudyTime=093000.4":             "",
		"StudyTime=0931-":                "1.2",
		"StudyTime=-235959":              "1.2 1.1",
		"StudyDate=20240110-20240111&StudyTime=10-23": "1.2", // one range: from the 10th at 10 to the 11th at 23:59
		"StudyDate=20240109-20240111&StudyTime=10-11": "1.1", // the 10th lies between, at any hour
		"StudyDate=20240110&StudyTime=10-":            "",
		"StudyInstanceUID=1.1,1.3":                    "1.1 1.3", // C.2.2.2.2
		`StudyInstanceUID=1.3\1.2`:                    "1.2 1.3",
		"0020000D=1.3&StudyInstanceUID=":              "1.3",
		"StudyInstanceUID=1.9":                        "",
		"ModalitiesInStudy=SR":                        "1.1",
		"ModalitiesInStudy=CT,MR":                     "1.2 1.1 1.3",
		"ModalitiesInStudy=C*":                        "1.1",
		"StudyDescription=Knee, left":                 "1.2", // a comma separates UIDs and codes only
		"StudyDescription=knee*":                      "",
		"charset=utf-8&PatientID=A-17":                "1.1", // PS3.18 section 8.3.3.2
		"includefield=all&limit=10&offset=0&PatientID=A-17&ModalitiesInStudy=CT":                                          "1.1",
		"includefield=00081030,PatientAge&includefield=RequestAttributesSequence.ScheduledProcedureStepID&PatientID=A-17": "1.1",
	} {
		if got := find(t, table, search.Study, query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for query, want := range map[string]string{
		"":                              "1.2 /1.2.1 x7 1.1 /1.1.1 /1.1.2 1.3 /1.3.1",
		"Modality=CT":                   "1.1 /1.1.1",
		"Modality=SR&PatientID=A*":      "1.1 /1.1.2",
		"SeriesNumber=2":                "1.1 /1.1.1",
		"SeriesNumber=02":               "1.1 /1.1.1",
		"SeriesInstanceUID=1.2.1,1.1.2": "1.2 /1.2.1 x7 1.1 /1.1.2",
		"RequestAttributesSequence.ScheduledProcedureStepID=SPS2": "1.1 /1.1.1",
		"00400275.00400009=SPS*":                                  "1.1 /1.1.1",
		"00400275.00401001=x":                                     "",
	} {
		if got := find(t, table, search.Series, query); got != want {
			t.Errorf("series, %s: %q, want %q", query, got, want)
		}
	}
}

// What is not understood is refused, and nothing of it is repeated.
func TestRefused(t *testing.T) {
	for _, query := range []string{"PatientNam=x", "Modality=CT", "SOPInstanceUID=1.2", "limit=x", "limit=-1", "offset=1.5", "limit=1&limit=2", "StudyInstanceUID=../x", "StudyInstanceUID=1.2*",
		"StudyDate=2024", "StudyDate=-", "StudyDate=20240101-20240102-20240103", "StudyDate=20240101*", "StudyTime=25", "StudyTime=9", "StudyTime=10:30", "fuzzymatching=yes", "includefield=", "includefield=a..b",
		"includefield=1234", "PatientID=a&PatientID=b", "TimezoneOffsetFromUTC=%2B0100", "ModalitiesInStudy=CT,M*", "PatientID=" + strings.Repeat("x", 4000), "00100020.00100020=x",
		"StudyInstanceUID=" + strings.Repeat("1.2,", 10_001), "%3Cscript%3E=1"} {
		values, err := url.ParseQuery(query)
		must(t, err)
		_, err = search.Parse(values, search.Study)
		if refused := search.Refused(""); !errors.As(err, &refused) || strings.Contains(err.Error(), "<") || strings.Contains(err.Error(), "xxx") {
			t.Errorf("%.80s: %v", query, err)
		}
	}
}

// Studies that change, come and go are found as they are, and a search that began before reads on in what was.
func TestChanges(t *testing.T) {
	table := three(t)
	change := func(id, day string) {
		must(t, table.Put(uid(t, id), search.MakeRow(object(t, `00080020 DA "`+day+`"`, `0020000D UI "`+id+`"`), nil)))
	}
	change("1.3", "20250101")
	change("1.4", "20240110")
	table.Remove(uid(t, "1.2"))
	table.Remove(uid(t, "1.9"))
	if got := find(t, table, search.Study, ""); got != "1.3 1.1 1.4" || table.Len() != 3 || len(table.UIDs()) != 3 {
		t.Errorf("%s, %d", got, table.Len())
	}
	change("1.4", "20260101")
	change("1.4", "20200101")
	if got := find(t, table, search.Study, "StudyDate=-20240201"); got != "1.1 1.4" {
		t.Error(got)
	}
	if err := table.Put(uid(t, "1.1"), []byte("dicomesh row 0\n{}")); !errors.Is(err, search.ErrRow) {
		t.Errorf("another release's row: %v", err)
	}
	if got := find(t, table, search.Study, "StudyInstanceUID=1.1"); got != "1.1" {
		t.Error("a row that cannot be read took away the one that was there")
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for n := range 200 {
				if g == 0 {
					change(fmt.Sprintf("1.%d", 10+n%7), fmt.Sprintf("202401%02d", 1+n%28))
				} else {
					find(t, table, search.Study, "StudyDate=20240101-")
				}
			}
		})
	}
	wg.Wait()
	values, q := url.Values{}, search.Query{}
	q, err := search.Parse(values, search.Study)
	must(t, err)
	for _, f := range table.Studies(&q) {
		text, err := f.Answer()
		must(t, err)
		if o, err := dedup.ParseObject(text); err != nil || o.Text(0x0020000D) != f.Study.String() {
			t.Errorf("%s answers %v: %.100s", f.Study, err, text)
		}
	}
}

// A random table answers as matching every study by itself does.
func TestAgainstPlainScan(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	table, dates := new(search.Table), map[string]string{}
	for n := range 300 {
		id, date := fmt.Sprintf("2.%d", n), fmt.Sprintf("2024%02d%02d", 1+random.IntN(3), 1+random.IntN(9))
		dates[id] = date
		must(t, table.Put(uid(t, id), search.MakeRow(object(t, `00080020 DA "`+date+`"`, `0020000D UI "`+id+`"`), nil)))
		if n%50 == 0 {
			find(t, table, search.Study, "")
		}
	}
	for range 100 {
		low, high := fmt.Sprintf("2024%02d%02d", 1+random.IntN(3), random.IntN(11)), fmt.Sprintf("2024%02d%02d", 1+random.IntN(3), random.IntN(11))
		var want []string
		for id, d := range dates {
			if d >= low && d <= high {
				want = append(want, id)
			}
		}
		got := strings.Fields(find(t, table, search.Study, "StudyDate="+low+"-"+high))
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("%s-%s: %d, want %d", low, high, len(got), len(want))
		}
	}
}

// Names are found by how they begin, whatever came, changed and went meanwhile.
func TestNames(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	table, names := new(search.Table), map[string]string{}
	for n := range 600 {
		id := fmt.Sprintf("3.%d", random.IntN(200))
		if random.IntN(5) == 0 {
			table.Remove(uid(t, id))
			delete(names, id)
		} else {
			name := fmt.Sprintf("%c%c^x", 'a'+random.IntN(4), 'a'+random.IntN(4))
			must(t, table.Put(uid(t, id), search.MakeRow(object(t, `00100010 PN {"Alphabetic":"`+strings.ToUpper(name)+`","Phonetic":"z`+name+`"}`), nil)))
			names[id] = name
		}
		if n%7 != 0 {
			continue
		}
		start := fmt.Sprintf("%c", 'a'+random.IntN(4))
		for _, query := range []string{start + "*", "z" + start + "*x", start + "a^x", start + "?^x"} {
			var want []string
			for id, name := range names {
				switch {
				case query[0] == 'z' && strings.HasPrefix(name, start), query == start+"*" && strings.HasPrefix(name, start), query == start+"?^x" && strings.HasPrefix(name, start), query == name:
					want = append(want, id)
				}
			}
			got := strings.Fields(find(t, table, search.Study, "PatientName="+url.QueryEscape(query)))
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("after %d: %s: %v, want %v", n, query, got, want)
			}
		}
	}
}

// A pattern of many stars costs no more than its length times the value's.
func TestHostilePattern(t *testing.T) {
	table := new(search.Table)
	must(t, table.Put(uid(t, "1"), search.MakeRow(object(t, `00100020 LO "`+strings.Repeat("a", 2000)+`"`), nil)))
	began := time.Now()
	if got := find(t, table, search.Study, "PatientID="+strings.Repeat("a*", 1000)+"b"); got != "" {
		t.Error(got)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("took %v", took)
	}
}

// FuzzQuery: no parameters do anything but match, or be refused.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"PatientName=a*^?", "StudyDate=20240101-&StudyTime=1030", `StudyInstanceUID=1\2,3`, "includefield=all&limit=1", "00400275.00400009=*"} {
		f.Add(s)
	}
	table := three(f)
	f.Fuzz(func(_ *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		for _, l := range []search.Level{search.Study, search.Series, search.Instance} {
			if q, err := search.Parse(values, l); err == nil {
				table.Studies(&q)
			}
		}
	})
}

// FuzzRow: no text makes a row that a search stumbles over.
func FuzzRow(f *testing.F) {
	f.Add(search.MakeRow(object(f, `00080020 DA "20240101"`), []dedup.Object{object(f, `00080060 CS "CT"`)}))
	f.Add([]byte("dicomesh row 1\n{}\n[\"\"]\nnull"))
	f.Fuzz(func(t *testing.T, row []byte) {
		table := new(search.Table)
		if table.Put(dedup.UID{}, row) != nil {
			return
		}
		q, err := search.Parse(url.Values{"Modality": {"CT"}}, search.Series)
		must(t, err)
		table.Studies(&q)
	})
}

// A page is that of all that is found, and all of that is counted; what may not be shown is neither.
func TestPage(t *testing.T) {
	table := three(t)
	for query, want := range map[string]string{"": "1.2 1.1 1.3 of 3", "limit=2": "1.2 1.1 of 3", "limit=2&offset=1": "1.1 1.3 of 3", "offset=9": " of 3", "limit=0": " of 3", "PatientID=?-17&limit=1&offset=1": "1.1 of 2", "PatientID=x": " of 0"} {
		values, err := url.ParseQuery(query)
		must(t, err)
		q, err := search.Parse(values, search.Study)
		must(t, err)
		if q.Limit < 0 {
			q.Limit = 100
		}
		for _, shown := range []func(dedup.UID) bool{nil, func(dedup.UID) bool { return true }} {
			page, all := table.Page(&q, shown)
			var got []string
			for _, f := range page {
				got = append(got, f.Study.String())
			}
			if text := fmt.Sprint(strings.Join(got, " "), " of ", all); text != want {
				t.Errorf("%q: %s, want %s", query, text, want)
			}
		}
		if page, all := table.Page(&q, func(u dedup.UID) bool { return false }); len(page) != 0 || all != 0 {
			t.Errorf("%q: %d of %d are shown", query, len(page), all)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	row := search.MakeRow(object(b, `00080020 DA "20240110"`, `00080030 TM "101112"`, `00080050 SH "A1"`, `00080061 CS "CT"`, `00080090 PN {"Alphabetic":"Doctor^X"}`, `00100010 PN {"Alphabetic":"Patient^A"}`, `00100020 LO "P1"`,
		`0020000D UI "1.2"`), []dedup.Object{object(b, `00080060 CS "CT"`, `0020000E UI "1.2.1"`), object(b, `00080060 CS "CT"`, `0020000E UI "1.2.2"`)})
	table, u := new(search.Table), uid(b, "1.2")
	for b.Loop() {
		must(b, table.Put(u, row))
	}
}

func BenchmarkStudies(b *testing.B) {
	table := new(search.Table)
	for n := range 100_000 {
		day := time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n%3650)
		id := fmt.Sprintf("1.2.826.0.1.3680043.8.498.%d", n)
		study := object(b, `00080020 DA "`+day.Format("20060102")+`"`, `00080030 TM "101112"`, `00080050 SH "`+fmt.Sprint(n)+`"`, `00080061 CS "CT"`, `00080090 PN {"Alphabetic":"Doctor^X"}`,
			`00100010 PN {"Alphabetic":"Patient^`+fmt.Sprint(n%9999)+`"}`, `00100020 LO "P`+fmt.Sprint(n)+`"`, `0020000D UI "`+id+`"`)
		must(b, table.Put(uid(b, id), search.MakeRow(study, []dedup.Object{object(b, `00080060 CS "CT"`, `0020000E UI "`+id+`.1"`)})))
	}
	for _, query := range []string{"StudyDate=20200101-20200107", "PatientName=patient^12*", "PatientID=P77", "StudyInstanceUID=1.2.826.0.1.3680043.8.498.5", "ModalitiesInStudy=MR"} {
		values, err := url.ParseQuery(query)
		must(b, err)
		q, err := search.Parse(values, search.Study)
		must(b, err)
		b.Run(query, func(b *testing.B) {
			for b.Loop() {
				found := table.Studies(&q)
				for _, f := range found[:min(100, len(found))] {
					if _, err := f.Answer(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
