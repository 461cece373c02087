package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that is written as people write it: 500ms, 2s, 10m, 24h, 1h30m.
type Duration time.Duration

// UnmarshalText reads it. A number without a unit is an error, for nobody knows whether it was meant in seconds.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a length of time: write 500ms, 2s, 10m or 1h30m", text)
	}
	*d = Duration(parsed)
	return nil
}

func (d Duration) String() string { return time.Duration(d).String() }

// Size is a number of bytes that is written as people write it: 512, 64 MiB, 10GiB, 2.5 GB.
type Size int64

// UnmarshalText reads it: a number, and a unit of 1000 (kB, MB, GB, TB) or 1024 (KiB, MiB, GiB, TiB).
func (s *Size) UnmarshalText(text []byte) error {
	unit := map[string]float64{"": 1, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
	given := strings.TrimSpace(string(text))
	digits := strings.TrimRight(given, "BkKMGTi ")
	factor, known := unit[strings.TrimSpace(given[len(digits):])]
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !known || !(n >= 0 && n*factor < math.MaxInt64/2) { // NaN is neither
		return fmt.Errorf("%q is not a size: write 512 MiB, 10 GiB or 2 TB", text)
	}
	*s = Size(n * factor)
	return nil
}

// String prints a size so that UnmarshalText reads it.
func (s Size) String() string {
	units, n := []string{"B", "KiB", "MiB", "GiB", "TiB"}, int64(s)
	for len(units) > 1 && n != 0 && n%1024 == 0 {
		n, units = n/1024, units[1:]
	}
	return strconv.FormatInt(n, 10) + " " + units[0]
}

// Rate is bytes a second, written as people write it: 20 Mbit/s, 1 Gbit/s, 2.5 MB/s; 0 is none.
type Rate int64

// rateUnits are the units of a rate in bytes a second, the largest first.
var rateUnits = []struct {
	name  string
	bytes float64
}{{"Gbit/s", 1e9 / 8}, {"Mbit/s", 1e6 / 8}, {"kbit/s", 1e3 / 8}, {"GB/s", 1e9}, {"MB/s", 1e6}, {"kB/s", 1e3}}

// UnmarshalText reads it: 0, or a number and a unit. A number without a unit is an error, for bits and bytes are eight times apart.
func (r *Rate) UnmarshalText(text []byte) error {
	given := strings.TrimSpace(string(text))
	if given == "0" {
		*r = 0
		return nil
	}
	for _, unit := range rateUnits {
		digits, has := strings.CutSuffix(given, unit.name)
		n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if has && err == nil && n > 0 && n*unit.bytes < math.MaxInt64/2 {
			*r = Rate(n * unit.bytes)
			return nil
		}
	}
	return fmt.Errorf("%q is not a rate: write 20 Mbit/s, 1 Gbit/s or 2.5 MB/s, or 0 for none", text)
}

// String prints a rate in bits so that UnmarshalText reads it.
func (r Rate) String() string {
	if r == 0 {
		return "0"
	}
	for _, unit := range rateUnits[:3] {
		if n := float64(r) / unit.bytes; n >= 1 || unit.name == "kbit/s" {
			return strconv.FormatFloat(n, 'f', -1, 64) + " " + unit.name
		}
	}
	return ""
}
