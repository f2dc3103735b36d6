package httpapi

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/sambang-id/sambang/server/internal/store"
)

// metrics have no label of a record, device or person: only routes, statuses,
// codes and kinds of counts, all from fixed lists.
type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	bytes     *prometheus.CounterVec
	refusals  *prometheus.CounterVec
	items     *prometheus.CounterVec
	exchanges prometheus.Gauge
}

func newMetrics(h Health) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sambang_http_requests_total", Help: "Requests by route, method and status; status is aborted if the reply was cut.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sambang_http_request_seconds", Help: "Time from a request's headers to the end of its reply.",
			Buckets: []float64{.005, .02, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300},
		}, []string{"route"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sambang_http_body_bytes_total", Help: "Bytes of bodies as sent.",
		}, []string{"direction"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sambang_refusals_total", Help: "Refused requests by code.",
		}, []string{"code"}),
		items: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sambang_sync_items_total", Help: "Records in exchanges: pushed, of them applied and quarantined, and delivered.",
		}, []string{"what"}),
		exchanges: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sambang_sync_running", Help: "Exchanges that run now.",
		}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.bytes, m.refusals, m.items, m.exchanges, &storeCollector{health: h},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) exchanged(s Summary) {
	for what, n := range map[string]int{"pushed": s.Pushed, "applied": s.Applied, "quarantined": s.Quarantined, "delivered": s.Delivered} {
		m.items.WithLabelValues(what).Add(float64(n))
	}
}

// storeCollector asks the store for its counts when metrics are read.
type storeCollector struct{ health Health }

//nolint:gochecknoglobals // descriptions, never written to
var (
	storeRows   = prometheus.NewDesc("sambang_store_rows", "What the store holds.", []string{"what"}, nil)
	connections = prometheus.NewDesc("sambang_store_connections", "Connections to the database.", []string{"pool", "state"}, nil)
	opened      = prometheus.NewDesc("sambang_store_connections_opened_total", "Connections to the database that were made.", []string{"pool"}, nil)
	waits       = prometheus.NewDesc("sambang_store_connection_waits_total", "How often a connection was waited for, until one was free or made.", []string{"pool"}, nil)
	waited      = prometheus.NewDesc("sambang_store_connection_wait_seconds_total", "Time in which a connection was waited for.", []string{"pool"}, nil)
	damagedRows = prometheus.NewDesc("sambang_damaged_rows", "Damaged rows that were come upon since the start; sambangd check names all.", nil, nil)
)

// Describe names the metrics.
func (c *storeCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- storeRows
	ch <- damagedRows
	ch <- connections
	ch <- opened
	ch <- waits
	ch <- waited
}

// Collect reads the counts; if the store does not answer they are left out.
func (c *storeCollector) Collect(ch chan<- prometheus.Metric) {
	if p, ok := c.health.(store.Pooled); ok {
		for _, p := range p.Pools() {
			for state, n := range map[string]int{"busy": p.Busy, "idle": p.Idle, "most": p.Most} {
				ch <- prometheus.MustNewConstMetric(connections, prometheus.GaugeValue, float64(n), p.Name, state)
			}
			ch <- prometheus.MustNewConstMetric(opened, prometheus.CounterValue, float64(p.Opened), p.Name)
			ch <- prometheus.MustNewConstMetric(waits, prometheus.CounterValue, float64(p.Waits), p.Name)
			ch <- prometheus.MustNewConstMetric(waited, prometheus.CounterValue, p.Waited, p.Name)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := c.health.Stats(ctx)
	if err != nil {
		return
	}
	for what, n := range map[string]uint64{
		"records": s.Records, "changes": s.Changes, "quarantined": s.Quarantined,
		"devices": s.Devices, "conflicts": s.Conflicts, "scopes": s.Scopes,
	} {
		ch <- prometheus.MustNewConstMetric(storeRows, prometheus.GaugeValue, float64(n), what)
	}
	ch <- prometheus.MustNewConstMetric(damagedRows, prometheus.GaugeValue, float64(s.Damaged))
}
