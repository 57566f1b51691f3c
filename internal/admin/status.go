package admin

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// statusPage shows to people what /metrics shows to machines: every number of
// ours, and whether mail is taken and read.
func statusPage(metrics prometheus.Gatherer, healthy func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page := status{Health: "Mail is taken and read."}
		if err := healthy(); err != nil {
			page.Health, page.Ill = err.Error(), true
		}
		rows, err := gather(metrics, time.Now())
		if err != nil {
			page.Trouble = err.Error()
		}
		page.Groups = grouped(rows)
		var text bytes.Buffer
		if err := statusTemplate.Execute(&text, page); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		h.Set("Cache-Control", "no-store")
		_, _ = w.Write(text.Bytes()) // the peer is gone where this fails
	})
}

type status struct {
	Health, Trouble string
	Ill             bool
	Groups          []statusGroup
}

type statusGroup struct {
	Name string
	Rows []statusRow
}

// statusRow is one number.
type statusRow struct{ Name, Labels, Value, Help string }

const ours = "letterlock_"

// gather reads the numbers that are ours. What could be read is answered with an
// error.
func gather(metrics prometheus.Gatherer, now time.Time) (rows []statusRow, err error) {
	families, err := metrics.Gather()
	for _, f := range families {
		name, isOurs := strings.CutPrefix(f.GetName(), ours)
		if !isOurs {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			row := statusRow{Name: name, Labels: strings.Join(labels, ", "), Help: f.GetHelp()}
			switch h := m.GetHistogram(); {
			case h != nil && h.GetSampleCount() > 0:
				row.Value = fmt.Sprintf("%d, on average %s", h.GetSampleCount(), amount(name, h.GetSampleSum()/float64(h.GetSampleCount()), now))
			case h != nil:
				row.Value = "0"
			default:
				row.Value = amount(name, m.GetGauge().GetValue()+m.GetCounter().GetValue()+m.GetUntyped().GetValue(), now)
			}
			rows = append(rows, row)
		}
	}
	return rows, err
}

// amount is a number as people read it; what it counts is the end of its name.
func amount(name string, v float64, now time.Time) string {
	switch {
	case strings.HasSuffix(name, "_bytes") || strings.HasSuffix(name, "_octets"):
		return size(v)
	case strings.HasSuffix(name, "_expiry_seconds"):
		at := time.Unix(int64(v), 0)
		return fmt.Sprintf("%s (in %d days)", at.UTC().Format(time.DateOnly), int(at.Sub(now).Hours()/24))
	case strings.HasSuffix(name, "_seconds"):
		return (time.Duration(v) * time.Second).String()
	}
	return fmt.Sprintf("%.0f", v)
}

func size(v float64) string {
	units := []string{"octets", "KB", "MB", "GB", "TB", "PB"}
	i := 0
	for ; v >= 1000 && i < len(units)-1; i++ {
		v /= 1000
	}
	if i == 0 {
		return fmt.Sprintf("%.0f %s", v, units[i])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// grouped puts together what has the first word of its name in common.
func grouped(rows []statusRow) (groups []statusGroup) {
	for _, r := range rows {
		name, _, _ := strings.Cut(r.Name, "_")
		i := slices.IndexFunc(groups, func(g statusGroup) bool { return g.Name == name })
		if i < 0 {
			i = len(groups)
			groups = append(groups, statusGroup{Name: name})
		}
		groups[i].Rows = append(groups[i].Rows, r)
	}
	return groups
}

var statusTemplate = template.Must(template.New("status").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Letterlock</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 56rem; padding: 0 1rem; color: #222; background: #fff; }
h1 { font-size: 1.4rem; } .well { color: #0a6b2d; } .ill { color: #b00020; font-weight: bold; }
table { border-collapse: collapse; width: 100%; margin-bottom: 1.5rem; }
td { border-bottom: 1px solid #ddd; padding: .25rem .5rem; vertical-align: top; }
td.v { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; } td.h { color: #666; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818; } td { border-color: #333; } td.h { color: #999; } .well { color: #5fd38a; } .ill { color: #ff7788; } }
</style></head><body>
<h1>Letterlock</h1>
<p class="{{if .Ill}}ill{{else}}well{{end}}">{{.Health}}</p>
{{with .Trouble}}<p class="ill">Some numbers could not be read: {{.}}</p>{{end}}
{{range .Groups}}<table>
{{range .Rows}}<tr><td>{{.Name}}{{with .Labels}} ({{.}}){{end}}</td><td class="v">{{.Value}}</td><td class="h">{{.Help}}</td></tr>
{{end}}</table>
{{end}}</body></html>
`))
