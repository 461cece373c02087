package admin

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metric is one family that the collector gives: its name, what METRICS.md says of it, and its labels.
type metric struct {
	name, help string
	counter    bool
	labels     []string
	values     func(Status, func(value float64, labels ...string))
}

// collector turns a Status into metrics when it is asked, so that both always say the same. Studies are never a label: there are millions, and their UIDs are
// not for everybody.
type collector struct {
	source  Source
	metrics []metric
	descs   []*prometheus.Desc
}

func newCollector(source Source) *collector {
	c := &collector{source: source, metrics: families()}
	for _, m := range c.metrics {
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, m.labels, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	status := c.source.Status()
	for i, m := range c.metrics {
		kind := prometheus.GaugeValue
		if m.counter {
			kind = prometheus.CounterValue
		}
		m.values(status, func(value float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(c.descs[i], kind, value, labels...)
		})
	}
}

// families are all metrics of our own. METRICS.md tells of each, and a test compares.
func families() []metric {
	one := func(value func(Status) float64) func(Status, func(float64, ...string)) {
		return func(s Status, give func(float64, ...string)) { give(value(s)) }
	}
	return []metric{
		{name: "dicomesh_info", help: "1, with the version, the site and its cluster.", labels: []string{"version", "site", "cluster"},
			values: func(s Status, give func(float64, ...string)) { give(1, s.Version, s.Site, s.Cluster) }},
		{name: "dicomesh_ready", help: "1 when the agent does its work, 0 while it starts or stops.", values: one(func(s Status) float64 { return truth(s.Agent == Running) })},
		{name: "dicomesh_cluster_state", help: "1 for the state that the cluster is in, 0 for the others.", labels: []string{"state"}, values: oneOf([]string{"whole", "partial", "split"}, func(s Status) string { return s.State })},
		{name: "dicomesh_studies", help: "Studies by state.", labels: []string{"state"}, values: studyCounts},
		{name: "dicomesh_studies_provisional", help: "Studies of which readers are shown provisional output.", values: one(func(s Status) float64 { return float64(s.Studies.Provisional) })},
		{name: "dicomesh_site_lag_studies", help: "Studies of which a site has not got all.", labels: []string{"site"}, values: lags(func(l Lag) float64 { return float64(l.Studies) })},
		{name: "dicomesh_site_lag_bytes", help: "Bytes that a site has not got.", labels: []string{"site"}, values: lags(func(l Lag) float64 { return float64(l.Bytes) })},
		{name: "dicomesh_site_lag_seconds", help: "Age of the oldest thing that a site has not got.", labels: []string{"site"}, values: lags(func(l Lag) float64 { return l.Seconds })},
		{name: "dicomesh_inbox_waiting_files", help: "Files that are in the inbox.", values: one(func(s Status) float64 { return float64(s.Inbox.Waiting) })},
		{name: "dicomesh_inbox_stuck", help: "Files and folders in the inbox that the agent may not read, or not remove.", values: one(func(s Status) float64 { return float64(s.Inbox.Stuck) })},
		{name: "dicomesh_inbox_paused", help: "1 when nothing is taken from the inbox.", values: one(func(s Status) float64 { return truth(s.Inbox.Paused != "") })},
		{name: "dicomesh_inbox_files_total", help: "Files that were taken from the inbox, by what became of them.", counter: true, labels: []string{"result"}, values: taken},
		{name: "dicomesh_disk_free_bytes", help: "Room on the fullest file system of the site's folders.", values: one(func(s Status) float64 { return float64(s.Disk.Free) })},
		{name: "dicomesh_disk_size_bytes", help: "Size of that file system.", values: one(func(s Status) float64 { return float64(s.Disk.Size) })},
		{name: "dicomesh_disk_watermark_bytes", help: "Below so much the site is low on disk.", values: one(func(s Status) float64 { return float64(s.Disk.Watermark) })},
		{name: "dicomesh_disk_floor_bytes", help: "Below so much nothing new is taken.", values: one(func(s Status) float64 { return float64(s.Disk.Floor) })},
		{name: "dicomesh_disk_state", help: "1 for the state that the disk is in, 0 for the others.", labels: []string{"state"}, values: oneOf([]string{DiskOK, DiskLow, DiskFull, DiskReadOnly}, func(s Status) string { return s.Disk.State })},
		{name: "dicomesh_watch_folders", help: "Folders of the tree that are watched.", values: one(func(s Status) float64 { return float64(s.Watch.Watches) })},
		{name: "dicomesh_watch_overflows_total", help: "Times that the kernel lost notifications.", counter: true, values: one(func(s Status) float64 { return float64(s.Watch.Overflows) })},
		{name: "dicomesh_watch_last_cycle_timestamp_seconds", help: "When every study had last been looked at; 0: not yet.", values: one(lastCycle)},
		{name: "dicomesh_tree_reachable", help: "0 when the tree is not there: a mount that vanished.", values: one(func(s Status) float64 { return truth(s.Watch.Unreachable == "") })},
		{name: "dicomesh_regenerations_total", help: "Rounds of regeneration that ended well.", counter: true, values: one(func(s Status) float64 { return float64(s.Work.Rounds) })},
		{name: "dicomesh_regenerated_files_total", help: "Current files that were written.", counter: true, values: one(func(s Status) float64 { return float64(s.Work.Written) })},
		{name: "dicomesh_settle_failures_total", help: "Looks at studies, rounds and saves that failed; each is tried again.", counter: true, values: one(func(s Status) float64 { return float64(s.Work.Failures) })},
		{name: "dicomesh_faults_total", help: "Files of the archive that were found corrupt, or gone.", counter: true, values: one(func(s Status) float64 { return float64(s.Work.Faults) })},
		{name: "dicomesh_roster_alarms", help: "What is odd about the roster and must be looked at, by site: a second machine of its name, for one.", labels: []string{"site"}, values: alarms},
		{name: "dicomesh_site_marked", help: "1 for a site that sent what it should not have in the last 24 hours.", labels: []string{"site"}, values: marks},
		{name: "dicomesh_combined_lists_total", help: "Lists that were made of instance files and other lists.", counter: true, values: one(func(s Status) float64 { return float64(s.Combining.Lists) })},
		{name: "dicomesh_combined_files_total", help: "Instance files and lists that went into them.", counter: true, values: one(func(s Status) float64 { return float64(s.Combining.Inputs) })},
		{name: "dicomesh_collected_files_total", help: "Instance files and lists that were removed because a list accounts for them.", counter: true, values: one(func(s Status) float64 { return float64(s.Combining.Collected) })},
		{name: "dicomesh_combine_failures_total", help: "Attempts to combine or collect that failed; each is made again.", counter: true, values: one(func(s Status) float64 { return float64(s.Combining.Failures) })},
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// oneOf is a family with a value for each word.
func oneOf(words []string, is func(Status) string) func(Status, func(float64, ...string)) {
	return func(s Status, give func(float64, ...string)) {
		for _, word := range words {
			give(truth(is(s) == word), word)
		}
	}
}

func lags(value func(Lag) float64) func(Status, func(float64, ...string)) {
	return func(s Status, give func(float64, ...string)) {
		for _, site := range s.Sites {
			give(value(site.Lag), site.Name)
		}
	}
}

func alarms(s Status, give func(float64, ...string)) {
	count := make(map[string]float64, len(s.Sites))
	for _, a := range s.Alarms {
		count[a.Site]++
	}
	for _, site := range s.Sites {
		give(count[site.Name], site.Name)
	}
}

func marks(s Status, give func(float64, ...string)) {
	for _, site := range s.Sites {
		give(truth(site.Mark != nil), site.Name)
	}
}

func studyCounts(s Status, give func(float64, ...string)) {
	n := s.Studies
	give(float64(n.Settled), "settled")
	give(float64(n.Published), "published")
	give(float64(n.Syncing), "syncing")
	give(float64(n.Held), "held")
	give(float64(n.Conflict), "conflict")
	give(float64(n.Incomplete), "incomplete")
}

func taken(s Status, give func(float64, ...string)) {
	give(float64(s.Inbox.Stored), "stored")
	give(float64(s.Inbox.Duplicate), "duplicate")
	give(float64(s.Inbox.Conflict), "conflict")
	give(float64(s.Inbox.Refused), "refused")
}

func lastCycle(s Status) float64 {
	if s.Watch.LastCycle.IsZero() {
		return 0
	}
	return float64(s.Watch.LastCycle.UnixMilli()) / 1000
}

// doorCollector gives what is known at the door, and nowhere else.
type doorCollector struct{ server *Server }

// Families of the door.
var (
	certificateDesc = prometheus.NewDesc("dicomesh_http_certificate_expiry_timestamp_seconds", "When the HTTP port's certificate ends; absent without TLS.", nil, nil)
	refusedDesc     = prometheus.NewDesc("dicomesh_http_refused_total", "Requests with a token or a session that opens nothing.", nil, nil)
	pagesDesc       = prometheus.NewDesc("dicomesh_http_live_pages", "Status pages that are open now.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c doorCollector) Describe(to chan<- *prometheus.Desc) {
	to <- certificateDesc
	to <- refusedDesc
	to <- pagesDesc
}

// Collect implements prometheus.Collector.
func (c doorCollector) Collect(to chan<- prometheus.Metric) {
	if until := c.server.config.Access.TLS.Until(); !until.IsZero() {
		to <- prometheus.MustNewConstMetric(certificateDesc, prometheus.GaugeValue, float64(until.Unix()))
	}
	refused := uint64(0)
	if c.server.door != nil {
		refused = c.server.door.refused.Load()
	}
	to <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(refused))
	to <- prometheus.MustNewConstMetric(pagesDesc, prometheus.GaugeValue, float64(c.server.watching.Load()))
}
