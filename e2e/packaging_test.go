package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAlerts has Prometheus' own tool check the alert rules and fire each of them, and holds that each rule has its test and asks for metrics that there are.
func TestAlerts(t *testing.T) {
	folder := filepath.Join(root(t), "packaging")
	text := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	rules, tests, known := text(filepath.Join(folder, "alerts.yaml")), text(filepath.Join(folder, "alerts_test.yaml")), text(filepath.Join(root(t), "cmd", "dicomesh", "admin", "METRICS.md"))
	for _, m := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(rules, -1) {
		if !regexp.MustCompile(`alertname: ` + m[1] + `\n\s+exp_alerts:\n`).MatchString(tests) {
			t.Errorf("no test fires %s", m[1])
		}
	}
	for _, name := range regexp.MustCompile(`\bdicomesh_\w+`).FindAllString(rules, -1) {
		if !strings.Contains(known, "| "+name+" |") {
			t.Errorf("a rule asks for %s, which METRICS.md does not tell of", name)
		}
	}
	if _, err := exec.LookPath("promtool"); err != nil {
		missing(t, "promtool")
	}
	for _, arguments := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		c := exec.Command("promtool", arguments...)
		c.Dir = folder
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v: %s", arguments, err, out)
		}
	}
}

// TestUnit has systemd judge the unit: that it can be read as a whole, and that what it gives away is little.
func TestUnit(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		missing(t, "systemd-analyze")
	}
	text, err := os.ReadFile(filepath.Join(root(t), "packaging", "dicomesh.service"))
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "dicomesh.service")
	here := strings.Replace(string(text), "/usr/local/bin/dicomesh", filepath.Join(binDir(), "dicomesh"), 1)
	if err := os.WriteFile(unit, []byte(here), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, arguments := range [][]string{{"verify", unit}, {"security", "--offline=yes", "--threshold=20", unit}} {
		if out, err := exec.Command("systemd-analyze", arguments...).CombinedOutput(); err != nil {
			t.Errorf("systemd-analyze %v: %v: %s", arguments, err, out)
		}
	}
}
