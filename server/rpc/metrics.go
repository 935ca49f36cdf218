package rpc

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quipudb/quipu/server/errcode"
)

// metrics are rate, errors and duration of each method, and of each write on a stream.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	rows     prometheus.Counter
	inFlight prometheus.Gauge
	watches  prometheus.Gauge

	streamed        prometheus.Counter // requests of streams that were answered well
	streamedSeconds prometheus.Observer
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quipu_rpc_requests_total", Help: "Requests answered, by method and error code.",
		}, []string{"method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "quipu_rpc_request_duration_seconds", Help: "Time to answer a request; for a stream, its life.",
			Buckets: prometheus.ExponentialBuckets(100e-6, 2.5, 14),
		}, []string{"method"}),
		rows: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "quipu_rpc_written_rows_total", Help: "Rows of batches received, retries included.",
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "quipu_rpc_writes_in_flight", Help: "Batches received and not yet answered.",
		}),
		watches: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "quipu_rpc_watches", Help: "Open watch streams.",
		}),
	}
	m.streamed, m.streamedSeconds = m.requests.WithLabelValues(streamed, "OK"), m.seconds.WithLabelValues(streamed)
	if reg != nil {
		reg.MustRegister(m.requests, m.seconds, m.rows, m.inFlight, m.watches)
	}
	return m
}

func (m *metrics) observe(method string, code errcode.Code, d time.Duration) {
	m.requests.WithLabelValues(method, string(code)).Inc()
	m.seconds.WithLabelValues(method).Observe(d.Seconds())
}
