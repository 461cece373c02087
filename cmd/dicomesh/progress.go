package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress tells whoever waits how far a task is: with a bar on a terminal, elsewhere with a line now and then, and where JSON is asked for not at all.
// Its methods may be called by several at a time.
type progress struct {
	terminal *terminal
	bar      *progressbar.ProgressBar // nil away from a terminal
	title    string
	total    int64 // bytes; -1: nobody knows
	began    time.Time

	mu       sync.Mutex // guards what follows
	bytes    int64
	part     string    // of the task, that is done now
	next     time.Time // of the line to come, at the earliest
	finished bool
}

// pause is how long a task goes on before its first line, and at the least between two: tasks that are soon done leave nothing in a log.
const pause = 10 * time.Second

// progress begins to show how far a task of so many bytes is, -1 if nobody knows how many. Call finish.
func (t *terminal) progress(title string, total int64) *progress {
	p := &progress{terminal: t, title: title, total: total, began: time.Now()}
	p.next = p.began.Add(t.pause)
	if !t.watched || t.json {
		return p
	}
	below := t.err
	if a, ok := below.(above); ok {
		below = a.Writer
	}
	p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(below), progressbar.OptionSetDescription(title),
		progressbar.OptionShowBytes(true), progressbar.OptionSetWidth(20), progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
	t.drawn = p
	return p
}

// add says that n more bytes are done.
func (p *progress) add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes += n; p.bar != nil {
		_ = p.bar.Add64(n) // a bar that cannot be drawn is no reason to fail
	}
	p.line()
}

// Write counts what passes by.
func (p *progress) Write(data []byte) (int, error) {
	p.add(int64(len(data)))
	return len(data), nil
}

// study says that the n-th of so many studies is begun.
func (p *progress) study(n, of int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.part = fmt.Sprintf("study %d of %d", n, of)
	if p.bar != nil {
		p.bar.Describe(p.title + " " + p.part)
	}
	p.line()
}

// line says how far the task is, if that has not been said lately: every ten seconds at first, and once a minute in the end.
func (p *progress) line() {
	now := time.Now()
	if p.bar != nil || p.terminal.json || p.finished || now.Before(p.next) {
		return
	}
	took := now.Sub(p.began)
	p.next = now.Add(max(p.terminal.pause, min(took/4, time.Minute)))
	_, _ = fmt.Fprintln(p.terminal.err, p.title+": "+p.words(took)) // a line that nobody reads is no reason to fail
}

// words say how far the task is after so long.
func (p *progress) words(took time.Duration) string {
	var words []string
	if p.part != "" {
		words = append(words, p.part)
	}
	if p.total <= 0 {
		words = append(words, size(p.bytes))
	} else {
		words = append(words, fmt.Sprintf("%s of %s", size(p.bytes), size(p.total)), fmt.Sprintf("%d %%", min(100*p.bytes/p.total, 100)))
	}
	words = append(words, "for "+ago(took.Seconds()))
	if p.bytes > 0 && p.bytes < p.total {
		words = append(words, "some "+ago(took.Seconds()*float64(p.total-p.bytes)/float64(p.bytes))+" left")
	}
	return strings.Join(words, ", ")
}

// finish takes the bar away. It may be called again.
func (p *progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil && !p.finished {
		_ = p.bar.Exit() // a bar that cannot be drawn is no reason to fail
		_ = p.bar.Clear()
		p.terminal.drawn = nil
	}
	p.finished = true
}

// clear makes room for a line where the bar is, which is drawn again below.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.bar.Clear() // a bar that cannot be drawn is no reason to fail
}
