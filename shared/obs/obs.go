// Package obs makes what a program tells of itself: its log, its metrics and its traces.
package obs

import (
	"github.com/go-logr/zapr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/version"
)

// NewLogger makes a log to standard error: level debug, info, warn or error; format json or text. What the libraries of Kubernetes have to say goes
// there too, as long as they have one log for a whole process.
func NewLogger(level, format string) (*zap.Logger, error) {
	l, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fault.New(fault.BadRequest, "log.level: %q is none of debug, info, warn and error", level).WithField("log.level", "unknown")
	}
	var cfg zap.Config
	switch format {
	case "json":
		cfg = zap.NewProductionConfig()
		cfg.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	case "text":
		cfg = zap.NewDevelopmentConfig()
		cfg.Development = false
		cfg.EncoderConfig.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
	default:
		return nil, fault.New(fault.BadRequest, "log.format: %q is none of json and text", format).WithField("log.format", "unknown")
	}
	cfg.Level = zap.NewAtomicLevelAt(l)
	cfg.DisableCaller, cfg.DisableStacktrace = true, true
	log, err := cfg.Build()
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the log can't be opened")
	}
	klog.SetLogger(zapr.NewLogger(log.Named("kubernetes")))
	return log, nil
}

// NewRegistry makes a registry of metrics with those of the process, the Go runtime and the program's version in it.
func NewRegistry(program string) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "kubilitics_build_info", Help: "1, with the program and its version."}, []string{"program", "version"})
	info.WithLabelValues(program, version.String()).Set(1)
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info)
	return reg
}
